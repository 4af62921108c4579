package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bulsa/internal/spec"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return epoch.Add(d) }

// defaults are the values that a service has when its user says nothing.
func defaults() Config {
	return Config{
		Restart: spec.Restart{
			Condition: spec.RestartAlways, Delay: 100 * time.Millisecond, MaxDelay: 30 * time.Second, ResetAfter: 10 * time.Second,
			Jitter: 0.1, Budget: 13, Window: 10 * time.Minute, FailedRetry: time.Minute,
		},
		Stop: spec.Stop{Signal: "SIGTERM", Grace: 10 * time.Second, Drain: 30 * time.Second},
	}
}

func checkedConfig() Config {
	c := defaults()
	c.Health = spec.Health{Test: []string{"CMD", "true"}, Interval: 30 * time.Second, Timeout: 30 * time.Second, Retries: 1, StartInterval: 5 * time.Second, Passes: 1, Replace: true}
	return c
}

// brought returns a checked machine in the given state, reached at epoch.
func brought(t *testing.T, to State) *Machine {
	t.Helper()
	m := New("app.1", checkedConfig(), 1)
	step := func(f Fact) { f.Instance = m.Instance(); m.Step(epoch, f) }
	paths := map[State][]Fact{
		Pending:   {},
		Starting:  {{Kind: Start}},
		Ready:     {{Kind: Start}, {Kind: Listening}, {Kind: Checked}},
		Unhealthy: {{Kind: Start}, {Kind: Listening}, {Kind: Checked}},
		Draining:  {{Kind: Start}, {Kind: Listening}, {Kind: Checked}, {Kind: Drain}},
		Stopping:  {{Kind: Start}, {Kind: Drain}},
		Backoff:   {{Kind: Start}, {Kind: Exited, Exit: Exit{Code: 1}}},
		Failed:    {{Kind: Start}, {Kind: Exited, Exit: Exit{Code: 1}}},
	}
	if to == Failed {
		m.config.Restart.Budget = 1
	}
	for _, f := range paths[to] {
		step(f)
	}
	if to == Unhealthy {
		m.Step(m.Wake(), Fact{Kind: Wake})
		step(Fact{Kind: Checked, Result: CheckResult{ExitCode: 1}})
	}
	if m.State() != to {
		t.Fatalf("state %v, want %v: %s", m.State(), to, m.Cause())
	}
	return &m
}

func kinds(effects []Effect) string {
	words := make([]string, 0, len(effects))
	for _, e := range effects {
		words = append(words, e.Kind.String())
	}
	return strings.Join(words, " ")
}

func TestAnUnhealthyWorkerIsTakenOutAndReplaced(t *testing.T) {
	m := brought(t, Ready)
	m.Step(m.Wake(), Fact{Kind: Wake})
	effects := m.Step(at(time.Hour), Fact{Kind: Checked, Instance: m.Instance(), Result: CheckResult{ExitCode: 7}})
	if kinds(effects) != "unpublish replace" || m.Health() != "unhealthy" {
		t.Errorf("%s, health %s", kinds(effects), m.Health())
	}
	if m.Cause() != "1 check in a row failed, the last one with exit status 7" {
		t.Error(m.Cause())
	}
	m.Step(m.Wake(), Fact{Kind: Wake})
	effects = m.Step(at(2*time.Hour), Fact{Kind: Checked, Instance: m.Instance()})
	if kinds(effects) != "publish" || m.State() != Ready {
		t.Errorf("%s, %v", kinds(effects), m.State())
	}
}

func TestReadyNeedsBothThePassedCheckAndListening(t *testing.T) {
	m := brought(t, Starting)
	m.Step(m.Wake(), Fact{Kind: Wake})
	if effects := m.Step(at(31*time.Second), Fact{Kind: Checked, Instance: m.Instance()}); len(effects) > 0 || m.State() != Starting {
		t.Fatalf("%v, %s", m.State(), kinds(effects))
	}
	if effects := m.Step(at(32*time.Second), Fact{Kind: Listening, Instance: m.Instance()}); kinds(effects) != "publish" || m.State() != Ready {
		t.Fatalf("%v, %s", m.State(), kinds(effects))
	}
}

func TestWithoutACheckListeningIsEnough(t *testing.T) {
	m := New("app.1", defaults(), 1)
	m.Step(epoch, Fact{Kind: Start})
	if effects := m.Step(epoch, Fact{Kind: Listening, Instance: "app.1#1"}); kinds(effects) != "publish" || m.Health() != "none" {
		t.Errorf("%s, %s", kinds(effects), m.Health())
	}
	if !m.Wake().IsZero() {
		t.Error("it waits for nothing, but wants to wake")
	}
}

