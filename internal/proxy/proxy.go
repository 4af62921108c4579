package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go/http3"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/accesslog"
	"bulsa/internal/proxy/flood"
	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/reply"
	"bulsa/internal/proxy/retry"
	"bulsa/internal/proxy/stats"
)

// Settings says how one service's requests are forwarded. A zero duration, size
// or number means no limit, except where the field says otherwise.
type Settings struct {
	// About connections; where routes share a listener, see NewListener.
	HeaderTimeout         time.Duration // from the first byte of a request to the end of its head: 408
	IdleTimeout           time.Duration // between requests, and for a stalled body or a client that does not read
	MaxHeader             int           // bytes of a request's head: 431; 0: 16 KiB
	Protocol              Protocol      // what clients speak, on a listener with one route that takes all
	Connections           int           // of clients at a time: 503
	ConnectionsPerAddress int           // of one client, an IPv4 address or an IPv6 /64, at a time: 503
	WebSockets            time.Duration // after a worker's drain has begun, until the last of its WebSockets is closed
	ProxyProtocol         bool          // connections begin with a PROXY header; those of others than Trusted are closed

	retry.Limits // how often and how long a request is tried

	ConnectTimeout time.Duration  // to open one upstream connection
	AnswerTimeout  time.Duration  // from the request sent to the head of the answer: 504
	Patient        bool           // AnswerTimeout is for workers whose event loop does not turn, or is not seen
	WriteTimeout   time.Duration  // for a client that reads nothing of its answer: cut; 0: IdleTimeout
	MinRate        int64          // bytes per second of the time that was spent waiting for a client's body, or for it to read: 408, cut
	MaxBody        int64          // bytes of a request's body: 413
	Trusted        []netip.Prefix // direct peers whose X-Forwarded-*, Forwarded and PROXY header are believed
	Sessions       bool           // requests of engine.io stay with the worker that has issued the session in their query
	Sticky         string         // name of the sticky cookie; "": none
	Recall         bool           // a request that a blocked worker has not read is given to another
	SendProxy      int            // version of the PROXY header that begins TCP connections to workers; 0: none
	H2C            bool           // the workers speak HTTP/2 without TLS, by prior knowledge
	HSTS           string         // value of Strict-Transport-Security for answers over TLS; "": none
	AccessLog      *accesslog.Log // nil: none
}

// Table maps a listener's id to what it serves. It does not change after SetTable.
type Table map[string]*Listener

// Config is what a Server needs from its surroundings.
type Config struct {
	Logger  *slog.Logger
	Version string // told in the Server field of answers that the proxy gives itself

	// Goroutines has every client served by a goroutine, as on systems that have no
	// event loops. Otherwise plain HTTP/1.1 is served by loops.
	Goroutines bool

	// SingleCalls has the loops make each receive and each send by a system call of its
	// own, as where io_uring is forbidden. Otherwise one call makes many.
	SingleCalls bool
}

// Server forwards the requests of any number of listeners.
type Server struct {
	log         limit.Log
	version     string
	table       atomic.Pointer[map[string]*entrance]
	closing     atomic.Bool
	lastCall    atomic.Pointer[time.Time] // when idle clients are closed, once closing
	stats       registry
	pools       upstreams
	buffers     buffers
	loops       loops
	singleCalls bool
	flooders    flood.Addresses
	downstreams atomic.Int64 // clients on loops

	mu        sync.Mutex
	clients   map[*client]struct{}
	listeners map[net.Listener]struct{}
	quics     map[*http3.Server]struct{}
	stopping  chan struct{} // closed when no client is accepted any more
	quiet     chan struct{} // closed when closing and the last client has left
	cutOff    chan struct{} // closed when nothing is waited for any more
	accepting sync.WaitGroup
}

// target is a Route with what lives longer than a table: the counters of its
// service, and what its requests' tries share.
type target struct {
	*Route
	counters *service
	tries    retry.Route
	line     *line
}

// mayTakeLonger: a worker whose answer is late computes nothing, so it waits for others,
// for as long as its application lets it.
func (t *target) mayTakeLonger(ep *balance.Endpoint) bool {
	return t.Settings.Patient && ep.Turns(time.Now())
}

// lookAgain is how long after a look at a late worker the next one is due.
const lookAgain = time.Second

// entrance is a Listener with its targets.
type entrance struct {
	*Listener
	targets []target // one for each of Routes
	owner   *target  // the default route, or else the first: connections that have asked for nothing yet are its
}

// plain: every connection is one service's, whatever it asks for.
func (e *entrance) plain() bool {
	return len(e.targets) == 1 && e.owner.Host == "" && e.owner.Path == ""
}

