package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bulsa/internal/spec"
)

// script plays a health check against a machine and notes when each check
// begins. Each check takes one second.
type script struct {
	m    Machine
	now  time.Duration
	said []string
}

func newScript(h spec.Health) *script {
	c := defaults()
	c.Health = h
	s := &script{m: New("app.1", c, 1)}
	s.m.Step(epoch, Fact{Kind: Start})
	return s
}

// check waits for the next check and lets it end with the given status.
func (s *script) check(status int) {
	s.now = max(s.now, s.m.Wake().Sub(epoch))
	begin := s.now
	effects := s.m.Step(at(s.now), Fact{Kind: Wake})
	if kinds(effects) != "check" {
		s.said = append(s.said, "no check: "+kinds(effects))
		return
	}
	s.finish(begin, status)
}

func (s *script) finish(begin time.Duration, status int) {
	s.now = begin + time.Second
	s.m.Step(at(s.now), Fact{Kind: Checked, Instance: s.m.Instance(), Result: CheckResult{Start: at(begin), End: at(s.now), ExitCode: status}})
	s.said = append(s.said, fmt.Sprintf("%v:%d %s %d", begin, status, s.m.Health(), s.m.Streak()))
}

// TestHealthFollowsDocker plays Docker's own sequences: when each check
// begins, its exit status, the health and the failing streak after it.
func TestHealthFollowsDocker(t *testing.T) {
	base := spec.Health{Test: []string{"CMD", "check"}, Interval: 30 * time.Second, Retries: 3, StartInterval: 5 * time.Second, Passes: 1}
	started := base
	started.StartPeriod = 20 * time.Second
	twice := base
	twice.Passes = 2
	cases := []struct {
		name     string
		health   spec.Health
		statuses []int
		want     string
	}{
		{"interval from the end of a check to the start of the next", base, []int{0, 0, 0},
			"30s:0 healthy 0, 1m1s:0 healthy 0, 1m32s:0 healthy 0"},
		{"three failures in a row", base, []int{1, 1, 1, 1},
			"30s:1 starting 1, 1m1s:1 starting 2, 1m32s:1 unhealthy 3, 2m3s:1 unhealthy 4"},
		{"a success in between starts the count again", base, []int{1, 1, 0, 1, -1, 3},
			"30s:1 starting 1, 1m1s:1 starting 2, 1m32s:0 healthy 0, 2m3s:1 healthy 1, 2m34s:-1 healthy 2, 3m5s:3 unhealthy 3"},
		{"one success heals", base, []int{1, 1, 1, 0},
			"30s:1 starting 1, 1m1s:1 starting 2, 1m32s:1 unhealthy 3, 2m3s:0 healthy 0"},
		{"failures inside the start period do not count", started, []int{1, 1, 1, 1, 1, 1},
			"5s:1 starting 0, 11s:1 starting 0, 17s:1 starting 0, 23s:1 starting 1, 54s:1 starting 2, 1m25s:1 unhealthy 3"},
		{"the first success ends the start period", started, []int{1, 0, 1, 1, 1},
			"5s:1 starting 0, 11s:0 healthy 0, 42s:1 healthy 1, 1m13s:1 healthy 2, 1m44s:1 unhealthy 3"},
		{"an unhealthy worker needs as many passes as asked for, a new one needs one", twice, []int{0, 1, 1, 1, 0, 1, 0, 0},
			"30s:0 healthy 0, 1m1s:1 healthy 1, 1m32s:1 healthy 2, 2m3s:1 unhealthy 3, 2m34s:0 unhealthy 0, 3m5s:1 unhealthy 1, 3m36s:0 unhealthy 0, 4m7s:0 healthy 0"},
		{"Docker's defaults", spec.Health{Test: []string{"CMD", "check"}, StartPeriod: 6 * time.Second}, []int{1, 1, 1},
			"5s:1 starting 0, 36s:1 starting 1, 1m7s:1 starting 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(c.health)
			for _, status := range c.statuses {
				s.check(status)
			}
			if got := strings.Join(s.said, ", "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAWorkerIsCheckedAtOnceWhenItListens(t *testing.T) {
	s := newScript(spec.Health{TCP: true, Interval: 30 * time.Second, Retries: 1})
	effects := s.m.Step(at(2*time.Second), Fact{Kind: Listening, Instance: s.m.Instance()})
	if kinds(effects) != "check" {
		t.Fatal(kinds(effects))
	}
	s.finish(2*time.Second, 1)
	if s.m.Health() != "starting" || s.m.Wake() != at(33*time.Second) {
		t.Errorf("an early failure counted: %s, next check %v", s.m.Health(), s.m.Wake())
	}
	s.check(0)
	if s.m.State() != Ready {
		t.Error(s.m.State())
	}
}

func TestAtMostOneCheckAtATime(t *testing.T) {
	s := newScript(spec.Health{TCP: true, Interval: 30 * time.Second, Retries: 3})
	s.m.Step(at(30*time.Second), Fact{Kind: Wake})
	if !s.m.Wake().IsZero() {
		t.Error("it wants to wake while a check runs")
	}
	if effects := s.m.Step(at(31*time.Second), Fact{Kind: Listening, Instance: s.m.Instance()}); effects != nil {
		t.Errorf("a second check: %s", kinds(effects))
	}
	effects := s.m.Step(at(32*time.Second), Fact{Kind: Checked, Instance: s.m.Instance(), Result: CheckResult{ExitCode: 1}})
	if kinds(effects) != "check" || effects[0].Cause != "it listens" {
		t.Errorf("the check that began before it listened is not repeated: %v", effects)
	}
}

func TestTheLogKeepsFiveResultsCutTo4096Bytes(t *testing.T) {
	s := newScript(spec.Health{Test: []string{"CMD", "check"}})
	for i := range 7 {
		s.m.Step(s.m.Wake(), Fact{Kind: Wake})
		s.m.Step(at(time.Hour), Fact{Kind: Checked, Instance: s.m.Instance(), Result: CheckResult{ExitCode: i, Output: strings.Repeat("x", 5000)}})
	}
	log := s.m.Log()
	if len(log) != 5 || log[0].ExitCode != 2 || log[4].ExitCode != 6 || len(log[4].Output) != 4096 {
		t.Errorf("%d results, from %d", len(log), log[0].ExitCode)
	}
}

// TestTheEnginesOwnChecksCountBesideBulsas: where Docker checks a container, its
// word decides like a check of bulsa's; with both, the worse one does.
func TestTheEnginesOwnChecksCountBesideBulsas(t *testing.T) {
	failed := CheckResult{Start: at(time.Second), End: at(2 * time.Second), ExitCode: 1}
	for _, c := range []struct {
		name    string
		own     bool // bulsa checks, too, and its check passed
		reports []Report
		want    string // state, health, streak
	}{
		{"none of its own", false, nil, "ready none 0"},
		{"not yet", false, []Report{{Status: "starting"}}, "starting starting 0"},
		{"healthy", false, []Report{{Status: "starting"}, {Status: "healthy"}}, "ready healthy 0"},
		{"unhealthy", false, []Report{{Status: "healthy"}, {Status: "unhealthy", Streak: 3, Log: []CheckResult{failed}}}, "unhealthy unhealthy 3"},
		{"healthy again", false, []Report{{Status: "unhealthy", Streak: 3, Log: []CheckResult{failed}}, {Status: "healthy"}}, "ready healthy 0"},
		{"bulsa's passed, the engine's not yet", true, []Report{{Status: "starting"}}, "starting starting 0"},
		{"both passed", true, []Report{{Status: "healthy"}}, "ready healthy 0"},
		{"bulsa's passed, the engine's failed", true, []Report{{Status: "unhealthy", Streak: 2}}, "unhealthy unhealthy 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := defaults()
			if c.own {
				config = checkedConfig()
			}
			m := New("app.1", config, 1)
			m.Step(epoch, Fact{Kind: Start})
			for _, r := range c.reports {
				m.Step(at(time.Second), Fact{Kind: Reported, Instance: m.Instance(), Report: r})
			}
			m.Step(at(2*time.Second), Fact{Kind: Listening, Instance: m.Instance()})
			if c.own {
				m.Step(at(3*time.Second), Fact{Kind: Checked, Instance: m.Instance(), Result: CheckResult{Start: at(2 * time.Second), End: at(3 * time.Second)}})
			}
			if got := fmt.Sprintf("%s %s %d", m.State(), m.Health(), m.Streak()); got != c.want {
				t.Errorf("got %s, want %s (%s)", got, c.want, m.Cause())
			}
		})
	}
}

func TestWhatTheEngineSaidOfOneRunIsNotHeldAgainstTheNext(t *testing.T) {
	m := New("app.1", defaults(), 1)
	m.Step(epoch, Fact{Kind: Start})
	m.Step(at(time.Second), Fact{Kind: Reported, Instance: m.Instance(), Report: Report{Status: "unhealthy", Streak: 3}})
	m.Step(at(2*time.Second), Fact{Kind: Exited, Instance: m.Instance(), Exit: Exit{Code: 1}})
	m.Step(m.Wake(), Fact{Kind: Wake})
	m.Step(at(5*time.Second), Fact{Kind: Listening, Instance: m.Instance()})
	if m.State() != Ready || m.Health() != "none" {
		t.Errorf("got %s, %s; want ready without a check", m.State(), m.Health())
	}
}
