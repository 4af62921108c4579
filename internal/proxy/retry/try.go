package retry

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"bulsa/internal/balance"
)

// Limits are what the settings of a service say of its requests' tries. None of
// them: a zero.
type Limits struct {
	Hold         time.Duration // how long a request waits for a usable worker: 503, or 502 once a worker may have begun it; 0: not at all
	Queue        int           // requests that wait while every worker is full: 503; 0: any number, for Hold
	QueueTimeout time.Duration // how long they wait: 503; 0: Hold
	RetryTimeout time.Duration // from the request to the last moment at which a retry begins
}

// Service is what the requests of one service share, whichever listener they come
// by. Its zero value is ready.
type Service struct {
	InFlight  atomic.Int64  // requests now
	Queued    atomic.Int64  // requests in line now, because every worker is full
	QueueFull atomic.Uint64 // requests refused because the line was full
	Retries   atomic.Uint64 // attempts after the first of a request
	Delayed   atomic.Uint64 // retries that had to wait for the budget

	budget   budget
	suspects suspects
}

// Route is where the tries of a request go.
type Route struct {
	*Limits
	Service *Service
	Pool    *balance.Pool
	Line    *Line // of the pool
}

// Request is what the rules ask about a request.
type Request struct {
	Line       []byte     // its first words, "GET /path?query", for messages and to know one like it; empty: a connection that is passed on whole
	Client     netip.Addr // what balancing goes by
	Sticky     string     // value of the sticky cookie, or ""
	Idempotent bool       // it may happen twice
	Upgrade    bool
	Hasty      bool // it has waited already, or nobody will wait for it: it is not held
}

// Try is a request on its way to an answer, over as many attempts as that takes. Who
// carries it does as Next says, and tells by Failed, Release or Returned how each
// attempt ended, until there is an answer or a refusal, and calls End. One goroutine
// uses it.
type Try struct {
	route   Route
	Request Request // does not change
	began   time.Time
	until   time.Time // end of the hold
	pause   time.Duration

	ep       *balance.Endpoint // of the attempt at hand
	asks     time.Time         // since when it is under way
	tried    []*balance.Endpoint
	attempts int    // that have failed
	last     string // why the last one did

	closed    int  // attempts that a living worker may have begun, and ended without an answer
	blamed    int  // workers that have died with it, and nothing else explains that
	seen      int  // attempts of which the worker has seen something
	begun     bool // a worker may have begun it
	convicted bool // it is held to be what ends workers: one like it had, or it has ended two

	costly   bool // another attempt may make it run twice: it needs a part of the budget
	spending bool // it has got it
	delayed  bool // it had to wait for it
	heldAnew bool // the hold has begun again

	asked    bool      // the last look for an endpoint was one
	waiting  bool      // the last decision was Wait
	rank     rank      // what is known against it, at the last look
	aboard   bool      // the attempt at hand is known to the suspects
	known    keys      // what the suspects know it by, if they do
	shunned  time.Time // since when no worker would do because of the suspects
	spurned  bool      // there is none for it: it is a convict like those that have ended too many
	place    *waiter   // in the line, while every worker is full
	queued   bool      // it has been in the line
	overflow bool      // the line was full
}

// Begin starts a try. It is owed an End. What an earlier one has used is used again.
func (t *Try) Begin(now time.Time, route Route, request Request) {
	*t = Try{route: route, Request: request, began: now, until: now, tried: t.tried[:0]}
	if !request.Hasty {
		t.until = now.Add(route.Hold)
	}
}

// End is called when the request is over and no attempt is under way. What t has
// allocated is kept for the next Begin.
func (t *Try) End() {
	t.leaveLine()
	t.refund()
	clear(t.tried)
	*t = Try{tried: t.tried[:0]}
}

// Endpoint is that of the attempt at hand; nil: there is none.
func (t *Try) Endpoint() *balance.Endpoint { return t.ep }

// Attempted says whether an attempt has failed.
func (t *Try) Attempted() bool { return t.attempts > 0 }

// Kind says what a Decision wants done.
type Kind uint8

const (
	Ask      Kind = iota // try Endpoint, which is acquired: it is owed a Failed, Release or Returned
	AskAgain             // try the endpoint of the attempt at hand once more, over a new connection
	Wait                 // until Changed is closed, or Until, or a turn in the line; then call Next
	StandIn              // call Join, then Next
	Look                 // call Next
	Refuse               // answer with Refusal
)

// Decision is what to do next with a request.
type Decision struct {
	Kind     Kind
	Endpoint *balance.Endpoint
	Changed  <-chan struct{}
	Until    time.Time
	Refusal  Refusal
}

// Next looks for an endpoint. Where none is free the request waits for news of the
// pool, or in line while all are full, or for a moment when each has failed once.
func (t *Try) Next(now time.Time) Decision {
	if t.waiting && t.asked { // another round, in which those that failed may be asked again
		t.tried = t.tried[:0]
	}
	t.waiting = false
	ep := t.choose(now)
	if ep == nil && t.mustQueue() {
		return Decision{Kind: StandIn}
	}
	var changed <-chan struct{}
	if ep == nil {
		changed = t.route.Pool.Changed()
		ep = t.choose(now) // it may have come just now
	}
	switch {
	case ep != nil:
		return t.ask(now, ep)
	case t.overflow || t.spurned || !now.Before(t.until) || t.route.Pool.Rests() != "":
		return Decision{Kind: Refuse, Refusal: t.GiveUp()}
	}
	t.waiting = true
	return Decision{Kind: Wait, Changed: changed, Until: t.nextLook(now)}
}

