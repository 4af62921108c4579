package balance

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Nginx: max_fails is "the number of unsuccessful attempts ... that should
// happen in the duration set by fail_timeout to consider the server
// unavailable for a duration also specified by fail_timeout".
func TestMaxFailsWithinFailTimeout(t *testing.T) {
	const window = 10 * time.Second
	type at struct {
		seconds float64
		fails   bool // a request fails then; otherwise only look
		ejected bool // expected afterwards
	}
	for name, c := range map[string]struct {
		maxFails int
		timeline []at
	}{
		"three in ten seconds": {3, []at{
			{0, true, false}, {4, true, false}, {9.9, true, true}, {19.8, false, true}, {19.9, false, false}}},
		"three in more than ten seconds": {3, []at{
			{0, true, false}, {5, true, false}, {10.1, true, false}, {14, true, true}}},
		"one is enough":   {1, []at{{0, true, true}, {9.9, false, true}, {10, false, false}}},
		"zero: never":     {0, []at{{0, true, false}, {0, true, false}, {0, true, false}}},
		"the trial fails": {1, []at{{0, true, true}, {10, true, true}, {19, false, true}, {20, false, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := worker("a", maxFails(c.maxFails, window))
			for _, step := range c.timeline {
				now := start.Add(time.Duration(step.seconds * float64(time.Second)))
				if step.fails {
					failOnce(t, e, now)
				}
				if e.Ejected(now) != step.ejected {
					t.Fatalf("at %v s: ejected %v, want %v", step.seconds, e.Ejected(now), step.ejected)
				}
			}
		})
	}
}

func TestOneTrialAtATimeUntilSuccess(t *testing.T) {
	for _, policy := range []string{"round_robin", "least_conn", "least_latency"} {
		t.Run(policy, func(t *testing.T) {
			a, b := worker("a", maxFails(1, 10*time.Second)), worker("b")
			p := pool(t, policy, a, b)
			failOnce(t, a, start)
			r := Request{Now: start.Add(time.Second)}
			wantServed(t, p, r, "b b b b")
			r.Now = start.Add(10 * time.Second)
			for range 10 {
				p.Pick(r)
			}
			if a.InFlight() != 1 {
				t.Fatalf("%d requests try the endpoint, want 1", a.InFlight())
			}
			a.Release(r.Now, true, time.Millisecond)
			for range 20 {
				p.Pick(r)
			}
			if a.InFlight() < 5 {
				t.Errorf("after a success it gets %d of 20, want its share", a.InFlight())
			}
			if a.Failed() != 1 || a.Answered() != 1 {
				t.Errorf("counted %d failed, %d answered; want 1 each", a.Failed(), a.Answered())
			}
		})
	}
}

func TestAnswersToEarlierRequestsDoNotBringItBack(t *testing.T) {
	a := worker("a", maxFails(1, 10*time.Second))
	p := pool(t, "round_robin", a)
	early := p.Pick(Request{Now: start})
	failOnce(t, a, start)
	early.Release(start, true, time.Second)
	if !a.Ejected(start) {
		t.Error("an answer that began before the failure ended the ejection")
	}
}

func TestEjectionNeverEmptiesThePool(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			a, b := worker("a", maxFails(1, time.Minute)), worker("b", maxFails(1, time.Minute), backup)
			p := pool(t, policy, a, b)
			failOnce(t, a, start)
			failOnce(t, b, start)
			r := Request{Now: start, Client: client(1)}
			first := p.Pick(r)
			r.Tried = []*Endpoint{first}
			second := p.Pick(r)
			if first == nil || second == nil {
				t.Fatal("all are ejected, and nothing was picked")
			}
			second.Release(start, true, time.Millisecond)
			if second.Ejected(start) {
				t.Error("an answer while all were ejected does not end the ejection")
			}
			r.Tried = nil
			if p.Pick(r) != second {
				t.Error("the one that answered is not preferred")
			}
		})
	}
}

