package proxy

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"bulsa/internal/proxy/accesslog"
	"bulsa/internal/proxy/flood"
	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/reply"
)

// client is one accepted connection. Its goroutine is the only one that reads
// requests from it; a request's own reader is waited for before the next.
type client struct {
	server *Server
	id     string
	conn   net.Conn
	raw    syscall.RawConn // of a connection without TLS
	ear    ear             // nil: nothing can be known without reading
	origin
	br      *bufio.Reader // nil while idle
	bw      *bufio.Writer
	idle    time.Duration  // Settings.IdleTimeout of the request at hand
	stall   time.Duration  // how long a write may take
	sockets time.Duration  // Settings.WebSockets of the request at hand
	rate    int64          // Settings.MinRate of the request at hand
	reading limit.Meter    // of what is written
	held    bool           // the wait for a first worker is already spent
	spelled spelling       // the fields of the request at hand
	ahead   []byte         // what a loop has read of it already; its next bytes
	local   netip.AddrPort // what it came to
	kept    []byte         // what it has said and may have to be said again, of a connection that is passed on
	keeps   bool           // kept is all that it has said
	altSvc  string         // value of Alt-Svc for its answers, or ""
	entered *entrance      // what it met last
	leaving bool           // its listener is gone: the request at hand is its last
	mu      sync.Mutex     // guards conn while it is replaced, and the rest
	waiting bool           // between two requests
	tunnel  *upgraded      // what it has become, if anything
	http2   *http.Server   // serves the connection's streams; nil: HTTP/1.1
	guard   *flood.Guard   // of its frames, with http2
	streams sync.WaitGroup
	ended   bool // no stream begins any more
}

// past interrupts a blocked read.
func past() time.Time { return time.Unix(1, 0) }

func newClient(s *Server, id string, conn net.Conn) *client {
	c := &client{server: s, id: id, conn: conn, raw: rawConn(conn), origin: origin{scheme: "http"}}
	if c.raw != nil {
		c.ear = socketEar{c.raw}
	}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.peer = unmapped(a.AddrPort())
	}
	if a, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		c.port, c.local = strconv.Itoa(a.Port), unmapped(a.AddrPort())
	}
	return c
}

// unmapped is an address as it is told: IPv4 as IPv4, and without a zone.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func (c *client) run() {
	defer c.server.dismiss(c)
	defer func() { _ = c.conn.Close() }()
	begun := len(c.ahead) > 0
	e := c.server.entrance(c.id)
	if e == nil {
		return
	}
	if !begun && e.mayDivert(c.peer) && e.Divert.Divert(c.conn) {
		return
	}
	if e.Settings.ProxyProtocol && !c.meetProxy(e) {
		return
	}
	c.entered = e
	pass, bad := e.owner.counters.enter(c.peer.Addr(), &e.Settings)
	if bad != nil {
		c.turnAway(e.owner, bad)
		return
	}
	defer e.owner.counters.leave(pass)
	if !begun && !c.opens(e) {
		return
	}
	defer c.releaseBuffers()
	for c.awaitRequest(e.Settings.IdleTimeout) && c.serveRequest() {
	}
}

// opens finds out what the client speaks. It is true when that is HTTP/1.1, and
// false when nothing is left to do here.
func (c *client) opens(e *entrance) bool {
	if e.TLS != nil {
		if !c.startTLS(e) {
			return false
		}
		if e.plain() && e.owner.speaks() == TCP {
			c.passOn(e.owner, c.passTo)
			return false
		}
		switch c.nextProtocol() {
		case "h2":
			c.serveHTTP2(e)
			return false
		case "", "http/1.1":
			return true
		}
		return false // acme-tls/1: the handshake was all that was wanted
	}
	if c.raw == nil {
		return true
	}
	if !e.plain() {
		if c.firstBytes(e.Settings.HeaderTimeout) != nil {
			return false
		}
	} else if c.passTCP(e.owner) || c.passRaw(e.owner) {
		return false
	}
	if beginsHTTP2(c.raw) {
		c.serveHTTP2(e)
		return false
	}
	return true
}

