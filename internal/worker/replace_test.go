package worker

import (
	"strings"
	"testing"
	"time"
)

// sick is the life of a slot whose program is healthy only so long after its start.
// Each replacement is drained and started again, as the service does it where two
// runs cannot stand side by side, or goes on in another machine.
type sick struct {
	m      Machine
	now    time.Time
	starts []time.Time
}

func (s *sick) run(until time.Time, healthyAfter time.Duration, beside bool) {
	for s.now.Before(until) && s.m.State() != Ready {
		wake := s.m.Wake()
		if wake.IsZero() || wake.After(until) {
			s.now = until
			return
		}
		s.now = wake
		for _, e := range s.m.Step(s.now, Fact{Kind: Wake}) {
			s.carryOut(e, healthyAfter, beside)
		}
	}
}

func (s *sick) carryOut(e Effect, healthyAfter time.Duration, beside bool) {
	switch e.Kind {
	case Check:
		code := 0
		if s.now.Sub(s.m.launched) < healthyAfter {
			code = 1
		}
		for _, next := range s.m.Step(s.now, Fact{Kind: Checked, Instance: e.Instance, Result: CheckResult{Start: s.now, End: s.now, ExitCode: code}}) {
			s.carryOut(next, healthyAfter, beside)
		}
	case Replace:
		if beside {
			past := s.m.Past()
			c := s.m.config
			c.Past = &past
			s.m = New("app.1", c, 2)
		} else {
			s.m.Step(s.now, Fact{Kind: ForceStop})
			s.m.Step(s.now, Fact{Kind: Exited, Instance: s.m.Instance(), Exit: Exit{Code: -1, Signal: "SIGKILL"}})
		}
		restarts := s.m.Restarts()
		s.m.Step(s.now, Fact{Kind: Start, Cause: "app.1 is unhealthy"})
		if s.m.Restarts() != restarts+1 {
			panic("a replacement is no restart")
		}
		s.starts = append(s.starts, s.now)
		s.m.Step(s.now, Fact{Kind: Listening, Instance: s.m.Instance()})
		s.m.monitor.phase = resting // the early check, which does not count
	}
}

func newSick() *sick {
	c := checkedConfig()
	c.Health.Interval, c.Health.Retries = time.Second, 2
	s := &sick{m: New("app.1", c, 1), now: epoch, starts: []time.Time{epoch}}
	s.m.Step(epoch, Fact{Kind: Start})
	return s
}

// TestAProgramThatNeedsLongerThanItsChecksAllowGetsReady: it is replaced once, and
// then waited for, longer each time.
func TestAProgramThatNeedsLongerThanItsChecksAllowGetsReady(t *testing.T) {
	for _, beside := range []bool{false, true} {
		for needs, most := range map[time.Duration]int{15 * time.Second: 2, 55 * time.Second: 2, 100 * time.Second: 3, 10 * time.Minute: 6} {
			s := newSick()
			s.run(epoch.Add(3*time.Hour), needs, beside)
			if s.m.State() != Ready || len(s.starts) > most {
				t.Errorf("healthy after %s, beside %v: %v with %d starts, want at most %d: %s", needs, beside, s.m.State(), len(s.starts), most, s.m.Cause())
			}
		}
	}
}

func TestWhatIsNeverHealthyIsReplacedLessAndLess(t *testing.T) {
	for _, beside := range []bool{false, true} {
		s := newSick()
		s.run(epoch.Add(2*time.Hour), 48*time.Hour, beside)
		if first := mostWithin(s.starts, 10*time.Minute); first > 6 {
			t.Errorf("beside %v: %d starts within 10 minutes", beside, first)
		}
		last := s.starts[len(s.starts)-1].Sub(s.starts[len(s.starts)-2])
		if last < 10*time.Minute || last > 11*time.Minute {
			t.Errorf("beside %v: the last replacement came after %s", beside, last)
		}
		if want := "it is waited for, then replaced in 10 minutes: it has never been healthy"; s.m.State() == Unhealthy && !strings.Contains(s.m.Cause(), want) {
			t.Errorf("%q lacks %q", s.m.Cause(), want)
		}
	}
}

// TestReplacementsCountAsDeathsDo: a run that was healthy and turned ill comes back
// with the delays and within the budget of a crash loop.
func TestReplacementsCountAsDeathsDo(t *testing.T) {
	c := checkedConfig()
	c.Restart.Jitter = 0
	m := New("app.1", c, 1)
	now := epoch
	var waits []string
	var last string
	m.Step(now, Fact{Kind: Start})
	for range 16 {
		m.Step(now, Fact{Kind: Listening, Instance: m.Instance()})
		m.Step(now, Fact{Kind: Checked, Instance: m.Instance()})
		m.Step(now, Fact{Kind: Reported, Instance: m.Instance(), Report: Report{Status: healthUnhealthy}})
		last = m.Cause()
		ill := now
		for m.State() == Unhealthy && !m.replaced {
			now = m.replaceAt
			m.Step(now, Fact{Kind: Wake})
		}
		waits = append(waits, now.Sub(ill).String())
		m.Step(now, Fact{Kind: ForceStop})
		m.Step(now, Fact{Kind: Exited, Instance: m.Instance(), Exit: Exit{Signal: "SIGKILL"}})
		m.Step(now, Fact{Kind: Start})
	}
	if got, want := strings.Join(waits, " "), "0s 100ms 200ms 400ms 800ms 1.6s 3.2s 6.4s 12.8s 25.6s 30s 30s 1m0s 1m0s 1m0s 1m0s"; got != want {
		t.Errorf("waits %s\nwant  %s", got, want)
	}
	if m.Restarts() != 16 {
		t.Errorf("%d restarts", m.Restarts())
	}
	if want := "replaced in 1 minute: 13 deaths in 10 minutes"; !strings.Contains(last, want) {
		t.Errorf("%q lacks %q", last, want)
	}
}

func TestHealthEndsTheWaitForAReplacement(t *testing.T) {
	m := after([]Fact{{Kind: Start}, {Kind: Listening}, {Kind: Checked}})
	m.history.step = 10
	m.Step(epoch, Fact{Kind: Reported, Instance: m.Instance(), Report: Report{Status: healthUnhealthy}})
	if m.State() != Unhealthy || m.replaceAt.IsZero() {
		t.Fatalf("%v, replaced at %v", m.State(), m.replaceAt)
	}
	m.Step(at(time.Second), Fact{Kind: Reported, Instance: m.Instance(), Report: Report{Status: healthHealthy}})
	if effects := m.Step(at(time.Hour), Fact{Kind: Wake}); m.State() != Ready || kinds(effects) != "check" {
		t.Errorf("%v, %s", m.State(), kinds(effects))
	}
}

// TestASilentWorkerThatGoesIsKilled: it can neither finish a request nor hear a signal.
func TestASilentWorkerThatGoesIsKilled(t *testing.T) {
	ready := []Fact{{Kind: Start}, {Kind: Listening}, {Kind: Checked}}
	for name, facts := range map[string][]Fact{
		"silent, then asked to go": {{Kind: LoopSilent}, {Kind: Drain}},
		"silent while it drains":   {{Kind: Drain}, {Kind: LoopSilent}},
		"silent and unusable":      {{Kind: LoopSilent}, {Kind: Unusable}},
	} {
		m := after(append(ready, facts[:len(facts)-1]...))
		last := facts[len(facts)-1]
		last.Instance = m.Instance()
		if got := kinds(m.Step(at(time.Second), last)); !strings.HasSuffix(got, "kill") || m.State() != Stopping {
			t.Errorf("%s: %s, %v", name, got, m.State())
		}
	}
}
