package proxy

import (
	"bytes"
	"net/netip"
	"time"

	"bulsa/internal/proxy/accesslog"
	"bulsa/internal/proxy/h1"
)

// noted is what the access log will say of a request whose bytes are gone by then.
type noted struct {
	bytes []byte // method, target, host, referer and user agent, one after the other
	ends  [5]int
}

func (n *noted) keep(r *h1.Request) {
	var referer, agent []byte
	for name, value := range r.Fields {
		switch {
		case bytes.EqualFold(name, []byte("Referer")):
			referer = value
		case bytes.EqualFold(name, []byte("User-Agent")):
			agent = value
		}
	}
	n.bytes = n.bytes[:0]
	for i, part := range [...][]byte{r.Method, r.Target, r.Host, referer, agent} {
		n.bytes = append(n.bytes, part...)
		n.ends[i] = len(n.bytes)
	}
}

func (n *noted) part(i int) []byte {
	if i == 0 {
		return n.bytes[:n.ends[0]]
	}
	return n.bytes[n.ends[i-1]:n.ends[i]]
}

// fill gives an account what was noted.
func (n *noted) fill(a *accesslog.Account) {
	if len(n.bytes) > 0 {
		a.Method, a.Target, a.Host, a.Referer, a.Agent = n.part(0), n.part(1), n.part(2), n.part(3), n.part(4)
	}
}

// answered counts a transaction that is over, and logs it.
func (l *loop) answered(t *transaction) {
	took := time.Duration(l.clock - t.clock)
	a := accesslog.Account{
		Client: t.try.Request.Client, Proto: "HTTP/1.1", Status: t.status, Sent: t.given,
		Began: l.now.Add(-took), Took: took, Worker: t.lastWorker, Attempts: t.tries, Session: t.session.named,
	}
	if t.http10 {
		a.Proto = "HTTP/1.0"
	}
	t.noted.fill(&a)
	t.route.answered(&a)
}

// unread counts and logs an answer to a request that was not understood (nil), or
// whose body is not read.
func (l *loop) unread(peer netip.Addr, route *target, status int, r *h1.Request) {
	a := accesslog.Account{Client: peer, Proto: "HTTP/1.1", Status: status, Began: l.now}
	if r != nil && route.Settings.AccessLog != nil {
		var n noted
		n.keep(r)
		n.fill(&a)
	}
	route.answered(&a)
}