// awaitRequest waits for the first byte of the next request; false when there
// will be none. No buffer is held meanwhile.
func (c *client) awaitRequest(idle time.Duration) bool {
	if c.br != nil && c.br.Buffered() > 0 || len(c.ahead) > 0 {
		return true
	}
	c.releaseBuffers()
	if c.ear == nil {
		_ = c.conn.SetReadDeadline(deadline(idle))
		return !c.server.closing.Load()
	}
	c.startWaiting(idle)
	err := c.ear.awaitSome()
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	return err == nil || c.server.closing.Load() && c.ear.someNow()
}

func (c *client) startWaiting(idle time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = true
	until := deadline(idle)
	if end := c.server.lastCall.Load(); end != nil && (until.IsZero() || until.After(*end)) {
		until = *end
	}
	_ = c.conn.SetReadDeadline(until)
}

// wake ends a wait for a next request with the last call; a request that is
// already there is still served.
func (c *client) wake() {
	if c.goAway() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if end := c.server.lastCall.Load(); c.waiting || c.ear == nil {
		_ = c.conn.SetReadDeadline(*end)
	}
}

// cut ends the connection: an upgraded one with a last word.
func (c *client) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tunnel != nil {
		c.tunnel.cut()
		return
	}
	_ = bare(c.conn).Close()
}

// carry sees an upgraded connection through.
func (c *client) carry(u *upgraded) {
	c.mu.Lock()
	c.tunnel = u
	c.mu.Unlock()
	c.closeWebSocket()
	select {
	case <-c.server.cutOff:
		u.cut()
	default:
	}
	u.run()
}

// last says whether the request at hand is the connection's last.
func (c *client) last() bool { return c.leaving || c.server.closing.Load() }

// deadline is now + d, or none for no d.
func deadline(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// serveRequest reads one request and answers it; false when the connection is
// to be closed.
func (c *client) serveRequest() bool {
	e := c.server.entrance(c.id)
	if c.leaving = e == nil; c.leaving {
		e = c.entered // its listener was closed: it is told so with its next answer
	}
	c.entered = e
	c.obey(&e.Settings)
	c.takeBuffers(e.Settings.MaxHeader)
	_ = c.conn.SetReadDeadline(deadline(e.Settings.HeaderTimeout))
	req, bad, err := c.readRequest()
	if err != nil {
		return false
	}
	if bad != nil {
		c.refuse(e.owner, bad, nil)
		return false
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	if r := e.ownAnswer(req); r != nil {
		c.refuse(e.owner, r, req)
		return false
	}
	route := e.target([]byte(req.Host), requestPath(req))
	if route == nil {
		c.refuse(e.owner, e.noRoute([]byte(req.Host), requestPath(req), c.scheme == "https"), req)
		return false
	}
	c.obey(&route.Settings)
	return newExchange(c, c, route, req).run()
}

// obey takes on the limits of the request at hand.
func (c *client) obey(s *Settings) {
	c.idle, c.stall, c.rate = s.IdleTimeout, cmp.Or(s.WriteTimeout, s.IdleTimeout), s.MinRate
	c.sockets = s.WebSockets
}

// requestPath is the path as the client wrote it, without the query.
func requestPath(req *http.Request) []byte {
	path, _, _ := strings.Cut(requestTarget(req), "?")
	return []byte(path)
}

// readRequest returns the next request, or what is wrong with it, or an error
// when the client has left.
func (c *client) readRequest() (*http.Request, *reply.Local, error) {
	var parsed h1.Request
	head, err := readHead(c.br, parsed.Parse)
	var fault h1.Fault
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &reply.Local{Status: http.StatusRequestTimeout, Reason: "the head of the request did not arrive in time"}, nil
	case errors.As(err, &fault):
		return nil, faulty(fault, c.br.Size()), nil
	case err != nil:
		return nil, nil, err
	}
	if parsed.Body == h1.ByChunks {
		here, _ := c.br.Peek(c.br.Buffered())
		if fault := faultAtHand(here[len(head):]); fault != h1.OK {
			return nil, faulty(fault, c.br.Size()), nil
		}
	}
	c.spelled = spellingOf(parsed.Fields)
	req, err := readRequest(c.br, &parsed)
	if err != nil {
		return nil, reply.BadRequest("a malformed request"), nil
	}
	return req, nil, nil
}

// refuse answers a request that was not understood (nil), or that no route takes,
// and ends the connection.
func (c *client) refuse(route *target, r *reply.Local, req *http.Request) {
	a := accesslog.Account{Client: c.peer.Addr(), Status: r.Status, Began: time.Now()}
	if req != nil {
		a.Describe(req)
	}
	route.answered(&a)
	_, _ = c.Write(c.refusal(route, r, true, req != nil && req.Method == http.MethodHead))
	c.linger()
}

// refusal writes r as an answer.
func (c *client) refusal(route *target, r *reply.Local, closing, headOnly bool) []byte {
	r.Own = nil
	c.ownFields(route, nil, func(name, value string) { r.Own = h1.AppendField(r.Own, name, value) })
	return r.Append(nil, route.Service, c.server.version, closing, headOnly)
}

// turnAway answers a connection that is one too many, whatever it says.
func (c *client) turnAway(route *target, r *reply.Local) {
	c.server.log.Warn("connection turned away", "service", route.Service, "client", c.peer.Addr().String(), "reason", r.Reason)
	if route.Settings.Protocol == TCP {
		return // nothing that we could say would be understood
	}
	c.stall = time.Second
	_, _ = c.Write(r.Append(nil, route.Service, c.server.version, true, false))
	c.linger()
}

// linger closes the sending side and reads on for a moment: closing with unread
// bytes would reset the connection, and the client would lose the answer (RFC
// 9112, section 9.6).
func (c *client) linger() {
	const atMost, bytes = 500 * time.Millisecond, 256 << 10
	if closeWrite(c.conn) != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(atMost))
	_, _ = io.CopyN(io.Discard, c.conn, bytes)
}

