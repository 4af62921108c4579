package proxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/retry"
	contract "bulsa/internal/upstream"
)

func isRawOnly(ep *balance.Endpoint) bool {
	r, ok := ep.Config().Connector.(contract.RawOnly)
	return ok && r.RawOnly()
}

// passRaw decides whether the connection goes to a worker untouched, and if so
// sees it through; true when nothing is left to do here. Untouched go all
// connections where a worker takes only whole ones, and TLS on a listener that
// does not speak it. HTTP/2 with prior knowledge goes to workers that can be given
// a connection, because they may be servers of HTTP/2 and nothing tells; for all
// others, and where Settings.H2C says what they are, the proxy speaks it itself.
func (c *client) passRaw(route *target) bool {
	if !c.awaitEndpoint(route) {
		return c.firstBytes(route.Settings.HeaderTimeout) != nil
	}
	if anyRawOnly(route.Pool) {
		c.passOn(route, c.passTo)
		return true
	}
	if err := c.firstBytes(route.Settings.HeaderTimeout); err != nil {
		return true
	}
	if anyRawOnly(route.Pool) || beginsTLS(c.raw) || beginsHTTP2(c.raw) && !route.Settings.H2C && anyPasser(route.Pool) {
		_ = c.conn.SetReadDeadline(time.Time{})
		c.passOn(route, c.passTo)
		return true
	}
	return false
}

func anyPasser(p *balance.Pool) bool {
	return slices.ContainsFunc(p.Endpoints(), func(ep *balance.Endpoint) bool {
		_, ok := ep.Config().Connector.(balance.Passer)
		return ok
	})
}

func anyRawOnly(p *balance.Pool) bool {
	for _, ep := range p.Endpoints() {
		if isRawOnly(ep) {
			return true
		}
	}
	return false
}

// awaitEndpoint waits while the pool is empty, because only its endpoints tell
// whether the client's bytes may be read; false when none came.
func (c *client) awaitEndpoint(route *target) bool {
	if len(route.Pool.Endpoints()) > 0 {
		return true
	}
	timeout := time.NewTimer(route.Settings.Hold)
	defer timeout.Stop()
	for {
		changed := route.Pool.Changed()
		if len(route.Pool.Endpoints()) > 0 {
			return true
		}
		select {
		case <-changed:
		case <-timeout.C:
			c.held = true
			return false
		case <-c.server.cutOff:
			return false
		}
	}
}

// firstBytes waits until the client has said enough to know what it speaks.
func (c *client) firstBytes(atMost time.Duration) error {
	c.startWaiting(atMost)
	err := sniff(c.raw)
	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	if err != nil && c.server.closing.Load() && readableNow(c.raw) {
		return nil
	}
	return err
}

// passOn gives the connection to an endpoint, and to another when one fails,
// until one has taken it or the hold ends.
func (c *client) passOn(route *target, give func(*target, *balance.Endpoint) (time.Duration, error)) {
	x := &exchange{client: c, route: route, began: time.Now()}
	x.try.Begin(x.began, route.tries, retry.Request{Client: c.peer.Addr(), Hasty: c.held})
	defer x.try.End()
	c.keeps = true
	for {
		d := x.look()
		if d.Kind == retry.Refuse {
			c.server.log.Warn("cannot pass a connection on", "service", route.Service, "error", d.Refusal.Reason)
			return
		}
		took, err := give(route, d.Endpoint)
		if err == nil {
			x.try.Release(time.Now(), true, took)
			return
		}
		route.counters.worker(d.Endpoint.Config().Worker).Errors.Add(1)
		x.try.Failed(time.Now(), retry.Outcome{Ending: retry.Unbegun, Reason: "did not take the connection: " + err.Error()})
	}
}

// passTo returns how long it took to reach the worker, when all is over.
func (c *client) passTo(route *target, ep *balance.Endpoint) (time.Duration, error) {
	began := time.Now()
	passer, ok := ep.Config().Connector.(balance.Passer)
	if !ok || c.raw == nil {
		return c.splice(route, ep)
	}
	ctx, cancel := withTimeout(route.Settings.ConnectTimeout)
	defer cancel()
	var passErr error
	err := c.raw.Control(func(fd uintptr) { passErr = passer.Pass(ctx, fd) })
	if err = errors.Join(err, passErr); err == nil {
		c.countRaw(route, ep)
	}
	return time.Since(began), err
}

func withTimeout(d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), d)
}

func (c *client) countRaw(route *target, ep *balance.Endpoint) {
	route.counters.RawPassed.Add(1)
	route.counters.worker(ep.Config().Worker).Requests.Add(1)
}

// side is one end of a tunnel, with the bytes that were read from it already.
type side struct {
	conn net.Conn
	read []byte
}
