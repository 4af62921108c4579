package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
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

	controlReaders, tcpReaders chan struct{} // one for each answer that lasts, at most
}

// How many answers that last as long as their reader wants there may be at once. Each
// holds up to some megabytes for a reader that takes nothing, and any user of the
// machine may be one over TCP.
const (
	maxControlReaders = 64
	maxTCPReaders     = 16
	maxTCPConnections = 256
)

// access says what a route does to the project, and so who may ask for it.
type access int

const (
	read    access = iota // changes nothing: open on loopback
	lasting               // read, by an answer that lasts as long as its reader wants: so many at once
	change                // changes the project, or shows the inside of its programs: needs the token over TCP
	local                 // names commands to run: on the control socket only
)

func (a access) changes() bool { return a == change || a == local }

type route struct {
	method  string
	path    string
	access  access
	handler handler
}

type handler = func(http.ResponseWriter, *http.Request) error

func (s *Server) routes() []route {
	return []route{
		{"GET", "/{$}", read, s.page},
		{"GET", "/page.js", read, s.page},
		{"GET", "/page.css", read, s.page},
		{"GET", "/metrics", read, s.serveMetrics},
		{"GET", "/livez", read, s.livez},
		{"GET", "/healthz", read, s.healthz},
		{"GET", "/api/v1/project", read, s.project},
		{"GET", "/api/v1/workers", read, s.workers},
		{"GET", "/api/v1/inspect/{name}", read, s.inspect},
		{"GET", "/api/v1/ready", lasting, s.ready},
		{"GET", "/api/v1/logs", lasting, s.logs},
		{"GET", "/api/v1/events", lasting, s.events},
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
	s := &Server{
		cfg: cfg, metrics: metricsHandler(cfg.Control, cfg.Version), stop: stop,
		controlReaders: make(chan struct{}, maxControlReaders), tcpReaders: make(chan struct{}, maxTCPReaders),
	}
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
		mux.Handle(r.pattern(), s.answer(r.bounded(s.controlReaders)))
	}
	return mux
}

// TCPHandler answers readers on loopback, and changes that prove themselves.
func (s *Server) TCPHandler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern(), s.answer(s.guard(r, r.bounded(s.tcpReaders))))
	}
	return secured(mux)
}

func (r route) pattern() string {
	if r.method == "" {
		return r.path
	}
	return r.method + " " + r.path
}

// bounded is the handler of a route, of which no more than fit into places may last at once.
func (r route) bounded(places chan struct{}) handler {
	if r.access != lasting {
		return r.handler
	}
	return func(w http.ResponseWriter, req *http.Request) error {
		select {
		case places <- struct{}{}:
		default:
			return &refusal{http.StatusServiceUnavailable, fmt.Sprintf("%d readers follow logs, events or readiness here already, and no more may: end one of them", cap(places))}
		}
		defer func() { <-places }()
		return r.handler(w, req)
	}
}

// ServeControl answers on a listener of ListenControl until Shutdown.
func (s *Server) ServeControl(l net.Listener) error { return serve(s.control, l) }

// ServeTCP answers on a listener of ListenAdmin until Shutdown.
func (s *Server) ServeTCP(l net.Listener) error {
	return serve(s.tcp, netutil.LimitListener(l, maxTCPConnections))
}

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