// abort resets the connection, so that an answer that only the connection's end
// would complete is not taken for whole.
func (c *client) abort() {
	conn := bare(c.conn) // TLS would say that this is the end
	if t, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}

// Read begins with what a loop has read already.
func (c *client) Read(p []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(p, c.ahead)
		c.ahead = c.ahead[n:]
		return n, nil
	}
	return c.conn.Read(p)
}

// Write sends to the client, who may not take too long to read it.
func (c *client) Write(p []byte) (int, error) {
	_ = c.conn.SetWriteDeadline(deadline(c.stall))
	if c.rate == 0 {
		return c.conn.Write(p)
	}
	began := time.Now()
	n, err := c.conn.Write(p)
	if err == nil && c.reading.Slow(n, time.Since(began), c.rate) {
		err = limit.ErrTooSlow
	}
	return n, err
}

// closeWrite ends the sending direction only.
func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *client) takeBuffers(maxHeader int) {
	if c.br == nil {
		c.br, c.bw = c.server.buffers.take(c, c, maxHeader)
	}
}

func (c *client) releaseBuffers() {
	if c.br != nil {
		c.server.buffers.give(c.br, c.bw)
		c.br, c.bw = nil, nil
	}
}

// buffers lends the buffers of busy connections.
type buffers struct {
	readers, writers sync.Pool
	copies           copyBuffers
}

const writeBuffer = 16 << 10

func (b *buffers) take(r io.Reader, w io.Writer, maxHeader int) (*bufio.Reader, *bufio.Writer) {
	if maxHeader <= 0 {
		maxHeader = defaultMaxHeader
	}
	br, ok := b.readers.Get().(*bufio.Reader)
	if !ok || br.Size() != max(maxHeader, 16) {
		br = bufio.NewReaderSize(nil, maxHeader)
	}
	br.Reset(r)
	bw, ok := b.writers.Get().(*bufio.Writer)
	if !ok {
		bw = bufio.NewWriterSize(nil, writeBuffer)
	}
	bw.Reset(w)
	return br, bw
}

func (b *buffers) give(br *bufio.Reader, bw *bufio.Writer) {
	br.Reset(nil)
	bw.Reset(nil)
	b.readers.Put(br)
	b.writers.Put(bw)
}

// copyBuffers lends the buffers through which answers' bodies go.
type copyBuffers struct{ pool sync.Pool }

const copyBuffer = 32 << 10

func (c *copyBuffers) take() *[]byte {
	if b, ok := c.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, copyBuffer)
	return &b
}

func (c *copyBuffers) give(b *[]byte) { c.pool.Put(b) }
