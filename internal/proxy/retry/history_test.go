package retry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"bulsa/internal/balance"
)

// kind is what a request of a history does to the worker that begins it.
type kind int

const (
	harmless kind = iota
	once          // as harmless, but must not happen twice
	killer        // ends the worker
	quitter       // the worker closes the connection in place of an answer
)

// traveller is a request of a history, and what has become of it.
type traveller struct {
	kind   kind
	line   string
	try    *Try
	wait   Decision // what it waits for, if it does
	begun  int      // how often a worker has begun it
	closed int      // how often a living worker has closed on it
	killed int      // workers
	done   bool
	saw    Refusal // if it was refused
}

// history is a service with its requests and workers, in which chance decides what
// happens next.
type history struct {
	*world
	random  *rand.Rand
	members []*traveller
	runs    int  // of workers so far
	storms  bool // somebody kills workers from outside, too
	single  bool // there is one killer, and no quitter
}

func newHistory(t *testing.T, seed uint64, storms bool) *history {
	random := rand.New(rand.NewPCG(seed, 12))
	limits := Limits{Hold: 10 * time.Second, RetryTimeout: time.Minute}
	return &history{world: newWorld(t, limits, 2+random.IntN(4)), random: random, storms: storms}
}

// come is a new request. What kills and what quits has a path of its own.
func (h *history) come() {
	m := &traveller{kind: kind(h.random.IntN(4))}
	if h.single && (m.kind == quitter || m.kind == killer && slices.ContainsFunc(h.members, func(m *traveller) bool { return m.kind == killer })) {
		m.kind = harmless
	}
	m.line = [...]string{"GET /", "POST /orders", "GET /crash", "GET /quit"}[m.kind]
	if m.kind == harmless && h.random.IntN(2) == 0 {
		m.line = fmt.Sprintf("GET /item?id=%d", h.random.IntN(5))
	}
	m.try = h.begin(m.line)
	h.members = append(h.members, m)
	h.follow(m, m.try.Next(h.now))
}

// follow does what was decided, as a driver does.
func (h *history) follow(m *traveller, d Decision) {
	m.wait = Decision{}
	switch d.Kind {
	case StandIn:
		m.try.Join(h.now, func() {})
		h.follow(m, m.try.Next(h.now))
	case Look:
		h.follow(m, m.try.Next(h.now))
	case Wait:
		m.wait = d
	case Refuse:
		m.done, m.saw = true, d.Refusal
		m.try.End()
	}
}

// fail ends an attempt; others that are with the same worker fail with it if it died.
func (h *history) fail(m *traveller, o Outcome) { h.follow(m, m.try.Failed(h.now, o)) }

// die ends a worker, by a request or from outside.
func (h *history) die(ep *balance.Endpoint, by *traveller) {
	for _, m := range h.members {
		if m.done || m.try.Endpoint() != ep {
			continue
		}
		if m != by && h.random.IntN(2) == 0 { // it was not read yet
			h.fail(m, Outcome{Ending: Unbegun, Dead: true, Reason: "died"})
			continue
		}
		m.begun++
		h.fail(m, died)
	}
	rest := slices.DeleteFunc(slices.Clone(h.route.Pool.Endpoints()), func(e *balance.Endpoint) bool { return e == ep })
	h.route.Pool.Publish(rest)
}

// start brings a worker in the place of one that has died.
func (h *history) start(most int) {
	if list := h.route.Pool.Endpoints(); len(list) < most {
		h.runs++
		fresh := balance.NewEndpoint(balance.Config{Worker: fmt.Sprintf("app.%d", h.runs)})
		h.route.Pool.Publish(append(slices.Clone(list), fresh))
	}
}

// proceed goes on with one request: the worker does with it what it does, or it has
// waited long enough.
func (h *history) proceed(m *traveller) {
	switch {
	case m.done:
	case m.try.Endpoint() == nil:
		h.follow(m, m.try.Next(h.now))
	case h.random.IntN(10) == 0:
		h.fail(m, Outcome{Ending: Unbegun, Reused: h.random.IntN(2) == 0, Reason: "refused"})
	case m.kind == killer:
		m.killed++
		h.die(m.try.Endpoint(), m)
	case m.kind == quitter:
		m.begun++
		m.closed++
		h.fail(m, Outcome{Ending: Closed, Seen: true, Reused: h.random.IntN(2) == 0, Reason: "closed"})
	default:
		m.begun++
		h.answer(m.try)
		m.done = true
	}
}

