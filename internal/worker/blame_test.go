package worker

import (
	"math/rand/v2"
	"testing"
	"time"
)

// byRequest is the end of a run by a request that was with it.
func byRequest(random *rand.Rand) Exit {
	ways := [...]Exit{
		{Code: 1}, {}, {Code: -1, Signal: "SIGSEGV"}, {Code: -1, Signal: "SIGABRT"},
		{Code: -1, Signal: "SIGKILL"}, {Code: -1, Signal: "SIGKILL", OOM: true}, {Voluntary: true},
	}
	e := ways[random.IntN(len(ways))]
	e.Served, e.Busy = true, true
	return e
}

// TestRequestsThatKillNeverStopAWorker: whatever they do, however fast they come,
// and though somebody kills starts in between.
func TestRequestsThatKillNeverStopAWorker(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 5))
		l := newLife(defaults())
		for range 300 {
			if l.m.history.proven && random.IntN(4) == 0 {
				l.now = l.now.Add(time.Duration(random.Int64N(int64(time.Second))))
				l.m.Step(l.now, Fact{Kind: Exited, Instance: l.m.Instance(), Exit: Exit{Code: -1, Signal: "SIGKILL"}})
			} else {
				l.die(time.Duration(random.Int64N(int64(2*time.Second))), byRequest(random))
			}
			if l.m.State() == Failed || len(l.m.history.deaths) > 12 {
				t.Fatalf("seed %d: %v after %d starts: %s", seed, l.m.State(), len(l.starts), l.m.Cause())
			}
			l.wait()
		}
	}
}

// TestDeathsByRequestsAreWaitedForUpToASecond: at once at first, since one bad
// request must not cost more than a start, and then no more often than the
// machine can bear.
func TestDeathsByRequestsAreWaitedForUpToASecond(t *testing.T) {
	c := defaults()
	c.Restart.Jitter = 0
	l := newLife(c)
	for range 8 {
		l.die(10*time.Millisecond, Exit{Code: 1, Served: true, Busy: true})
		l.wait()
	}
	l.die(10*time.Second, Exit{Code: 1, Served: true, Busy: true})
	want := []time.Duration{0, 100, 200, 400, 800, 1000, 1000, 1000, 0}
	for i, d := range l.delays {
		if d != want[i]*time.Millisecond {
			t.Errorf("delays %v, want %v ms", l.delays, want)
			break
		}
	}
}

// TestKillsDuringTheStartAreNobodysCrash: a storm hits starts as well as ready runs.
// Of a program that was ready before they say nothing; of one that never was they
// count, and so do many in a row.
func TestKillsDuringTheStartAreNobodysCrash(t *testing.T) {
	killed := Exit{Code: -1, Signal: "SIGKILL"}
	l := newLife(defaults())
	l.m.Step(l.now, Fact{Kind: Exited, Instance: l.m.Instance(), Exit: killed})
	if len(l.m.history.deaths) != 1 {
		t.Error("a program that was never ready is excused")
	}
	l.wait()
	for range 1000 {
		for range strayWeight - 1 {
			l.m.Step(l.now, Fact{Kind: Listening, Instance: l.m.Instance()})
			l.m.Step(l.now, Fact{Kind: Exited, Instance: l.m.Instance(), Exit: killed})
			if l.m.State() != Backoff || l.m.Wake() != l.now {
				t.Fatalf("%v until %v", l.m.State(), l.m.Wake())
			}
			l.wait()
			l.now = l.now.Add(50 * time.Millisecond)
		}
		l.die(time.Millisecond, Exit{Code: -1, Signal: "SIGKILL", Served: true})
		l.wait()
	}
	if len(l.m.history.deaths) != 1 {
		t.Errorf("%d deaths counted", len(l.m.history.deaths))
	}
}

// TestWhoIsNeededIsStartedSoon: from any rest but a final one, after any end of a run
// that was ready, within the first delay.
func TestWhoIsNeededIsStartedSoon(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 6))
		c := defaults()
		c.Restart.Budget = 1 + random.IntN(5)
		l := newLife(c)
		for range 30 {
			l.die(time.Duration(random.Int64N(int64(20*time.Second))), Exit{Code: random.IntN(2), Served: true, Busy: random.IntN(2) == 0})
			died := l.now
			l.now = l.now.Add(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
			l.m.Step(l.now, Fact{Kind: Needed})
			if l.m.State() != Starting {
				if d := l.m.Wake().Sub(died); l.m.Wake().IsZero() || d > 110*time.Millisecond {
					t.Fatalf("seed %d: %v, the next start %v after the end", seed, l.m.State(), d)
				}
				l.wait()
			}
			if l.m.State() != Starting {
				t.Fatalf("seed %d: %v", seed, l.m.State())
			}
		}
	}
}

// TestNobodyNeedsAProgramThatCannotStart: a crash loop at the start keeps to its
// budget, however many requests wait.
func TestNobodyNeedsAProgramThatCannotStart(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 7))
		l := newLife(defaults())
		for l.now.Sub(epoch) < time.Hour {
			l.now = l.now.Add(time.Duration(random.Int64N(int64(3 * time.Second))))
			l.m.Step(l.now, Fact{Kind: Exited, Instance: l.m.Instance(), Exit: Exit{Code: 1}})
			for l.m.State() != Starting {
				l.m.Step(l.now, Fact{Kind: Needed})
				if wake := l.m.Wake(); wake.After(l.now) && random.IntN(2) == 0 {
					l.now = wake
				} else {
					l.now = l.now.Add(50 * time.Millisecond)
				}
				if kinds(l.m.Step(l.now, Fact{Kind: Wake})) == "launch" {
					l.starts = append(l.starts, l.now)
				}
			}
		}
		if most := mostWithin(l.starts, 10*time.Minute); most > 20 {
			t.Fatalf("seed %d: %d starts within 10 minutes", seed, most)
		}
	}
}

func TestALimitOfTheUsersHoldsForRequestsToo(t *testing.T) {
	c := defaults()
	c.Restart.MaxAttempts = 2
	l := newLife(c)
	for range 3 {
		l.die(time.Second, Exit{Code: 1, Served: true, Busy: true})
		if l.m.State() == Backoff {
			l.wait()
		}
	}
	l.m.Step(l.now, Fact{Kind: Needed})
	if l.m.State() != Failed || !l.m.Wake().IsZero() {
		t.Errorf("%v, wake %v", l.m.State(), l.m.Wake())
	}
}
