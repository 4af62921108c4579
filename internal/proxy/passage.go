package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/reply"
	contract "bulsa/internal/upstream"
)

// moment is how long a client may say nothing before its server is asked whether it
// speaks first.
const moment = 100 * time.Millisecond

// errUnserved: the worker ended the connection and had seen nothing of it.
var errUnserved = errors.New("it ended before the worker had read anything")

// passTCP sees the connection through if its client speaks no HTTP; true when
// nothing is left to do here.
func (c *client) passTCP(route *target) bool {
	if route.Settings.Protocol == HTTP {
		return false
	}
	if route.speaks() == Auto {
		c.awaitEndpoint(route) // it may know what it speaks
	}
	switch route.speaks() {
	case HTTP:
		return false
	case TCP:
		c.passOn(route, c.passTo)
		return true
	}
	return c.findOut(route)
}

// findOut is passTCP where only the connection itself tells.
func (c *client) findOut(route *target) bool {
	p, err := c.hearOpening(moment)
	if errors.Is(err, errMayBeRequest) {
		p, err = c.hearOpening(route.Settings.HeaderTimeout)
	}
	switch {
	case errors.Is(err, errSaysNothing):
		asks := false
		c.passOn(route, func(route *target, ep *balance.Endpoint) (took time.Duration, err error) {
			asks, took, err = c.listenBoth(route, ep)
			return took, err
		})
		return !asks
	case errors.Is(err, errMayBeRequest):
		return false // which is told that it is late
	case err != nil:
		return true
	case p == HTTP:
		return false
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	c.passOn(route, c.passTo)
	return true
}

var (
	errSaysNothing  = errors.New("the client says nothing")
	errMayBeRequest = errors.New("the client has said what may become a request")
)

// hearOpening waits for a client's first bytes, until they tell what it speaks.
func (c *client) hearOpening(atMost time.Duration) (p Protocol, err error) {
	c.startWaiting(atMost)
	buf := make([]byte, mostOpening)
	n := 0
	readErr := c.raw.Read(func(fd uintptr) bool {
		var again, known bool
		n, again, err = peek(fd, buf)
		if again {
			return false
		}
		p, known = opening(buf[:n])
		return n == 0 || err != nil || known
	})
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	switch err = errors.Join(err, readErr); {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		if err == nil && n == 0 {
			err = io.EOF
		}
		return p, err
	case n == 0:
		return p, errSaysNothing
	case mayBecomeMethod(buf[:n]):
		return p, errMayBeRequest
	}
	return TCP, nil
}

// listenBoth is for a client that has said nothing yet: it waits, or its server is
// the one to speak first. It connects to the worker and hears who does; asks is true
// when the client has, and HTTP.
func (c *client) listenBoth(route *target, ep *balance.Endpoint) (asks bool, took time.Duration, err error) {
	began := time.Now()
	if _, whole := ep.Config().Connector.(balance.Passer); whole {
		return false, 0, errors.New("nobody knows what it speaks: set x-bulsa.protocol")
	}
	up, err := c.connectTo(route, ep)
	if took = time.Since(began); err != nil {
		return false, took, err
	}
	raw := rawConn(up)
	if raw == nil {
		return false, took, errors.Join(errors.New("its connection has no descriptor"), up.Close())
	}
	c.startWaiting(route.Settings.IdleTimeout)
	spoke := make(chan bool, 1)
	go func() {
		err := waitReadable(raw)
		spoke <- err == nil
		if err == nil {
			_ = c.conn.SetReadDeadline(past())
		}
	}()
	heard := waitReadable(c.raw)
	_ = up.SetReadDeadline(past())
	first := <-spoke
	_ = up.SetReadDeadline(time.Time{})
	_ = c.conn.SetReadDeadline(time.Time{})
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	if !first && heard == nil {
		p, err := c.hearOpening(route.Settings.HeaderTimeout)
		_ = c.conn.SetReadDeadline(time.Time{})
		if err == nil && p == HTTP || errors.Is(err, errMayBeRequest) {
			return true, took, up.Close()
		}
		heard = err
	}
	if !first && heard != nil {
		return false, took, up.Close()
	}
	route.line.speech.greets.Store(first)
	return false, took, c.carryTCP(route, ep, up)
}

func (c *client) connectTo(route *target, ep *balance.Endpoint) (net.Conn, error) {
	ctx, cancel := withTimeout(route.Settings.ConnectTimeout)
	defer cancel()
	return ep.Config().Connector.Connect(ctx)
}

// splice carries the bytes both ways for an endpoint that cannot be given the
// connection itself.
func (c *client) splice(route *target, ep *balance.Endpoint) (took time.Duration, err error) {
	began := time.Now()
	up, err := c.connectTo(route, ep)
	if took = time.Since(began); err != nil {
		return took, err
	}
	return took, c.carryTCP(route, ep, up)
}

// carryTCP returns when both directions have ended. errUnserved: the connection may
// go to another worker, to which c.kept is said again.
func (c *client) carryTCP(route *target, ep *balance.Endpoint, up net.Conn) error {
	route.line.speech.tcp.Store(true)
	c.countRaw(route, ep)
	route.counters.OpenTunnels.Add(1)
	defer route.counters.OpenTunnels.Add(-1)
	p := &passage{client: c, up: up, mayBeHTTP: route.Settings.Protocol == Auto && c.raw != nil && !beginsTLS(c.raw)}
	err := p.run(c.proxyHeader(route))
	if p.isHTTP {
		route.line.speech.http.Store(true)
		c.refuse(route, reply.BadRequest("a malformed request"), nil)
	}
	return err
}

// proxyHeader is what a worker is told of the client before anything else.
func (c *client) proxyHeader(route *target) []byte {
	if route.Settings.SendProxy == 0 {
		return nil
	}
	return appendProxyHeader(nil, route.Settings.SendProxy, proxyHeader{source: c.peer, destination: c.local})
}

// passage carries a connection that is no HTTP both ways.
type passage struct {
	client    *client
	up        net.Conn
	mayBeHTTP bool
	answered  atomic.Bool
	stopped   atomic.Bool // by toClient, which knows better than to go on
	isHTTP    bool        // the worker has answered as HTTP does: it must not be reached so
	reset     error       // how the worker's end was reset before it said anything
}

// mostKept is how much of what a client says is kept for another worker, until one
// has answered: LeftUnread speaks of no more.
const mostKept = onePiece

// run returns when all is over. Both ends are closed then, but for errUnserved and
// isHTTP the client's.
func (p *passage) run(header []byte) error {
	defer p.up.Close()
	if hello := append(header, p.client.kept...); len(hello) > 0 {
		if _, err := p.up.Write(hello); err != nil {
			return errUnserved
		}
	}
	var both sync.WaitGroup
	both.Go(p.toWorker)
	both.Go(p.toClient)
	both.Wait()
	_ = p.client.conn.SetReadDeadline(time.Time{})
	switch {
	case p.isHTTP:
	case p.reset != nil && p.unserved():
		return errUnserved
	case p.reset != nil:
		p.client.abort()
	default:
		_ = p.client.conn.Close()
	}
	return nil
}

func (p *passage) toWorker() {
	c := p.client
	buf := make([]byte, 4<<10)
	for !p.answered.Load() {
		n, err := c.Read(buf)
		if n > 0 {
			c.keep(buf[:n])
			if _, werr := p.up.Write(buf[:n]); werr != nil {
				return // toClient finds out why
			}
		}
		if err != nil {
			p.ended(p.up, c.conn, err)
			return
		}
	}
	c.kept = nil
	_, err := io.Copy(p.up, c.conn)
	p.ended(p.up, c.conn, err)
}

// keep remembers what the client says while it may have to be said again.
func (c *client) keep(b []byte) {
	if c.keeps = c.keeps && len(c.kept)+len(b) <= mostKept; !c.keeps {
		c.kept = nil
		return
	}
	c.kept = append(c.kept, b...)
}

func (p *passage) toClient() {
	buf := make([]byte, 4<<10)
	n, err := p.up.Read(buf)
	if n == 0 && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
		p.reset = err
	}
	p.isHTTP = p.mayBeHTTP && bytes.HasPrefix(buf[:n], []byte("HTTP/1."))
	if p.isHTTP || p.reset != nil {
		p.stopped.Store(true)
		_ = p.client.conn.SetReadDeadline(past())
		return
	}
	p.answered.Store(true)
	if n > 0 {
		if _, werr := p.client.conn.Write(buf[:n]); werr != nil {
			err = werr
		}
	}
	if err == nil {
		_, err = io.Copy(p.client.conn, p.up)
	}
	p.ended(p.client.conn, p.up, err)
}

// unserved: the worker had read nothing of what its client said.
func (p *passage) unserved() bool {
	left, knows := p.up.(contract.LeftUnread)
	return p.client.keeps && (len(p.client.kept) == 0 || knows && left.LeftUnread(p.reset))
}

// ended passes the end of one direction on. An error ends both: what is left could
// not be answered.
func (p *passage) ended(dst, src net.Conn, err error) {
	if p.stopped.Load() {
		return
	}
	if (err == nil || errors.Is(err, io.EOF)) && closeWrite(dst) == nil {
		return
	}
	_ = dst.Close()
	_ = src.Close()
}
