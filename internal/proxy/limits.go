package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// crowd counts the connections of one service by their client's address.
type crowd struct {
	mu     sync.Mutex
	counts map[netip.Addr]int
}

// enter counts a connection; false when its address has limit.
func (c *crowd) enter(a netip.Addr, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[a] >= limit {
		return false
	}
	if c.counts == nil {
		c.counts = make(map[netip.Addr]int)
	}
	c.counts[a]++
	return true
}

func (c *crowd) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[a]--; c.counts[a] <= 0 {
		delete(c.counts, a)
	}
}

// oneClient is what counts as one client: an IPv4 address, or the /64 that one
// IPv6 client has to itself (RFC 6177).
func oneClient(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// pass is a connection's leave to be there. It is given back with service.leave.
type pass struct {
	ok      bool
	address netip.Addr // counted under it; invalid: under none
}

// enter counts a client's connection, or says why it is one too many. A trusted
// peer is a proxy with many clients: only all connections together bound it.
func (s *service) enter(peer netip.Addr, set *Settings) (pass, *refusal) {
	if n := s.openClients.Add(1); set.Connections > 0 && n > int64(set.Connections) {
		s.openClients.Add(-1)
		s.turnedAway.Add(1)
		return pass{}, tooMany(fmt.Sprintf("%d clients are connected, and no more may be", set.Connections))
	}
	p := pass{ok: true}
	if set.ConnectionsPerAddress > 0 && peer.IsValid() && (set.ProxyProtocol || !trusts(set.Trusted, peer)) {
		p.address = oneClient(peer)
		if !s.crowd.enter(p.address, set.ConnectionsPerAddress) {
			s.openClients.Add(-1)
			s.turnedAway.Add(1)
			return pass{}, tooMany(fmt.Sprintf("%d connections of %s are open, and no more may be", set.ConnectionsPerAddress, p.address))
		}
	}
	return p, nil
}

func tooMany(reason string) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, reason: reason, retryAfter: time.Second}
}

// leave gives a pass back.
func (s *service) leave(p pass) {
	if !p.ok {
		return
	}
	s.openClients.Add(-1)
	if p.address.IsValid() {
		s.crowd.leave(p.address)
	}
}

// paceWindow is how long a client may keep us waiting before its rate is judged,
// and again each time that it has.
const paceWindow = 5 * time.Second

// pace finds clients that are slower than they may be. Only the time counts that
// was spent waiting for the client: a worker that takes or gives its time is not
// the client's fault.
type pace struct {
	bytes  int64
	waited time.Duration
}

// slow notes that n bytes came or went after waiting for d, and says whether the
// client's rate has been below rate, in bytes per second (0: no limit).
func (p *pace) slow(n int, d time.Duration, rate int64) bool {
	if rate <= 0 {
		return false
	}
	p.bytes += int64(n)
	p.waited += d
	if p.waited < paceWindow {
		return false
	}
	tooSlow := float64(p.bytes) < float64(rate)*p.waited.Seconds()
	*p = pace{}
	return tooSlow
}

// paced reads a body and judges its client's pace.
type paced struct {
	io.Reader
	pace
	rate int64
}

func (p *paced) Read(b []byte) (int, error) {
	if p.rate == 0 {
		return p.Reader.Read(b)
	}
	began := time.Now()
	n, err := p.Reader.Read(b)
	if err == nil && p.slow(n, time.Since(began), p.rate) {
		err = errTooSlow
	}
	return n, err
}
