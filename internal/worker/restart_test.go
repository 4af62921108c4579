package worker

import (
	"strings"
	"testing"
	"time"

	"bulsa/internal/spec"
)

// life lets one worker die over and over and keeps the times of its starts.
type life struct {
	m      Machine
	now    time.Time
	starts []time.Time
	delays []time.Duration
}

func newLife(c Config) *life {
	l := &life{m: New("app.1", c, 7), now: epoch}
	l.m.Step(l.now, Fact{Kind: Start})
	l.starts = []time.Time{l.now}
	return l
}

// die lets the current run listen, live for d and end.
func (l *life) die(d time.Duration, e Exit) {
	id := l.m.Instance()
	l.m.Step(l.now, Fact{Kind: Listening, Instance: id})
	l.now = l.now.Add(d)
	l.m.Step(l.now, Fact{Kind: Exited, Instance: id, Exit: e})
	if wake := l.m.Wake(); !wake.IsZero() {
		l.delays = append(l.delays, wake.Sub(l.now))
	}
}

// wait lets the time of the next start come.
func (l *life) wait() {
	l.now = l.m.Wake()
	if effects := l.m.Step(l.now, Fact{Kind: Wake}); kinds(effects) == "launch" {
		l.starts = append(l.starts, l.now)
	}
}

func TestTheDelayDoublesToItsMaximumAndStartsAgainAfterHealth(t *testing.T) {
	c := defaults()
	c.Restart.Jitter, c.Restart.Budget = 0, 100
	l := newLife(c)
	for range 11 {
		l.die(time.Second, Exit{Code: 1})
		l.wait()
	}
	l.die(10*time.Second, Exit{Code: 1})
	got := make([]string, 0, len(l.delays))
	for _, d := range l.delays {
		got = append(got, d.String())
	}
	if want := "100ms 200ms 400ms 800ms 1.6s 3.2s 6.4s 12.8s 25.6s 30s 30s 100ms"; strings.Join(got, " ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, " "), want)
	}
	if l.m.Restarts() != 11 {
		t.Errorf("%d restarts", l.m.Restarts())
	}
}

func TestJitterStaysWithinItsShareAndDiffersByWorker(t *testing.T) {
	first := map[time.Duration]bool{}
	for seed := range uint64(200) {
		m := New("app.1", defaults(), seed)
		m.Step(epoch, Fact{Kind: Start})
		m.Step(epoch, Fact{Kind: Exited, Instance: m.Instance(), Exit: Exit{Code: 1}})
		d := m.Wake().Sub(epoch)
		if d < 90*time.Millisecond || d > 110*time.Millisecond {
			t.Errorf("delay %v", d)
		}
		first[d] = true
	}
	if len(first) < 190 {
		t.Errorf("only %d different delays of 200", len(first))
	}
}

// TestTheBudgetTriggersWhateverTheAgeAtDeath is the crash loop that looks at
// age would miss. Thirteen deaths are the most that keep a loop of any age below
// 21 starts in 10 minutes, the slow retries included.
func TestTheBudgetTriggersWhateverTheAgeAtDeath(t *testing.T) {
	for _, age := range []time.Duration{0, 1, 2, 5, 9, 11, 20, 35} {
		age *= time.Second
		l := newLife(defaults())
		for l.m.State() != Failed {
			if l.now.Sub(epoch) > 10*time.Minute {
				t.Fatalf("age %v: still restarting after 10 minutes", age)
			}
			l.die(age, Exit{Code: 1})
			if l.m.State() == Backoff {
				l.wait()
			}
		}
		if want := "13 deaths in 10 minutes, last: exit 1 after " + span(age); l.m.Cause() != want {
			t.Errorf("cause %q, want %q", l.m.Cause(), want)
		}
		if l.m.Wake() != l.now.Add(time.Minute) {
			t.Errorf("age %v: the slow retry is due after %v", age, l.m.Wake().Sub(l.now))
		}
		for l.now.Sub(epoch) < 3*time.Hour {
			l.wait()
			l.die(age, Exit{Code: 1})
		}
		if most := mostWithin(l.starts, 10*time.Minute); most > 20 {
			t.Errorf("age %v: %d starts within 10 minutes", age, most)
		}
		if len(l.m.history.deaths) > 13 {
			t.Errorf("%d deaths remembered", len(l.m.history.deaths))
		}
	}
}

