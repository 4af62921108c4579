package proxy

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bulsa/internal/balance"
	contract "bulsa/internal/upstream"
)

const (
	// maxIdle is below the 5 s after which Node closes an idle connection
	// (server.keepAliveTimeout), so that no request meets the close.
	maxIdle       = 4 * time.Second
	maxIdleConns  = 256 // per endpoint
	maxAnswerHead = 32 << 10
	// onePiece is how much one write may be so that LeftUnread speaks of all of it.
	onePiece = 32 << 10
)

func died(c net.Conn) bool {
	m, ok := c.(contract.Mortal)
	return ok && m.Died()
}

// tellsOfDeath says whether died knows.
func tellsOfDeath(c net.Conn) bool {
	_, ok := c.(contract.Mortal)
	return ok
}

// upstreamConn is one connection to a worker. One request at a time uses it.
type upstreamConn struct {
	net.Conn
	raw    syscall.RawConn
	br     *bufio.Reader
	reused bool
	since  time.Time // when it became idle
	wrote  atomic.Bool
}

func newUpstreamConn(c net.Conn) *upstreamConn {
	return &upstreamConn{Conn: c, raw: rawConn(c), br: bufio.NewReaderSize(c, maxAnswerHead)}
}

// Write notes whether anything has left: only then may the worker have seen a
// part of the request.
func (u *upstreamConn) Write(p []byte) (int, error) {
	n, err := u.Conn.Write(p)
	if n > 0 {
		u.wrote.Store(true)
	}
	return n, err
}

// leftUnread says whether err shows that the worker has read nothing of a
// request that was written in one piece.
func (u *upstreamConn) leftUnread(err error) bool {
	c, ok := u.Conn.(contract.LeftUnread)
	return ok && c.LeftUnread(err)
}

// knows says whether an end of the connection tells what the worker has begun.
func (u *upstreamConn) knows() bool {
	_, ok := u.Conn.(contract.LeftUnread)
	return ok
}

// died says whether the worker has ended, as far as the connection knows.
func (u *upstreamConn) died() bool { return died(u.Conn) }

// unread is accountant's figure.
func (u *upstreamConn) unread(err error) int64 {
	if a, ok := u.Conn.(contract.Accountant); ok {
		return int64(a.Unread(err))
	}
	return 0
}

func (u *upstreamConn) tells() bool {
	c, ok := u.Conn.(contract.Teller)
	return ok && c.Tells()
}

func (u *upstreamConn) promised() bool {
	c, ok := u.Conn.(contract.Promiser)
	return ok && c.WillTell()
}

// upstreams holds the idle connections, per endpoint.
type upstreams struct{ byEndpoint sync.Map } // *balance.Endpoint to *idleConns

func (u *upstreams) of(ep *balance.Endpoint, s *service) *idleConns {
	if i, ok := u.byEndpoint.Load(ep); ok {
		return i.(*idleConns)
	}
	fresh := &idleConns{endpoint: ep, worker: s.worker(ep.Config().Worker)}
	i, _ := u.byEndpoint.LoadOrStore(ep, fresh)
	return i.(*idleConns)
}

// sweep closes what must not be used again. Endpoints that have left the pools
// are forgotten.
func (u *upstreams) sweep(pools []*balance.Pool, now time.Time) {
	live := make(map[*balance.Endpoint]bool)
	for _, p := range pools {
		for _, ep := range p.Endpoints() {
			live[ep] = true
		}
	}
	u.byEndpoint.Range(func(key, value any) bool {
		i := value.(*idleConns)
		if live[i.endpoint] {
			i.closeOlder(now.Add(-maxIdle))
			return true
		}
		i.end()
		if i.endpoint.InFlight() == 0 {
			u.byEndpoint.Delete(key)
		}
		return true
	})
}

func (u *upstreams) closeAll() {
	u.byEndpoint.Range(func(_, value any) bool {
		value.(*idleConns).end()
		return true
	})
}

type idleConns struct {
	endpoint *balance.Endpoint
	worker   *worker

	mu    sync.Mutex
	conns []*upstreamConn // the youngest last
	http2 *http.Transport // of a worker that speaks HTTP/2
	ended bool            // the endpoint has left: nothing is kept
}

// take returns an idle connection that is still good, or nil. once: for a request
// that must not happen twice, or may not be there for a second time.
func (i *idleConns) take(now time.Time, once bool) *upstreamConn {
	for {
		c := i.pop()
		if c == nil {
			return nil
		}
		if once && !c.knows() && !i.worker.reuse.May(c.since, now) {
			i.put(c, c.since) // the others are older
			return nil
		}
		if now.Sub(c.since) < maxIdle && silent(c.raw) {
			c.reused = true
			c.wrote.Store(false)
			return c
		}
		_ = c.Close()
	}
}

func (i *idleConns) pop() *upstreamConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.conns)
	if n == 0 {
		return nil
	}
	c := i.conns[n-1]
	i.conns[n-1] = nil
	i.conns = i.conns[:n-1]
	return c
}

func (i *idleConns) put(c *upstreamConn, now time.Time) {
	c.since = now
	_ = c.SetDeadline(time.Time{})
	i.mu.Lock()
	keep := !i.ended && len(i.conns) < maxIdleConns
	if keep {
		i.conns = append(i.conns, c)
	}
	i.mu.Unlock()
	if !keep {
		_ = c.Close()
	}
}

func (i *idleConns) connect(timeout time.Duration) (*upstreamConn, error) {
	ctx, cancel := withTimeout(timeout)
	defer cancel()
	c, err := i.endpoint.Config().Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return newUpstreamConn(c), nil
}

// closeOlder is for an endpoint in use. It may have been ended by a sweep that
// had looked before the endpoint was published.
func (i *idleConns) closeOlder(than time.Time) {
	i.mu.Lock()
	i.ended = false
	n := 0
	for n < len(i.conns) && i.conns[n].since.Before(than) {
		_ = i.conns[n].Close()
		n++
	}
	i.conns = append(i.conns[:0], i.conns[n:]...)
	i.mu.Unlock()
}

// end closes all and keeps none from now on.
func (i *idleConns) end() {
	i.mu.Lock()
	conns, http2 := i.conns, i.http2
	i.conns, i.ended = nil, true
	i.mu.Unlock()
	if http2 != nil {
		http2.CloseIdleConnections()
	}
	for _, c := range conns {
		_ = c.Close()
	}
}
