package proxy

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"bulsa/internal/proxy/flood"
	"bulsa/internal/proxy/limit"
)

// serveHTTP2 serves a connection whose client begins with HTTP/2's preface, until
// it ends. net/http speaks HTTP/2 on it; each stream becomes an exchange. Over TLS
// the server sees what was decrypted.
func (c *client) serveHTTP2(e *entrance) {
	if c.turnFlooderAway(e) {
		return
	}
	g := flood.NewGuard(c.conn, func(frames int) {
		if a := c.answersFor(&e.Settings); a.IsValid() {
			c.server.flooders.Cut(a, time.Now())
		}
		c.endNow()
		c.server.log.Warn("HTTP/2 client cut off", "service", e.owner.Service, "client", c.peer.String(), "error", flood.ErrCutOff, "frames", frames)
	})
	defer g.Close()
	ln := &oneConn{conn: g, closed: make(chan struct{})}
	c.mu.Lock()
	c.guard = g
	c.http2 = newHTTP2(e, http.HandlerFunc(c.serveStream))
	c.mu.Unlock()
	if c.server.closing.Load() {
		c.goAway()
	}
	_ = c.http2.Serve(ln) // until wake, or the connection's end
	if ln.taken {
		<-g.Closed()
	}
	c.endStreams()
}

func newHTTP2(e *entrance, h http.Handler) *http.Server {
	const window = 256 << 10 // bytes of a body that a client may send ahead
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         &p,
		ReadHeaderTimeout: e.Settings.HeaderTimeout,
		IdleTimeout:       e.Settings.IdleTimeout,
		MaxHeaderBytes:    headerLimit(e.Settings.MaxHeader),
		ErrorLog:          log.New(io.Discard, "", 0),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              16 << 10,
			MaxReceiveBufferPerConnection: 4 * window,
			MaxReceiveBufferPerStream:     window,
			WriteByteTimeout:              e.Settings.IdleTimeout,
		},
	}
}

// goAway asks an HTTP/2 client to end the connection when its requests are
// answered; false when the client speaks HTTP/1.1.
func (c *client) goAway() bool {
	c.mu.Lock()
	server := c.http2
	c.mu.Unlock()
	if server == nil {
		return false
	}
	ended, end := context.WithCancel(context.Background())
	end()
	_ = server.Shutdown(ended) // only tells the client: serveHTTP2 waits
	return true
}

// enterStream is false when the connection has ended.
func (c *client) enterStream() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.streams.Add(1)
	return true
}

// endNow lets no stream begin any more: those that wait for their turn would only do
// what nobody is to hear of.
func (c *client) endNow() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
}

// endStreams waits for the exchanges of a connection that has ended.
func (c *client) endStreams() {
	c.endNow()
	c.streams.Wait()
}

// oneConn is a listener of one connection that was accepted elsewhere.
type oneConn struct {
	conn   *flood.Guard
	taken  bool
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	select {
	case <-l.conn.Closed():
	case <-l.closed:
	}
	return nil, net.ErrClosed
}

func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// Close ends Accept, not the connection. net/http calls it once.
func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

// answersFor is the address that stands for a client's floods; not valid where it has
// none, or many clients stand behind it.
func (c *client) answersFor(s *Settings) netip.Addr {
	peer := c.peer.Addr()
	if !peer.IsValid() || !s.ProxyProtocol && trusts(s.Trusted, peer) {
		return netip.Addr{}
	}
	return limit.OneClient(peer)
}

// turnFlooderAway says GOAWAY to a client that is not taken, if it is one.
func (c *client) turnFlooderAway(e *entrance) bool {
	a := c.answersFor(&e.Settings)
	if !a.IsValid() || !c.server.flooders.Banned(a, time.Now()) {
		return false
	}
	e.owner.counters.TurnedAway.Add(1)
	c.stall = time.Second
	_, _ = c.Write(flood.TurnedAway())
	return true
}
