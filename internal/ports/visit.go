package ports

import (
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"bulsa/internal/engine"
	"bulsa/internal/proxy"
)

// visits counts the commands of workers that run, by who can tell their
// connections from clients'.
type visits struct {
	running atomic.Int32

	mu  sync.Mutex
	all map[engine.Visited]int
}

// Expect implements engine.Sockets.
func (b *Book) Expect(who engine.Visited) (end func()) {
	b.visits.count(who, 1)
	return func() { b.visits.count(who, -1) }
}

func (v *visits) count(who engine.Visited, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil {
		v.all = map[engine.Visited]int{}
	}
	if v.all[who] += n; v.all[who] == 0 {
		delete(v.all, who)
	}
	v.running.Add(int32(n))
}

func (v *visits) visited() []engine.Visited {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Keys(v.all))
}

// side lets workers' own commands in by a socket, past the balancer, each to its
// very worker: while no worker is ready, its check is what makes it so.
type side struct {
	visits *visits
	users  []user
}

var _ proxy.Diverter = side{}

// Diverting implements proxy.Diverter.
func (s side) Diverting() bool { return s.visits.running.Load() > 0 }

// Divert implements proxy.Diverter.
func (s side) Divert(conn net.Conn) bool {
	if !s.Diverting() {
		return false
	}
	for _, who := range s.visits.visited() {
		for _, u := range s.users {
			if who.Visit(u.service, u.port, conn) {
				return true
			}
		}
	}
	return false
}
