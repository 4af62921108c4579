package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"bulsa/internal/proxy/flood"
)

// ServeHTTP3 serves the clients of a listener that speaks TLS by HTTP/3, too, over
// a UDP socket, until ctx ends or the server shuts down; it closes pc.
func (s *Server) ServeHTTP3(ctx context.Context, id string, pc net.PacketConn) error {
	defer pc.Close()
	e := s.entrance(id)
	if e == nil {
		return nil
	}
	server := s.newHTTP3(id, e)
	if !s.enterQUIC(server) {
		return nil
	}
	defer s.leaveQUIC(server)
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(pc)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, quic.ErrServerClosed) || ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Server) newHTTP3(id string, e *entrance) *http3.Server {
	return &http3.Server{
		Handler:        http.HandlerFunc(serveHTTP3Stream),
		ConnContext:    func(ctx context.Context, conn *quic.Conn) context.Context { return s.welcomeQUIC(ctx, id, conn) },
		MaxHeaderBytes: headerLimit(e.Settings.MaxHeader),
		IdleTimeout:    e.Settings.IdleTimeout,
		Logger:         slog.New(slog.DiscardHandler),
		QUICConfig:     &quic.Config{MaxIncomingStreams: maxStreams, MaxIdleTimeout: e.Settings.IdleTimeout, HandshakeIdleTimeout: e.Settings.HeaderTimeout},
		TLSConfig: &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if e := s.entrance(id); e != nil && e.TLS != nil {
				return e.TLS.Config, nil
			}
			return nil, errors.New("the listener speaks no TLS any more")
		}},
	}
}

// quicKey is the key of a connection in the contexts of its requests.
type quicKey struct{}

// quicConn is a client's connection of HTTP/3. quic-go takes no frames apart for
// others to count, and bounds what a connection holds. What it does not bound is how
// often a client gives up what it has just asked for (CVE-2023-44487 by HTTP/3).
type quicConn struct {
	client *client
	conn   *quic.Conn

	mu        sync.Mutex
	allowance flood.Allowance
}

// excessiveLoad is H3_EXCESSIVE_LOAD (RFC 9114, section 8.1).
const excessiveLoad = 0x107

// errGivenUp ends a connection whose client gave up too many requests.
var errGivenUp = errors.New("too many requests that the client gave up")

// settle counts a request that is over. As with HTTP/2, what was answered earns
// what was given up costs, which comes back with time.
func (q *quicConn) settle(givenUp bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !givenUp {
		q.allowance.Earn(1)
		return
	}
	if q.allowance.Spend(1, time.Now()) || q.conn.Context().Err() != nil {
		return
	}
	if q.conn.CloseWithError(excessiveLoad, errGivenUp.Error()) == nil {
		q.client.server.log.Warn("HTTP/3 client cut off", "client", q.client.peer.String(), "error", errGivenUp)
	}
}

// welcomeQUIC counts a connection as those over TCP are.
func (s *Server) welcomeQUIC(ctx context.Context, id string, conn *quic.Conn) context.Context {
	c := &client{server: s, id: id, origin: origin{scheme: "https"}}
	if a, ok := conn.RemoteAddr().(*net.UDPAddr); ok {
		ap := a.AddrPort()
		c.peer = netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		c.port = strconv.Itoa(a.Port)
	}
	if e := s.entrance(id); e != nil {
		pass, bad := e.owner.counters.enter(c.peer.Addr(), &e.Settings)
		if bad != nil {
			_ = conn.CloseWithError(excessiveLoad, bad.Reason)
			return ctx
		}
		context.AfterFunc(conn.Context(), func() { e.owner.counters.leave(pass) })
	}
	return context.WithValue(ctx, quicKey{}, &quicConn{client: c, conn: conn, allowance: flood.NewAllowance(time.Now())})
}

func serveHTTP3Stream(w http.ResponseWriter, r *http.Request) {
	q, ok := r.Context().Value(quicKey{}).(*quicConn)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	givenUp := true
	defer func() { q.settle(givenUp || r.Context().Err() != nil) }()
	if err := knowLength(r); err != nil {
		panic(http.ErrAbortHandler)
	}
	givenUp = false
	q.client.serveStream(w, r)
}

// knowLength finds out whether a request of a method that seldom has a body has
// one: HTTP/3's server does not say.
func knowLength(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete, http.MethodTrace:
	default:
		return nil
	}
	if r.ContentLength >= 0 {
		return nil
	}
	var first [1]byte
	n, err := io.ReadFull(r.Body, first[:])
	switch {
	case errors.Is(err, io.EOF):
		r.ContentLength = 0
		return nil
	case err != nil:
		return fmt.Errorf("cannot read a request's body: %w", err)
	}
	r.Body = &rejoined{first: first[:n], ReadCloser: r.Body}
	return nil
}

// rejoined is a body of which a part was read already.
type rejoined struct {
	first []byte
	io.ReadCloser
}

func (b *rejoined) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.ReadCloser.Read(p)
}

func (s *Server) enterQUIC(server *http3.Server) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.quics[server] = struct{}{}
	return true
}

func (s *Server) leaveQUIC(server *http3.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.quics, server)
}

// shutdownQUIC lets the requests of HTTP/3 end until ctx does.
func (s *Server) shutdownQUIC(ctx context.Context) {
	var all sync.WaitGroup
	s.mu.Lock()
	for server := range s.quics {
		all.Go(func() {
			if server.Shutdown(ctx) != nil {
				_ = server.Close()
			}
		})
	}
	s.mu.Unlock()
	all.Wait()
}
