package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Config is what a Server is made of.
type Config struct {
	Control Control
	Version string       // of bulsa, for the metrics
	Token   string       // that changes over TCP need; see the function Token; empty: no changes over TCP
	Logger  *slog.Logger // nil: silent
}

// Server answers on a project's control socket and on loopback TCP. Both may be
// served at the same time, each by its own call.
type Server struct {
	cfg     Config
	metrics http.Handler
	control *http.Server
	tcp     *http.Server
	stop    context.CancelFunc // ends streams and long polls
}

// access says what a route does to the project, and so who may ask for it.
type access int

const (
	read   access = iota // changes nothing: open on loopback
	change               // changes the project, or shows the inside of its programs: needs the token over TCP
	local                // names commands to run: on the control socket only
)

type route struct {
	method  string
	path    string
	access  access
	handler func(http.ResponseWriter, *http.Request) error
}

func (s *Server) routes() []route {
	return []route{
		{"GET", "/{$}", read, s.page},
		{"GET", "/page.js", read, s.page},
		{"GET", "/page.css", read, s.page},
		{"GET", "/metrics", read, s.serveMetrics},
		{"GET", "/healthz", read, s.healthz},
		{"GET", "/api/v1/project", read, s.project},
		{"GET", "/api/v1/workers", read, s.workers},
		{"GET", "/api/v1/inspect/{name}", read, s.inspect},
		{"GET", "/api/v1/ready", read, s.ready},
		{"GET", "/api/v1/logs", read, s.logs},
		{"GET", "/api/v1/events", read, s.events},
		{"POST", "/api/v1/scale", change, s.scale},
		{"POST", "/api/v1/start", change, s.start},
		{"POST", "/api/v1/stop", change, s.stopNames},
		{"POST", "/api/v1/restart", change, s.restart},
		{"POST", "/api/v1/kill", change, s.kill},
		{"POST", "/api/v1/down", change, s.down},
		{"POST", "/api/v1/profile", change, s.profile},
		{"POST", "/api/v1/phases", change, s.phases},
		{"POST", "/api/v1/heap", change, s.heap},
		{"GET", "/api/v1/doctor", read, s.doctor},
		{"POST", "/api/v1/doctor", change, s.doctorProfile},
		{"POST", "/api/v1/apply", local, s.apply},
		{"", "/", read, s.unknown},
	}
}

// New builds a Server; nothing runs before ServeControl and ServeTCP.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	base, stop := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, metrics: metricsHandler(cfg.Control, cfg.Version), stop: stop}
	s.control = s.httpServer(base, s.ControlHandler())
	s.tcp = s.httpServer(base, s.TCPHandler())
	return s
}

func (s *Server) httpServer(base context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
	}
}

// ControlHandler answers everything: whoever reaches it owns the project.
func (s *Server) ControlHandler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern(), s.answer(r.handler))
	}
	return mux
}

// TCPHandler answers readers on loopback, and changes that prove themselves.
func (s *Server) TCPHandler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern(), s.answer(s.guard(r)))
	}
	return secured(mux)
}

func (r route) pattern() string {
	if r.method == "" {
		return r.path
	}
	return r.method + " " + r.path
}

// ServeControl answers on a listener of ListenControl until Shutdown.
func (s *Server) ServeControl(l net.Listener) error { return serve(s.control, l) }

// ServeTCP answers on a listener of ListenAdmin until Shutdown.
func (s *Server) ServeTCP(l net.Listener) error { return serve(s.tcp, l) }

func serve(h *http.Server, l net.Listener) error {
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown ends streams and long polls, lets other answers finish until ctx
// ends, cuts off those that do not, and closes the listeners.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	var cut error
	for _, h := range []*http.Server{s.control, s.tcp} {
		if err := h.Shutdown(ctx); err != nil && ctx.Err() != nil {
			cut = errors.Join(err, h.Close())
		}
	}
	return cut
}
