package supervisor

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// poolKey names a pool: a port of the service that owns it.
type poolKey struct {
	owner string
	port  engine.Port
}

// poolOf is the pool that the endpoints of a service's port belong to.
func poolOf(s spec.Service, p engine.Port) poolKey {
	if p == engine.Main {
		return poolKey{s.Owner(), p}
	}
	return poolKey{s.Name, p}
}

// Pools are the pools of all services. One service fills a pool, or several that
// have joined it.
type Pools struct {
	mu  sync.Mutex
	all map[poolKey]*sharedPool
}

// sharedPool is a pool and what each service has put into it.
type sharedPool struct {
	pool   *balance.Pool
	policy string
	parts  map[*service][]*balance.Endpoint
}

// NewPools makes a book without pools.
func NewPools() *Pools { return &Pools{all: map[poolKey]*sharedPool{}} }

// Of is the pool that requests for a service's port are balanced over.
func (p *Pools) Of(s spec.Service, port engine.Port) (*balance.Pool, error) {
	return p.get(poolOf(s, port), s.Balance.Policy)
}

// get returns a pool of this policy, for whoever routes to it. One that nobody
// fills yet is empty.
func (p *Pools) get(key poolKey, policy string) (*balance.Pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.all[key]
	if old != nil && old.policy == policy {
		return old.pool, nil
	}
	fresh, err := newSharedPool(policy)
	if err != nil {
		return nil, err
	}
	if old != nil {
		fresh.parts = old.parts
		fresh.publish()
	}
	p.all[key] = fresh
	return fresh.pool, nil
}

func newSharedPool(policy string) (*sharedPool, error) {
	pool, err := balance.NewPool(policy)
	return &sharedPool{pool: pool, policy: policy, parts: map[*service][]*balance.Endpoint{}}, err
}

// fill replaces what a service has in a pool: one that was removed and one that
// came back under its name have each their own part. The policy is for a pool that
// is not there yet: that of another one changes when somebody routes to it.
func (p *Pools) fill(key poolKey, policy string, by *service, endpoints []*balance.Endpoint) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.all[key]
	if s == nil {
		fresh, err := newSharedPool(policy)
		if err != nil {
			return err
		}
		s, p.all[key] = fresh, fresh
	}
	s.parts[by] = endpoints
	if len(endpoints) == 0 {
		delete(s.parts, by)
	}
	s.publish()
	return nil
}

func (s *sharedPool) publish() {
	var all []*balance.Endpoint
	for _, part := range slices.SortedFunc(maps.Keys(s.parts), olderFirst) {
		all = append(all, s.parts[part]...)
	}
	s.pool.Publish(all)
}

// olderFirst sorts services by name, the one that was removed before its successor.
func olderFirst(a, b *service) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.serial, b.serial))
}

// rest tells the pools that a service owns why nobody will come to them, if nobody will.
func (p *Pools) rest(owner *service, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, s := range p.all {
		if key.owner == owner.name {
			s.pool.Rest(why)
		}
	}
}

// rests says why no worker will come before somebody asks for one; "" when one may:
// of the service, or of one that has joined its pool.
func (s *service) rests() string {
	why := ""
	switch {
	case s.stopped:
		why = s.name + " is stopped"
	case s.desired(time.Time{}).Replicas == 0:
		why = s.name + " is scaled to 0"
	default:
		return ""
	}
	current := false // else it was removed, and its pools are a successor's
	for _, other := range s.supervisor.all() {
		current = current || other == s
		if other != s && other.status.Load().Service.Owner() == s.name {
			return ""
		}
	}
	if !current {
		return ""
	}
	return why
}

// of are the pools that a service's endpoints are in.
func (p *Pools) of(sv *service) []*balance.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []*balance.Pool
	for key, s := range p.all {
		if key.owner == sv.name || len(s.parts[sv]) > 0 {
			found = append(found, s.pool)
		}
	}
	return found
}
