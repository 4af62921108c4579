// Package tcpdiag asks the kernel about the other ends of TCP connections to programs
// on this machine (sock_diag(7)): whether somebody listens at an address, and how much
// of what was sent to a socket its owner had not read when it was closed.
package tcpdiag

import (
	"net/netip"
	"sync"
	"time"
)

// keep is how long it is remembered what a socket was closed with, and most how many
// of them.
const (
	keep = 5 * time.Second
	most = 4096
)

// Pair names a connection by both its ends.
type Pair struct{ Owner, Peer netip.AddrPort }

// Closed remembers what the sockets on this machine were closed with. Its zero value
// does, once Watch is called.
type Closed struct {
	mu      sync.Mutex
	unread  map[Pair]left
	arrived chan struct{} // closed at the next arrival
}

// left is what a socket was closed with.
type left struct {
	bytes int
	at    time.Time
}

// Unread is how many bytes the owner of a socket had not read when the socket was
// closed. The kernel says so a little after the connection's other end has learned of
// the close: it is waited for. 0: not known, or none.
func (c *Closed) Unread(p Pair, atMost time.Duration) int {
	end := time.NewTimer(atMost)
	defer end.Stop()
	for {
		n, more := c.look(p)
		if n > 0 {
			return n
		}
		select {
		case <-more:
		case <-end.C:
			return 0
		}
	}
}

func (c *Closed) look(p Pair) (int, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.arrived == nil {
		c.arrived = make(chan struct{})
	}
	return c.unread[p].bytes, c.arrived
}

// add notes what a socket was closed with.
func (c *Closed) add(now time.Time, p Pair, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unread == nil {
		c.unread = make(map[Pair]left)
	}
	for old, l := range c.unread {
		if now.Sub(l.at) > keep || len(c.unread) >= most {
			delete(c.unread, old)
		}
	}
	c.unread[p] = left{bytes, now}
	if c.arrived != nil {
		close(c.arrived)
		c.arrived = nil
	}
}