// GiveUp ends a wait: it says why the request has come to no worker.
func (t *Try) GiveUp() Refusal {
	t.leaveLine()
	t.waiting = false
	return t.unserved()
}

func (t *Try) ask(now time.Time, ep *balance.Endpoint) Decision {
	t.leaveLine()
	if t.attempts > 0 {
		t.route.Service.Retries.Add(1)
	}
	t.ep, t.asks = ep, now
	if t.rank > unknown {
		t.aboard = t.route.Service.suspects.board(t.known, ep)
	}
	return Decision{Kind: Ask, Endpoint: ep}
}

// nextLook is when to look again without news: where there are endpoints the one that
// may ask tries again soon.
func (t *Try) nextLook(now time.Time) time.Time {
	const shortest, longest = 5 * time.Millisecond, 100 * time.Millisecond
	if len(t.route.Pool.Endpoints()) == 0 || t.place != nil && !t.route.Line.first(t.place) {
		return t.until
	}
	t.pause = min(max(2*t.pause, shortest), longest)
	return earlier(t.until, now.Add(t.pause))
}

// choose acquires an endpoint if one is free, and it is this request's turn to ask
// and within the budget.
func (t *Try) choose(now time.Time) *balance.Endpoint {
	line := t.route.Line
	t.asked, t.rank = false, unknown
	switch {
	case t.place != nil && !line.first(t.place):
		return nil
	case t.place == nil && t.attempts == 0 && line.length.Load() > 0: // nobody overtakes
		return nil
	case !t.afford():
		return nil
	}
	r := balance.Request{Now: now, Client: t.Request.Client, Sticky: t.Request.Sticky, Tried: t.tried}
	if t.route.Service.suspects.any() {
		shun, none := t.shun(now)
		if none {
			t.refund()
			return nil
		}
		if len(shun) > 0 {
			r.Tried = append(slices.Clone(t.tried), shun...)
		}
	}
	t.asked = true
	ep := t.route.Pool.Pick(r)
	if ep == nil && len(r.Tried) > len(t.tried) && t.rank == unknown {
		r.Tried = t.tried // rather beside a suspect than not at all
		ep = t.route.Pool.Pick(r)
	}
	if ep == nil {
		t.refund()
	}
	return ep
}

// afford takes a part of the budget where one is needed.
func (t *Try) afford() bool {
	if !t.costly || t.spending {
		return true
	}
	service := t.route.Service
	t.spending = service.budget.take(service.InFlight.Load())
	if !t.spending && !t.delayed {
		t.delayed = true
		service.Delayed.Add(1)
	}
	return t.spending
}

func (t *Try) refund() {
	if t.spending {
		t.spending = false
		t.route.Service.budget.give()
	}
}

// mustQueue says whether the request has to stand in line and does not yet.
func (t *Try) mustQueue() bool {
	return t.place == nil && !t.overflow && t.attempts == 0 && (t.route.Line.length.Load() > 0 || anyFull(t.route.Pool))
}

// anyFull says whether an endpoint has as many requests as it may.
func anyFull(p *balance.Pool) bool {
	for _, ep := range p.Endpoints() {
		if most := ep.Config().MaxConns; most > 0 && ep.InFlight() >= most {
			return true
		}
	}
	return false
}

// Join puts the request into the line. wake says that calling Next may be worth it;
// it is called from any goroutine and must not block. Where the line is full the
// next Next says so.
func (t *Try) Join(now time.Time, wake func()) {
	w := &waiter{wake: wake}
	service := t.route.Service
	if t.overflow = !t.route.Line.join(w, t.route.Queue); t.overflow {
		service.QueueFull.Add(1)
		return
	}
	t.place, t.queued = w, true
	service.Queued.Add(1)
	if d := t.route.QueueTimeout; d > 0 {
		t.until = now.Add(d)
	}
}

func (t *Try) leaveLine() {
	if t.place == nil {
		return
	}
	t.route.Line.leave(t.place)
	t.place = nil
	t.route.Service.Queued.Add(-1)
}

// Answered says that the answer has begun: whatever became of others like it, this
// request kills nobody.
func (t *Try) Answered() {
	if s := &t.route.Service.suspects; s.any() {
		s.acquit(t.keys())
	}
}

// Release ends the attempt at hand: with an answer, or because the client has left.
// ok says whether the worker is without blame; took is the time to the head of its
// answer (0: unknown).
func (t *Try) Release(now time.Time, ok bool, took time.Duration) {
	t.refund()
	if t.aboard {
		t.aboard = false
		t.route.Service.suspects.leave(t.known, t.ep)
	}
	t.ep.Release(now, ok, took)
	t.ep = nil
	t.route.Line.vacancy()
}

// Returned ends the attempt at hand because the worker has seen nothing of the request,
// which was taken back from it. In this round it goes to another.
func (t *Try) Returned(now time.Time) {
	t.route.Service.Retries.Add(1)
	blocked := t.ep
	t.Release(now, true, 0)
	t.tried = append(t.tried, blocked)
}

// Another says whether the request would be with a worker sooner than with the
// present one: with one whose event loop has not stood still for so long.
func (t *Try) Another(now time.Time, blocked time.Duration) bool {
	for _, ep := range t.route.Pool.Endpoints() {
		if ep != t.ep && ep.Blocked(now) < blocked && good(ep, now) && !slices.Contains(t.tried, ep) {
			return true
		}
	}
	return false
}

// good says whether nothing is known against an endpoint.
func good(ep *balance.Endpoint, now time.Time) bool { return !ep.Silent() && !ep.Ejected(now) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
