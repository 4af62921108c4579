package balance

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

type policy int

const (
	roundRobin policy = iota
	leastConn
	ipHash
	leastLatency
)

// Pool publishes the usable endpoints of one service port.
type Pool struct {
	policy policy
	now    atomic.Pointer[snapshot]
	bell   atomic.Pointer[chan<- struct{}] // who waits for the next Pick
	rests  atomic.Pointer[string]
	missed misses
	_      [64]byte // turn is written by every Pick, the rest is only read
	turn   atomic.Uint64
}

// snapshot is immutable once it is published.
type snapshot struct {
	endpoints []*Endpoint
	ordinary  *group
	backup    *group
	all       *group
	changed   chan struct{}
}

// NewPool makes an empty pool. policy: round_robin least_conn ip_hash
// least_latency; "" is least_latency.
func NewPool(policy string) (*Pool, error) {
	known, err := parsePolicy(policy)
	if err != nil {
		return nil, err
	}
	p := &Pool{policy: known}
	p.now.Store(newSnapshot(nil))
	return p, nil
}

func parsePolicy(name string) (policy, error) {
	switch name {
	case "round_robin":
		return roundRobin, nil
	case "least_conn":
		return leastConn, nil
	case "ip_hash":
		return ipHash, nil
	case "least_latency", "":
		return leastLatency, nil
	}
	return 0, fmt.Errorf("balance: unknown policy %q: use round_robin, least_conn, ip_hash or least_latency", name)
}

// Publish replaces the list of endpoints. One writer at a time. Those that are
// no longer listed get no further request from Picks that begin afterwards; a
// Pick that has begun may still choose one, so Drain what must get none.
func (p *Pool) Publish(endpoints []*Endpoint) {
	old := p.now.Swap(newSnapshot(slices.Clone(endpoints)))
	close(old.changed)
}

func newSnapshot(endpoints []*Endpoint) *snapshot {
	s := &snapshot{endpoints: endpoints, changed: make(chan struct{})}
	var ordinary, backup []*Endpoint
	for _, e := range endpoints {
		if e.cfg.Backup {
			backup = append(backup, e)
		} else {
			ordinary = append(ordinary, e)
		}
	}
	s.ordinary, s.backup = newGroup(ordinary), newGroup(backup)
	s.all = s.ordinary
	if len(backup) > 0 {
		s.all = newGroup(slices.Concat(ordinary, backup))
	}
	return s
}

// Endpoints is the published list; nobody changes it.
func (p *Pool) Endpoints() []*Endpoint { return p.now.Load().endpoints }

// Rest says why nobody will come to an empty pool, so that nobody waits for that;
// "": somebody may. It is a Publish, and counts as its writer.
func (p *Pool) Rest(why string) {
	if before := p.rests.Load(); before == nil && why == "" || before != nil && why == *before {
		return
	}
	p.rests.Store(&why)
	p.Publish(p.Endpoints())
}

// Rests is why an endpoint is not worth waiting for; "" where there is one, or may be.
func (p *Pool) Rests() string {
	if why := p.rests.Load(); why != nil && len(p.Endpoints()) == 0 {
		return *why
	}
	return ""
}

// Changed is closed at the next Publish. To wait for an endpoint without
// missing one, take the channel first, then Pick, then wait.
func (p *Pool) Changed() <-chan struct{} { return p.now.Load().changed }

// Pick chooses an endpoint and acquires it: the caller owes a Release. nil when
// none is left that was not tried: all others are draining or full. To try
// again where it failed before, Pick again with a shorter Request.Tried.
func (p *Pool) Pick(r Request) *Endpoint {
	if p.bell.Load() != nil {
		p.ring()
	}
	now := r.Now.UnixNano()
	s := p.now.Load()
	for {
		e, allowed := p.choose(s, &r, now)
		if e == nil {
			if len(s.endpoints) == 0 {
				p.missed.add(now)
			}
			return nil
		}
		if e.acquire(now, allowed) {
			return e
		}
	}
}

// misses are the Picks of an empty pool: requests that nobody can take.
type misses struct {
	last atomic.Int64 // unix ns; 0: none
	mu   sync.Mutex
	ask  []chan<- struct{}
}

func (m *misses) add(now int64) {
	m.last.Store(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ch := range m.ask {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
	m.ask = nil
}

// Missed returns when a Pick last found the pool empty; zero: never.
func (p *Pool) Missed() time.Time {
	if at := p.missed.last.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// AwaitMiss lets the next Pick that finds the pool empty send to ch, once, if ch has
// room. Several may wait. To miss none, look at Missed afterwards.
func (p *Pool) AwaitMiss(ch chan<- struct{}) {
	p.missed.mu.Lock()
	defer p.missed.mu.Unlock()
	if !slices.Contains(p.missed.ask, ch) {
		p.missed.ask = append(p.missed.ask, ch)
	}
}

// Await lets the next Pick send to ch, once, if ch has room. One waits at a time.
func (p *Pool) Await(ch chan<- struct{}) { p.bell.Store(&ch) }

func (p *Pool) ring() {
	ch := p.bell.Swap(nil)
	if ch == nil {
		return
	}
	select {
	case *ch <- struct{}{}:
	default:
	}
}

// choose goes from the best to the last resort. Ejection never empties the
// pool: when every loop is silent, all are used; when everything usable is out,
// ordinary or backup, it is all used, and what was seen down comes last.
func (p *Pool) choose(s *snapshot, r *Request, now int64) (*Endpoint, level) {
	if e := p.from(s.ordinary, r, now, usable); e != nil {
		return e, usable
	}
	if e := p.from(s.backup, r, now, usable); e != nil {
		return e, usable
	}
	if e := p.from(s.all, r, now, silent); e != nil {
		return e, silent
	}
	if e := p.from(s.all, r, now, ejected); e != nil {
		return e, ejected
	}
	return p.from(s.all, r, now, down), down
}

// from chooses among the endpoints of g that are no worse than allowed.
func (p *Pool) from(g *group, r *Request, now int64, allowed level) *Endpoint {
	if len(g.endpoints) == 0 {
		return nil
	}
	if r.Sticky != "" {
		if e := g.stuck(r, now, allowed); e != nil {
			return e
		}
	}
	switch p.policy {
	case leastConn:
		return p.least(g, r, now, allowed, byConns)
	case leastLatency:
		return p.leastLatency(g, r, now, allowed)
	case ipHash:
		if r.Client.IsValid() {
			return g.rendezvous(r, now, allowed)
		}
	}
	return p.inTurn(g, r, now, allowed)
}

// can says whether this request may go to e. The usual case is inlined: e is in
// rotation and has room, and nothing was tried.
func (r *Request) can(e *Endpoint, now int64, allowed level) bool {
	return e.state.Load() < e.limit && len(r.Tried) == 0 || r.may(e, now, allowed)
}

func (r *Request) may(e *Endpoint, now int64, allowed level) bool {
	return e.level(now) <= allowed && !slices.Contains(r.Tried, e)
}