func (h *history) run(steps int) {
	workers := len(h.route.Pool.Endpoints())
	for range steps {
		h.now = h.now.Add(time.Duration(h.random.Int64N(int64(2 * time.Millisecond))))
		switch n := h.random.IntN(20); {
		case n < 4 && len(h.members) < 60:
			h.come()
		case n < 6:
			h.start(workers)
		case n == 6 && h.storms:
			if list := h.route.Pool.Endpoints(); len(list) > 0 {
				h.die(list[h.random.IntN(len(list))], nil)
			}
		case len(h.members) > 0:
			h.proceed(h.members[h.random.IntN(len(h.members))])
		}
	}
	// Nobody else comes, and all workers are back: everything ends.
	for h.start(workers); len(h.route.Pool.Endpoints()) < workers; {
		h.start(workers)
	}
	for range 100_000 {
		open := slices.DeleteFunc(slices.Clone(h.members), func(m *traveller) bool { return m.done })
		if len(open) == 0 {
			return
		}
		h.now = h.now.Add(2 * time.Millisecond)
		h.start(workers)
		h.proceed(open[h.random.IntN(len(open))])
	}
	h.t.Fatal("some requests never end")
}

// mayEnd is how many workers a request may end: two, and more only where another was
// taken for the cause meanwhile, or so many like it were in one worker that they could
// be what everybody asks for.
func (h *history) mayEnd(k *traveller) int {
	if alone := func(m *traveller) bool { return m == k || m.kind == harmless || m.kind == once }; !h.storms && !slices.ContainsFunc(h.members, func(m *traveller) bool { return !alone(m) }) {
		return convicting
	}
	return 2 * convicting
}

// TestHistories: whatever happens, nothing runs twice that must not, nothing that was
// never begun is told that it may have been, no worker is kept from those who wait, and
// what ends workers ends few. Where one request does, it alone is refused for that.
func TestHistories(t *testing.T) {
	for seed := range uint64(3000) {
		h := newHistory(t, seed, seed%2 == 0)
		h.single = seed%3 == 0
		h.run(400)
		for _, m := range h.members {
			spurned := (m.kind == killer || h.storms) && m.saw.Reason == "requests like it end workers, and none can be spared for it ("+m.line+")"
			switch {
			case m.kind == once && m.begun > 1:
				t.Errorf("seed %d: a POST was begun %d times", seed, m.begun)
			case m.saw.Status == 502 && m.begun == 0 && !spurned:
				t.Errorf("seed %d: %s was never begun, and told %v", seed, m.line, m.saw)
			case m.saw.Status == 503 && (m.begun > 0 || m.saw.RetryAfter == 0):
				t.Errorf("seed %d: %s was begun, and told %v", seed, m.line, m.saw)
			case m.kind == killer && m.killed > h.mayEnd(m):
				t.Errorf("seed %d: one request has ended %d workers", seed, m.killed)
			case m.closed > 2:
				t.Errorf("seed %d: %d workers have closed on one request", seed, m.closed)
			case m.kind == harmless && !h.storms && h.single && m.saw.Status == 502:
				t.Errorf("seed %d: %s is innocent, and told %v", seed, m.line, m.saw)
			case m.kind == harmless && m.begun > mostSeen:
				t.Errorf("seed %d: %s was begun %d times", seed, m.line, m.begun)
			}
		}
		s := h.route.Service
		if s.budget.spent.Load() != 0 || s.Queued.Load() != 0 || h.route.Line.length.Load() != 0 {
			t.Errorf("seed %d: %d of the budget, %d in line are left", seed, s.budget.spent.Load(), s.Queued.Load())
		}
		for _, r := range s.suspects.by {
			if len(r.aboard) > 0 {
				t.Errorf("seed %d: suspects are left with a worker", seed)
			}
		}
		for _, ep := range h.route.Pool.Endpoints() {
			if ep.InFlight() != 0 {
				t.Errorf("seed %d: %d are left in flight", seed, ep.InFlight())
			}
		}
		if t.Failed() {
			return
		}
	}
}