func newEntrance(l *Listener, counters *registry, lines map[*balance.Pool]*line) *entrance {
	e := &entrance{Listener: l, targets: make([]target, len(l.Routes))}
	for i := range l.Routes {
		r := &l.Routes[i]
		if lines[r.Pool] == nil {
			lines[r.Pool] = new(line)
		}
		service, line := counters.service(r.Service), lines[r.Pool]
		e.targets[i] = target{r, service, retry.Route{Limits: &r.Settings.Limits, Service: &service.tries, Pool: r.Pool, Line: &line.queue}, line}
		if e.owner == nil || r.Host == "" && r.Path == "" {
			e.owner = &e.targets[i]
		}
	}
	return e
}

// target is nil when no route takes the request.
func (e *entrance) target(host, path []byte) *target {
	if i := e.match(host, path); i >= 0 {
		return &e.targets[i]
	}
	return nil
}

// noRoute says why no route takes the request. Over TLS a client that meant
// another server is told so (RFC 9110, section 15.5.20).
func (e *entrance) noRoute(host, path []byte, overTLS bool) *reply.Local {
	r := &reply.Local{Status: http.StatusNotFound, Unrouted: true}
	switch {
	case !e.knows(host):
		r.Reason = fmt.Sprintf("no service for host %.100q on this port", host)
		if overTLS {
			r.Status = http.StatusMisdirectedRequest
		}
	case e.segments && dotted(path):
		r.Status, r.Reason = http.StatusBadRequest, "a path with segments . or .. is not routed"
	default:
		r.Reason = fmt.Sprintf("no service for path %.200q on this port", path)
	}
	return r
}

// New makes a server with an empty table.
func New(c Config) *Server {
	logger := c.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		log:         limit.Log{Out: logger},
		version:     c.Version,
		loops:       loops{off: c.Goroutines},
		singleCalls: c.SingleCalls,
		stopping:    make(chan struct{}),
		clients:     make(map[*client]struct{}),
		listeners:   make(map[net.Listener]struct{}),
		quics:       make(map[*http3.Server]struct{}),
		quiet:       make(chan struct{}),
		cutOff:      make(chan struct{}),
	}
}

// SetTable publishes a new table by one atomic store. Requests that have
// started keep the route they started with.
func (s *Server) SetTable(t Table) {
	m, lines := make(map[string]*entrance, len(t)), s.lines()
	for id, l := range t {
		if len(l.Routes) > 0 {
			m[id] = newEntrance(l, &s.stats, lines)
		}
	}
	s.table.Store(&m)
	s.retire(m)
	s.pools.sweep(s.routedPools(), time.Now())
	s.loops.sweep(s.routedPools())
}

// line is what is kept of a pool from table to table.
type line struct {
	queue    retry.Line
	speech   speech
	sessions sessions
}

// lines are those of the present table's pools.
func (s *Server) lines() map[*balance.Pool]*line {
	lines := map[*balance.Pool]*line{}
	if m := s.table.Load(); m != nil {
		for _, e := range *m {
			for i := range e.targets {
				lines[e.targets[i].Pool] = e.targets[i].line
			}
		}
	}
	return lines
}

// retire asks clients of closed listeners, whose connections carry many requests,
// to end them.
func (s *Server) retire(left map[string]*entrance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if left[c.id] == nil {
			c.goAway()
		}
	}
}

// routedPools are the pools that requests can come to.
func (s *Server) routedPools() []*balance.Pool {
	m := s.table.Load()
	if m == nil {
		return nil
	}
	var pools []*balance.Pool
	for _, e := range *m {
		for i := range e.targets {
			pools = append(pools, e.targets[i].Pool)
		}
	}
	return pools
}

// entrance is nil for a listener that the table does not have.
func (s *Server) entrance(id string) *entrance {
	if m := s.table.Load(); m != nil {
		return (*m)[id]
	}
	return nil
}

// Serve accepts the clients of one listener until ctx ends, ln is closed or the
// server shuts down; it closes ln. Clients that were accepted are served on.
func (s *Server) Serve(ctx context.Context, id string, ln net.Listener) error {
	if !s.enter(ln) {
		_ = ln.Close()
		return nil
	}
	defer s.leave(ln)
	stop := context.AfterFunc(ctx, func() { lastAccepts(ln) })
	defer stop()
	sweeping, end := context.WithCancel(context.Background())
	defer end()
	go s.sweep(sweeping, id)
	if s.acceptOnLoops(ctx, id, ln) {
		return nil
	}
	return s.accept(ctx, id, ln)
}

// accept runs the loop. Out of descriptors it waits instead of spinning: the
// kernel keeps the connection in the backlog and would report it again at once.
func (s *Server) accept(ctx context.Context, id string, ln net.Listener) error {
	const longestPause = time.Second
	pause := time.Duration(0)
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.admit(newClient(s, id, conn))
		case ctx.Err() != nil || s.closing.Load() || errors.Is(err, net.ErrClosed):
			return nil
		case passing(err):
			pause = min(max(2*pause, 5*time.Millisecond), longestPause)
			s.log.Warn("cannot accept a client; trying again", "listener", ln.Addr().String(), "error", err, "pause", pause)
			wait(ctx, pause)
		default:
			return err
		}
	}
}

