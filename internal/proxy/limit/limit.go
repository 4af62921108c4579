package limit

import (
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"
)

// PerAddress counts the connections of one service by their client's address.
type PerAddress struct {
	mu     sync.Mutex
	counts map[netip.Addr]int
}

// Enter counts a connection; false when its address has limit.
func (p *PerAddress) Enter(a netip.Addr, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts[a] >= limit {
		return false
	}
	if p.counts == nil {
		p.counts = make(map[netip.Addr]int)
	}
	p.counts[a]++
	return true
}

// Leave counts it out again.
func (p *PerAddress) Leave(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts[a]--; p.counts[a] <= 0 {
		delete(p.counts, a)
	}
}

// OneClient is what counts as one client: an IPv4 address, or the /64 that one
// IPv6 client has to itself (RFC 6177).
func OneClient(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// Window is how long a client may keep us waiting before its rate is judged,
// and again each time that it has.
const Window = 5 * time.Second

// ErrTooSlow ends what a client is too slow for.
var ErrTooSlow = errors.New("the client is slower than it may be")

// Meter finds clients that are slower than they may be. Only the time counts that
// was spent waiting for the client: a worker that takes or gives its time is not
// the client's fault.
type Meter struct {
	bytes  int64
	waited time.Duration
}

// Slow notes that n bytes came or went after waiting for d, and says whether the
// client's rate has been below rate, in bytes per second (0: no limit).
func (m *Meter) Slow(n int, d time.Duration, rate int64) bool {
	if rate <= 0 {
		return false
	}
	m.bytes += int64(n)
	m.waited += d
	if m.waited < Window {
		return false
	}
	tooSlow := float64(m.bytes) < float64(rate)*m.waited.Seconds()
	*m = Meter{}
	return tooSlow
}

// Reader reads a body and judges its client's rate.
type Reader struct {
	io.Reader
	Meter
	Least int64 // bytes per second; 0: no limit
}

func (r *Reader) Read(b []byte) (int, error) {
	if r.Least == 0 {
		return r.Reader.Read(b)
	}
	began := time.Now()
	n, err := r.Reader.Read(b)
	if err == nil && r.Slow(n, time.Since(began), r.Least) {
		err = ErrTooSlow
	}
	return n, err
}