func mostWithin(times []time.Time, window time.Duration) int {
	most, first := 0, 0
	for i := range times {
		for times[i].Sub(times[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestAFailedWorkerIsTriedOnceAndFailsAgainAtOnce(t *testing.T) {
	c := defaults()
	c.Restart.Budget = 3
	l := newLife(c)
	for range 2 {
		l.die(time.Second, Exit{Code: 1})
		l.wait()
	}
	l.die(time.Second, Exit{Code: 1})
	l.wait()
	l.die(20*time.Second, Exit{Code: 1}) // older than ResetAfter: the window decides, not the age
	if l.m.State() != Failed {
		t.Errorf("%v: %s", l.m.State(), l.m.Cause())
	}
	l.m.Step(l.now, Fact{Kind: Start})
	l.die(time.Second, Exit{Code: 1})
	if l.m.State() != Backoff || l.delays[len(l.delays)-1] > 110*time.Millisecond {
		t.Errorf("a start does not clear the budget: %v, delay %v", l.m.State(), l.delays)
	}
}

func TestKillsFromOutsideNeverStopAService(t *testing.T) {
	l := newLife(defaults())
	for i := range 5000 {
		e := Exit{Code: -1, Signal: "SIGKILL", Served: true}
		if i%2 == 0 {
			e = Exit{Voluntary: true, Served: true}
		}
		l.die(200*time.Millisecond, e)
		if d := l.delays[len(l.delays)-1]; l.m.State() != Backoff || d > 110*time.Millisecond {
			t.Fatalf("kill %d: %v, delay %v", i, l.m.State(), d)
		}
		l.wait()
	}
}

func TestDeathsThatCount(t *testing.T) {
	for name, e := range map[string]Exit{
		"out of memory":             {Code: -1, Signal: "SIGKILL", OOM: true, Served: true},
		"crashed while it served":   {Code: -1, Signal: "SIGSEGV", Served: true},
		"ended by itself":           {Served: true},
		"could not start":           {Code: -1, Cause: "no such file"},
		"exited with an error code": {Code: 3, Served: true},
	} {
		l := newLife(defaults())
		l.die(time.Second, e)
		if len(l.m.history.deaths) != 1 {
			t.Errorf("%s: not counted", name)
		}
	}
}

func TestAProgramThatKillsItselfAsSoonAsItIsUpFails(t *testing.T) {
	for name, e := range map[string]Exit{
		"by a signal":    {Code: -1, Signal: "SIGKILL"},
		"by its cluster": {Voluntary: true},
	} {
		l := newLife(defaults())
		deaths := 1
		for l.die(200*time.Millisecond, e); l.m.State() != Failed && deaths < 1000; deaths++ {
			l.wait()
			l.die(200*time.Millisecond, e)
		}
		if want := 13 * strayWeight; deaths != want {
			t.Errorf("%s: failed after %d deaths, want %d", name, deaths, want)
		}
	}
}

func TestTheRestartConditionDecides(t *testing.T) {
	cases := []struct {
		condition spec.RestartCondition
		exit      Exit
		want      State
	}{
		{spec.RestartAlways, Exit{}, Backoff},
		{spec.RestartOnFailure, Exit{}, Pending},
		{spec.RestartOnFailure, Exit{Code: 1}, Backoff},
		{spec.RestartOnFailure, Exit{Code: -1, Signal: "SIGTERM"}, Backoff},
		{spec.RestartOnFailure, Exit{Voluntary: true}, Backoff},
		{spec.RestartNever, Exit{}, Pending},
		{spec.RestartNever, Exit{Code: 1}, Pending},
	}
	for _, c := range cases {
		config := defaults()
		config.Restart.Condition = c.condition
		l := newLife(config)
		l.die(4*time.Second, c.exit)
		if l.m.State() != c.want || l.m.Finished() != (c.want == Pending) {
			t.Errorf("%s, %+v: %v, finished %v", c.condition, c.exit, l.m.State(), l.m.Finished())
		}
		if c.want == Pending && !strings.HasSuffix(l.m.Cause(), " after 4 s, restart policy "+string(c.condition)) {
			t.Error(l.m.Cause())
		}
	}
}

func TestMaxAttemptsFailsForGood(t *testing.T) {
	c := defaults()
	c.Restart.MaxAttempts = 2
	l := newLife(c)
	for range 2 {
		l.die(time.Second, Exit{Code: 1})
		l.wait()
	}
	l.die(time.Second, Exit{Code: 1})
	if l.m.State() != Failed || !l.m.Wake().IsZero() || l.m.Restarts() != 2 {
		t.Errorf("%v, wake %v, %d restarts", l.m.State(), l.m.Wake(), l.m.Restarts())
	}
	if want := "max_attempts: 2 restarts in 10 minutes, last: exit 1 after 1 s"; l.m.Cause() != want {
		t.Errorf("%q, want %q", l.m.Cause(), want)
	}
}