// passing tells errors of accept(2) that go away from those that do not.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPERM, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// lastAccepts lets the accept loop take what the kernel has already completed,
// which a closed listener would reset, and then ends it.
func lastAccepts(ln net.Listener) {
	const grace = 10 * time.Millisecond
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok && d.SetDeadline(time.Now().Add(grace)) == nil {
		return
	}
	_ = ln.Close()
}

func (s *Server) enter(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[ln] = struct{}{}
	s.accepting.Add(1)
	return true
}

func (s *Server) leave(ln net.Listener) {
	_ = ln.Close()
	s.mu.Lock()
	delete(s.listeners, ln)
	s.mu.Unlock()
	s.accepting.Done()
}

func (s *Server) admit(c *client) {
	s.mu.Lock()
	s.clients[c] = struct{}{}
	s.mu.Unlock()
	go c.run()
}

func (s *Server) dismiss(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	if s.closing.Load() {
		s.checkQuiet()
	}
}

// checkQuiet is called with mu held.
func (s *Server) checkQuiet() {
	if len(s.clients) > 0 || len(s.listeners) > 0 || s.downstreams.Load() > 0 {
		return
	}
	select {
	case <-s.quiet:
	default:
		close(s.quiet)
	}
}

// farewell is how long an idle client may still ask, when the server shuts down:
// closing its connection at once would lose the request that is on its way.
const farewell = time.Second

// Shutdown stops accepting, gives idle clients a moment to ask once more, answers
// what is in flight with Connection: close, closes WebSockets as a worker's drain does,
// and lets other upgraded and raw connections live until ctx ends; then it cuts what
// is left and returns a *CutOff.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	end := time.Now().Add(farewell)
	s.lastCall.Store(&end)
	if !s.closing.Swap(true) {
		close(s.stopping)
	}
	for ln := range s.listeners {
		lastAccepts(ln)
	}
	s.mu.Unlock()
	s.accepting.Wait()
	s.mu.Lock()
	for c := range s.clients {
		c.wake()
	}
	s.loops.drain()
	s.checkQuiet()
	s.mu.Unlock()
	s.closeWebSockets()
	var quics sync.WaitGroup
	quics.Go(func() { s.shutdownQUIC(ctx) })
	defer s.loops.stop()
	defer s.pools.closeAll()
	defer quics.Wait()
	select {
	case <-s.quiet:
		return nil
	case <-ctx.Done():
	}
	left := CutOff{why: ctx.Err()}
	for _, sv := range s.Stats().Services {
		left.Requests += max(0, sv.InFlight-sv.Tunnels)
		left.Upgraded += sv.Tunnels
	}
	s.cut()
	<-s.quiet
	return &left
}

// CutOff is what a Shutdown did not wait for any longer.
type CutOff struct {
	Requests, Upgraded int64
	why                error
}

// Unwrap is the end of the context.
func (c *CutOff) Unwrap() error { return c.why }

func (c *CutOff) Error() string {
	return fmt.Sprintf("cut off before their end: requests: %d, WebSockets and other upgraded connections: %d", c.Requests, c.Upgraded)
}

func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.cutOff:
	default:
		close(s.cutOff)
	}
	for c := range s.clients {
		c.cut()
	}
	s.loops.cut()
}

// downstreamLeft is called by a loop for each client that it does not serve any more.
func (s *Server) downstreamLeft() {
	if s.downstreams.Add(-1) == 0 && s.closing.Load() {
		s.mu.Lock()
		s.checkQuiet()
		s.mu.Unlock()
	}
}

// Stats copies the counters. It never makes a request wait.
func (s *Server) Stats() stats.Snapshot { return s.stats.snapshot() }

// sweep closes idle upstream connections of endpoints that have left, as soon
// as the pool says so, and of those that have become too old to be used again.
func (s *Server) sweep(ctx context.Context, id string) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	receive := func(ch any) reflect.SelectCase {
		return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ch)}
	}
	for changed := true; ; {
		news := []reflect.SelectCase{receive(ctx.Done()), receive(tick.C)}
		if e := s.entrance(id); e != nil {
			for i := range e.targets {
				news = append(news, receive(e.targets[i].Pool.Changed()))
			}
		}
		s.pools.sweep(s.routedPools(), time.Now())
		if changed {
			s.closeWebSockets()
			s.loops.sweep(s.routedPools())
		}
		chosen, _, _ := reflect.Select(news)
		if chosen == 0 {
			return
		}
		changed = chosen > 1
	}
}

// wait pauses for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
