package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"bulsa/internal/proxy/accesslog"
	"bulsa/internal/proxy/reply"
)

// TLS makes a listener speak TLS.
type TLS struct {
	Config *tls.Config // NextProtos offers HTTP/2 (h2) where it shall be spoken
	AltSvc string      // value of the field Alt-Svc (RFC 7838); "": none
}

// ownAnswer is what a listener answers by itself: an ACME challenge, or that the
// service is reached by TLS; nil: nothing.
func (e *entrance) ownAnswer(req *http.Request) *reply.Local {
	path := requestPath(req)
	if e.Challenge != nil {
		if text, ok := e.Challenge(req.Host, string(path)); ok {
			return &reply.Local{Status: http.StatusOK, Reason: text, Verbatim: true}
		}
	}
	route := e.target([]byte(req.Host), path)
	if route == nil || route.Redirect == "" {
		return nil
	}
	var buf [maxHost]byte
	host := string(hostName(buf[:0], []byte(req.Host)))
	if host == "" { // HTTP/1.0
		return reply.BadRequest("no Host")
	}
	if route.Redirect != "443" {
		host += ":" + route.Redirect
	}
	return &reply.Local{
		Status: http.StatusPermanentRedirect, Reason: "this service is reached by https", Unrouted: true,
		Location: "https://" + host + requestTarget(req),
	}
}

// startTLS is false when the connection is of no use any more.
func (c *client) startTLS(e *entrance) bool {
	conn := tls.Server(c.conn, e.TLS.Config)
	_ = c.conn.SetDeadline(deadline(e.Settings.HeaderTimeout))
	if err := conn.HandshakeContext(context.Background()); err != nil {
		c.tellNoTLS(e, err)
		return false
	}
	_ = c.conn.SetDeadline(time.Time{})
	s := &secured{Conn: conn, ear: socketEar{c.raw}}
	c.mu.Lock()
	c.conn, c.raw, c.ear = s, nil, s
	c.mu.Unlock()
	c.scheme, c.altSvc = "https", e.TLS.AltSvc
	return true
}

// tellNoTLS answers a client that speaks HTTP in the clear to a port of TLS.
func (c *client) tellNoTLS(e *entrance, err error) {
	bad, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || bad.Conn == nil || !startsRequest(bad.RecordHeader) {
		return
	}
	r := reply.BadRequest("this port speaks TLS: use https://")
	e.owner.answered(&accesslog.Account{Client: c.peer.Addr(), Status: r.Status, Began: time.Now()})
	_, _ = bad.Conn.Write(r.Append(nil, e.owner.Service, c.server.version, true, false))
	c.linger()
}

// startsRequest says whether the first bytes are those of an HTTP/1.1 method.
func startsRequest(first [5]byte) bool {
	for _, b := range first {
		if (b < 'A' || b > 'Z') && b != ' ' && b != '/' {
			return false
		}
	}
	return true
}

// nextProtocol is what ALPN has agreed on (RFC 7301), or "".
func (c *client) nextProtocol() string {
	if s, ok := c.conn.(*secured); ok {
		return s.ConnectionState().NegotiatedProtocol
	}
	return ""
}

// secured is a client's TLS connection. TLS cannot tell that bytes are there
// without decrypting them, so it hears by reading one byte ahead.
type secured struct {
	*tls.Conn
	ear   ear // of the socket below
	ahead [1]byte
	held  bool // ahead is to be read next
}

// tlsRest is how long the rest of a record may take to come whose beginning is here.
const tlsRest = 100 * time.Millisecond

func (s *secured) Read(p []byte) (int, error) {
	if s.held && len(p) > 0 {
		p[0], s.held = s.ahead[0], false
		return 1, nil
	}
	return s.Conn.Read(p)
}

func (s *secured) awaitSome() error {
	if s.held {
		return nil
	}
	n, err := s.Conn.Read(s.ahead[:])
	s.held = n > 0
	if s.held || errors.Is(err, io.EOF) {
		return nil // Read tells the end
	}
	return err
}

func (s *secured) someNow() bool {
	if s.held {
		return true
	}
	if !s.ear.someNow() {
		return false
	}
	_ = s.SetReadDeadline(time.Now().Add(tlsRest))
	return s.awaitSome() == nil && s.held
}

func (s *secured) awaitEnd() bool {
	err := s.awaitSome()
	return !s.held && !errors.Is(err, os.ErrDeadlineExceeded)
}

// bare is the connection below TLS, or conn itself.
func bare(conn net.Conn) net.Conn {
	if s, ok := conn.(*secured); ok {
		return s.NetConn()
	}
	return conn
}