func TestStopIsDrainThenSignalThenKill(t *testing.T) {
	m := brought(t, Ready)
	m.Step(epoch, Fact{Kind: Drain, Cause: "scaled down to 1"})
	if m.Wake() != at(30*time.Second) {
		t.Errorf("drain deadline %v", m.Wake())
	}
	if effects := m.Step(at(29*time.Second), Fact{Kind: Wake}); effects != nil {
		t.Errorf("an early wake did %s", kinds(effects))
	}
	effects := m.Step(at(30*time.Second), Fact{Kind: Wake})
	if kinds(effects) != "terminate" || effects[0].Cause != "scaled down to 1; requests still in flight after 30 s" {
		t.Errorf("%v", effects)
	}
	effects = m.Step(at(40*time.Second), Fact{Kind: Wake})
	if kinds(effects) != "kill" || effects[0].Cause != "did not end within 10 s of SIGTERM" {
		t.Errorf("%v", effects)
	}
	effects = m.Step(at(41*time.Second), Fact{Kind: Exited, Instance: "app.1#1", Exit: Exit{Code: -1, Signal: "SIGKILL"}})
	if kinds(effects) != "done" || effects[0].Instance != "app.1#1" || m.LastExit().Signal != "SIGKILL" || m.Instance() != "" {
		t.Errorf("%v %v", effects, m.LastExit())
	}
}

func TestAnUnusableWorkerIsNotTriedAgainUntilAsked(t *testing.T) {
	m := brought(t, Ready)
	m.Step(epoch, Fact{Kind: Unusable, Instance: m.Instance(), Cause: "binds port 3000 itself; run one worker"})
	m.Step(epoch, Fact{Kind: Exited, Instance: m.Instance()})
	if m.State() != Failed || !m.Wake().IsZero() || m.Cause() != "binds port 3000 itself; run one worker" {
		t.Fatalf("%v, wake %v, %s", m.State(), m.Wake(), m.Cause())
	}
	if effects := m.Step(epoch, Fact{Kind: Start}); kinds(effects) != "launch" {
		t.Error("a start was not obeyed")
	}
	m.Step(epoch, Fact{Kind: Exited, Instance: m.Instance(), Exit: Exit{Code: 1}})
	if m.State() != Backoff {
		t.Errorf("the new run is judged by the old one: %v", m.State())
	}
}

func TestInstancesAreNumberedFromTheFirstRun(t *testing.T) {
	c := defaults()
	c.FirstRun = 6
	m := New("app.2", c, 1)
	effects := m.Step(epoch, Fact{Kind: Start})
	if effects[0].Instance != "app.2#7" || m.Instance() != "app.2#7" || m.Runs() != 7 {
		t.Errorf("%v, %d", effects, m.Runs())
	}
}

func TestCausesReadAsPeopleSpeak(t *testing.T) {
	for want, c := range map[string]struct {
		exit Exit
		age  time.Duration
	}{
		"exit 1 after 4 s":                                      {Exit{Code: 1}, 4900 * time.Millisecond},
		"exit 0 after 0.2 s":                                    {Exit{}, 200 * time.Millisecond},
		"killed by SIGKILL after 3 m":                           {Exit{Code: -1, Signal: "SIGKILL"}, 3*time.Minute + 9*time.Second},
		"out of memory, killed by the kernel after 5 h":         {Exit{Code: -1, Signal: "SIGKILL", OOM: true}, 5 * time.Hour},
		"left by itself (cluster disconnect) after 2 s":         {Exit{Voluntary: true}, 2 * time.Second},
		"exit 1 after 3 d: Error: listen EADDRINUSE 0.0.0.0:80": {Exit{Code: 1, Cause: "Error: listen EADDRINUSE 0.0.0.0:80"}, 80 * time.Hour},
		"could not start: fork/exec app: no such file":          {Exit{Code: -1, Cause: "fork/exec app: no such file"}, 0},
	} {
		if got := c.exit.describe(c.age); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestStatesAreWords(t *testing.T) {
	for s := Pending; s <= Failed; s++ {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back State
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%s became %v: %v", text, back, err)
		}
	}
	if err := new(State).UnmarshalText([]byte("zombie")); err == nil {
		t.Error("zombie is no state")
	}
	if got := fmt.Sprint(Pending, Starting, Ready, Unhealthy, Draining, Stopping, Backoff, Failed); got != "pending starting ready unhealthy draining stopping backoff failed" {
		t.Error(got)
	}
}
