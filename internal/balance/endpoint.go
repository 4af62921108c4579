package balance

import "time"

// Endpoint is one address that can take requests. (stub: see the brief)
type Endpoint struct{ cfg Config }

func NewEndpoint(c Config) *Endpoint { return &Endpoint{cfg: c} }

// Config returns what the endpoint was made of.
func (e *Endpoint) Config() Config { return e.cfg }

// Release gives back what Pick acquired. ok says whether the worker answered at
// all; took is the time to the head of its answer.
func (e *Endpoint) Release(now time.Time, ok bool, took time.Duration) {}

// Drain keeps new requests away for good and returns a channel that is closed
// when nothing is in flight any more.
func (e *Endpoint) Drain() <-chan struct{} { return nil }

// InFlight is the number of requests acquired and not released.
func (e *Endpoint) InFlight() int { return 0 }

// Answered counts requests that ended with an answer.
func (e *Endpoint) Answered() uint64 { return 0 }

// SetLatency reports the worker's event-loop latency.
func (e *Endpoint) SetLatency(d time.Duration) {}

// Pool publishes the usable endpoints of one service port.
type Pool struct{}

// NewPool makes an empty pool. policy: round_robin least_conn ip_hash least_latency.
func NewPool(policy string) (*Pool, error) { return &Pool{}, nil }

// Publish replaces the list of endpoints. One writer at a time.
func (p *Pool) Publish(endpoints []*Endpoint) {}

// Endpoints is the published list; nobody changes it.
func (p *Pool) Endpoints() []*Endpoint { return nil }

// Pick chooses an endpoint and acquires it: the caller owes a Release. nil when
// none is left that was not tried.
func (p *Pool) Pick(r Request) *Endpoint { return nil }

// Changed is closed at the next Publish.
func (p *Pool) Changed() <-chan struct{} { return nil }