func TestTheOnlyEndpointIsNeverTakenOut(t *testing.T) {
	a := worker("a", maxFails(1, time.Minute))
	p := pool(t, "", a)
	for range 5 {
		failOnce(t, a, start)
		wantServed(t, p, Request{Now: start}, "a")
	}
}

func TestDownComesLast(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			a, b := worker("a"), worker("b", maxFails(1, time.Minute))
			p := pool(t, policy, a, b)
			r := Request{Now: start, Client: client(1)}
			a.Down()
			wantServed(t, p, r, "b b b")
			for range 50 { // busy, but alive
				b.state.Add(1)
			}
			wantServed(t, p, r, "b b b")
			failOnce(t, b, start)
			wantServed(t, p, r, "b") // ejected is better than down
			r.Tried = []*Endpoint{b}
			wantServed(t, p, r, "a a") // which turned out not to be down
			if a.Ejected(start) {
				t.Error("a answered and is still out")
			}
		})
	}
}

func TestDownIsTriedAgainAfterFailTimeout(t *testing.T) {
	a, b := worker("a", maxFails(3, time.Second)), worker("b")
	p := pool(t, "round_robin", a, b)
	a.Down()
	wantServed(t, p, Request{Now: start}, "b b")
	later := Request{Now: start.Add(time.Second)}
	if p.Pick(later) != a {
		t.Fatal("no trial after FailTimeout")
	}
	wantServed(t, p, later, "b b b")
	a.Release(later.Now, false, 0)
	wantServed(t, p, later, "b b b")
	wantServed(t, p, Request{Now: start.Add(2 * time.Second)}, "a b a b")
}

func TestClockSetBackDoesNotKeepItOut(t *testing.T) {
	a := worker("a", maxFails(1, time.Second))
	failOnce(t, a, start)
	if a.Ejected(start.Add(-time.Hour)) {
		t.Error("an hour was set back, and it is out for an hour")
	}
}

// Whatever happens, Pick gives an endpoint unless all are draining, full or tried.
func TestPickIsNilOnlyIfNothingIsUsable(t *testing.T) {
	for _, policy := range policies {
		for seed := range uint64(200) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			es := randomEndpoints(rnd)
			p := pool(t, policy, es...)
			now := start
			for range 300 {
				now = now.Add(time.Duration(rnd.IntN(2000)) * time.Millisecond)
				r := Request{Now: now, Client: client(rnd.IntN(9)), Sticky: StickyID(es[rnd.IntN(len(es))])}
				for _, e := range es {
					if rnd.IntN(5) == 0 {
						r.Tried = append(r.Tried, e)
					}
				}
				left := 0
				for _, e := range es {
					if r.can(e, now.UnixNano(), down) {
						left++
					}
				}
				got := p.Pick(r)
				if (got == nil) != (left == 0) {
					t.Fatalf("%s, seed %d: picked %v of %d that can", policy, seed, got, left)
				}
				happen(rnd, es, now)
			}
		}
	}
}

func randomEndpoints(rnd *rand.Rand) []*Endpoint {
	es := names(1 + rnd.IntN(12))
	for i, e := range es {
		c := e.cfg
		c.Weight = 1 + rnd.IntN(5)
		c.Backup = rnd.IntN(4) == 0
		c.MaxFails, c.FailTimeout = rnd.IntN(3), 5*time.Second
		c.MaxConns = rnd.IntN(4)
		c.SlowStart, c.Ready = time.Duration(rnd.IntN(2))*time.Minute, start
		es[i] = NewEndpoint(c)
	}
	return es
}

func happen(rnd *rand.Rand, es []*Endpoint, now time.Time) {
	e := es[rnd.IntN(len(es))]
	switch n := rnd.IntN(100); {
	case n == 0:
		e.Drain()
	case n < 5:
		e.Down()
	case n < 10:
		e.SetLoop(Loop{Latency: time.Duration(n) * time.Second})
	case e.InFlight() > 0:
		e.Release(now, n < 60, time.Duration(n)*time.Millisecond)
	}
}
