package balance

import (
	"strings"
	"testing"
	"time"
)

func running(d time.Duration) Loop { return Loop{Since: start.Add(-d)} }

func TestATickThatLastsWeighsAsRequests(t *testing.T) {
	es := names(2)
	p := pool(t, "", es...)
	es[0].SetLoop(running(time.Millisecond)) // as exact as the clock
	es[1].SetLoop(Loop{})
	wantServed(t, p, Request{Now: start}, "app.1 app.2 app.1 app.2")
	es[0].SetLoop(running(30 * time.Millisecond))
	wantServed(t, p, Request{Now: start}, "app.2 app.2 app.2")
	for range 4 {
		es[1].enter() // four requests in flight are worse than 30 ms
	}
	wantServed(t, p, Request{Now: start}, "app.1")
	es[0].SetLoop(Loop{})
	wantServed(t, p, Request{Now: start}, "app.1")
}

// A tick that has begun ages with the clock, without another look.
func TestATickAgesBetweenLooks(t *testing.T) {
	es := names(2)
	p := pool(t, "", es...)
	es[0].SetLoop(running(3 * time.Millisecond))
	es[1].SetLoop(Loop{})
	es[1].enter()
	for _, e := range es {
		e.succeed(start.UnixNano(), time.Millisecond)
	}
	wantServed(t, p, Request{Now: start}, "app.1")
	wantServed(t, p, Request{Now: start.Add(40 * time.Millisecond)}, "app.2 app.2")
}

// Slow answers of a loop that turns are those of slow requests.
func TestSlowAnswersDoNotBlameALoopThatTurns(t *testing.T) {
	es := names(2)
	p := pool(t, "", es...)
	for _, e := range es {
		e.SetLoop(Loop{})
	}
	es[0].answers.Store(uint64(answerTime(0).add(start.UnixNano(), 900*time.Millisecond)))
	es[1].answers.Store(uint64(answerTime(0).add(start.UnixNano(), 2*time.Millisecond)))
	if got := serve(p, 4, Request{Now: start}); !strings.Contains(got, "app.1") {
		t.Errorf("app.1 gets nothing: %s", got)
	}
}

func TestASilentWorkerGetsNothingNewUnderAnyPolicy(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			es := names(3)
			p := pool(t, policy, es...)
			es[1].SetLoop(Loop{Since: start.Add(-time.Second), Silent: true})
			for i := range 30 {
				if got := serve(p, 1, Request{Now: start, Client: client(i)}); got == "app.2" {
					t.Fatal("a silent worker got a request")
				}
			}
			es[1].SetLoop(Loop{})
			seen := ""
			for i := range 30 {
				seen += serve(p, 1, Request{Now: start, Client: client(i)})
			}
			if !strings.Contains(seen, "app.2") || es[1].Silent() {
				t.Error("a worker whose loop turns again got no request")
			}
		})
	}
}

func TestWhenAllAreSilentAllAreUsed(t *testing.T) {
	for _, policy := range policies {
		es := names(2)
		p := pool(t, policy, es...)
		for _, e := range es {
			e.SetLoop(Loop{Since: start.Add(-time.Second), Silent: true})
		}
		seen := ""
		for i := range 30 {
			seen += serve(p, 1, Request{Now: start, Client: client(i)})
		}
		if !strings.Contains(seen, "app.1") || !strings.Contains(seen, "app.2") {
			t.Errorf("%s: %s", policy, seen)
		}
	}
}

func TestSilenceIsBetterThanFailures(t *testing.T) {
	a, b := worker("a", maxFails(1, time.Minute)), worker("b")
	p := pool(t, "", a, b)
	p.Pick(Request{Now: start, Tried: []*Endpoint{b}}).Release(start, false, 0)
	b.SetLoop(Loop{Since: start.Add(-time.Second), Silent: true})
	wantServed(t, p, Request{Now: start}, "b b")
}

func TestATrialWaitsForALoopThatTurns(t *testing.T) {
	a, b := worker("a", maxFails(1, time.Minute)), worker("b")
	p := pool(t, "round_robin", a, b)
	p.Pick(Request{Now: start, Tried: []*Endpoint{b}}).Release(start, false, 0)
	a.SetLoop(Loop{Since: start, Silent: true})
	later := start.Add(2 * time.Minute)
	wantServed(t, p, Request{Now: later}, "b b")
	a.SetLoop(Loop{})
	if got := serve(p, 2, Request{Now: later}); !strings.Contains(got, "a") || a.Ejected(later) {
		t.Errorf("no trial: %s", got)
	}
}

func TestASilentWorkerKeepsItsStickyClients(t *testing.T) {
	es := names(2)
	p := pool(t, "round_robin", es...)
	es[0].SetLoop(Loop{Since: start, Silent: true})
	wantServed(t, p, Request{Now: start, Sticky: StickyID(es[0])}, "app.1 app.1")
	es[0].Drain()
	wantServed(t, p, Request{Now: start, Sticky: StickyID(es[0])}, "app.2")
}

func TestTheNextPickRingsOnce(t *testing.T) {
	p := pool(t, "", names(1)...)
	bell := make(chan struct{}, 1)
	p.Await(bell)
	for range 3 {
		serve(p, 1, Request{Now: start})
	}
	<-bell
	select {
	case <-bell:
		t.Error("it rang twice")
	default:
	}
	p.Await(bell)
	p.Await(bell)
	bell <- struct{}{} // full: the pick does not wait
	serve(p, 1, Request{Now: start})
}

func TestPickOfWatchedLoopsAllocatesNothing(t *testing.T) {
	es := names(4)
	p := pool(t, "", es...)
	es[0].SetLoop(Loop{Since: start.Add(-time.Second), Silent: true})
	es[1].SetLoop(running(20 * time.Millisecond))
	bell := make(chan struct{}, 1)
	var ring chan<- struct{} = bell
	if n := testing.AllocsPerRun(1000, func() {
		p.bell.Store(&ring)
		p.Pick(Request{Now: start}).Release(start, true, time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestALoopThatWaitsForEventsIsNotBlocked(t *testing.T) {
	e, now := NewEndpoint(Config{Worker: "app.1"}), time.Now()
	if d := e.Blocked(now); d != 0 {
		t.Errorf("a loop that nobody watches is blocked for %s", d)
	}
	e.SetLoop(Loop{Since: now.Add(-time.Second)})
	if d := e.Blocked(now); d != time.Second {
		t.Errorf("it is blocked for %s, want 1s", d)
	}
	e.SetLoop(Loop{})
	if d := e.Blocked(now); d != 0 {
		t.Errorf("it waits for events, and is blocked for %s", d)
	}
}

func TestALateLookSaysLittleAboutNow(t *testing.T) {
	es := names(2)
	p := pool(t, "least_latency", es...)
	es[0].SetLoop(Loop{At: start, Since: start.Add(-3 * time.Millisecond)}) // it turned then, as loops do
	es[1].SetLoop(Loop{At: start})
	for _, later := range []time.Duration{10 * time.Millisecond, 150 * time.Millisecond} {
		now := start.Add(later)
		busy := p.Pick(Request{Now: now})
		if busy != es[1] {
			t.Fatal("the one whose loop ran at the last look is preferred")
		}
		if next := p.Pick(Request{Now: now}); next != es[0] {
			t.Errorf("%v after the look one with a request is preferred to one whose loop ran then", later)
		} else {
			next.Release(now, true, 0)
		}
		busy.Release(now, true, 0)
	}
}
