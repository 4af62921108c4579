package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config is what a Server is made of.
type Config struct {
	Control Control
	Version string       // of bulsa, for the metrics
	Token   string       // that changes over TCP need; empty: the project's own, see Token
	Logger  *slog.Logger // nil: silent
}

// Server answers on a project's control socket and on loopback TCP. Both may be
// served at the same time, each by its own call.
type Server struct {
	cfg     Config
	metrics http.Handler
	control *http.Server
	tcp     *http.Server
	token   string             // fixed before the TCP side serves
	stop    context.CancelFunc // ends streams and long polls
	running sync.WaitGroup
}

const closingTime = time.Second

// access says what a route does to the project, and so who may ask for it.
type access int

const (
	read   access = iota // changes nothing: open on loopback
	change               // changes the project: needs the token over TCP
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
		{"GET", "/{$}", read, s.page("index.html")},
		{"GET", "/page.js", read, s.page("page.js")},
		{"GET", "/page.css", read, s.page("page.css")},
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
		{"POST", "/api/v1/apply", local, s.apply},
		{"", "/", read, s.unknown},
	}
}

// New builds a Server; nothing runs before ServeControl or ServeTCP.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	base, stop := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, metrics: metricsHandler(cfg.Control, cfg.Version), token: cfg.Token, stop: stop}
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

// ServeControl answers on a listener of ListenControl until ctx ends or Close is
// called. It does not return before.
func (s *Server) ServeControl(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { s.control.Close() })()
	return serve(s.control, l)
}

// ServeTCP opens the admin server's socket (see ListenAdmin), answers there in
// the background until ctx ends or Close is called, and returns the address as a URL.
func (s *Server) ServeTCP(ctx context.Context, address string) (string, error) {
	l, err := ListenAdmin(address)
	if err != nil {
		return "", err
	}
	if s.token == "" {
		if s.token, err = Token(s.cfg.Control.Project().Name); err != nil {
			l.Close()
			return "", err
		}
	}
	s.running.Go(func() {
		defer context.AfterFunc(ctx, func() { s.tcp.Close() })()
		if err := serve(s.tcp, l); err != nil {
			s.cfg.Logger.Error("the admin server has ended", "error", err)
		}
	})
	return "http://" + l.Addr().String(), nil
}

func serve(h *http.Server, l net.Listener) error {
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends streams and long polls, gives other answers a moment to finish and
// closes the listeners. It returns when nothing of the server runs any more.
func (s *Server) Close() {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	for _, h := range []*http.Server{s.control, s.tcp} {
		if h.Shutdown(ctx) != nil {
			h.Close() // cut off what did not end in time; its listener is closed already
		}
	}
	s.running.Wait()
}
