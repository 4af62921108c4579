package worker

import (
	"strings"
	"testing"
	"time"

	"bulsa/internal/spec"
)

// TestWhatTheFileLeavesOpen: what serves comes back, what ends by itself has done
// its work, a start that fails is not repeated, and who was up long enough is no job.
func TestWhatTheFileLeavesOpen(t *testing.T) {
	type life struct {
		serves  bool // clients reach it
		healthy bool // a check passed
		up      time.Duration
		exit    Exit
	}
	for name, c := range map[string]struct {
		life  life
		comes bool
		cause string
	}{
		"a migration":                         {life{exit: Exit{}}, false, "its work is done"},
		"a long one":                          {life{up: time.Hour}, false, "its work is done"},
		"one that fails":                      {life{up: time.Second, exit: Exit{Code: 1, Cause: "no such table"}}, false, "no such table; it is not started again"},
		"a consumer of a queue that crashes":  {life{up: time.Minute, exit: Exit{Code: 1}}, true, ""},
		"a job that is killed":                {life{exit: Exit{Code: -1, Signal: "SIGKILL"}}, true, ""},
		"one for which there is no memory":    {life{exit: Exit{Code: -1, Signal: "SIGKILL", OOM: true}}, true, ""},
		"one that could not be started":       {life{exit: Exit{Code: -1, Cause: "Docker is busy"}}, true, ""},
		"a server that nobody publishes":      {life{serves: true, exit: Exit{}}, true, ""},
		"a database that passed a check":      {life{healthy: true, exit: Exit{Code: 1}}, true, ""},
		"a worker that left its own cluster":  {life{exit: Exit{Voluntary: true}}, true, ""},
		"a program that is not in its image":  {life{exit: Exit{Code: 127}}, false, "restart: always would"},
		"one that only runs, as most jobs do": {life{up: 9 * time.Second, exit: Exit{Code: 2}}, false, "for 10 seconds"},
	} {
		config := defaults()
		if c.life.healthy {
			config = checkedConfig()
		}
		config.Restart.Condition = spec.RestartServing
		m := New("app.1", config, 1)
		m.Step(epoch, Fact{Kind: Start})
		m.Step(epoch, Fact{Kind: Listening, Instance: m.Instance(), Serves: c.life.serves})
		if c.life.healthy {
			m.Step(epoch, Fact{Kind: Checked, Instance: m.Instance()})
		}
		m.Step(at(c.life.up), Fact{Kind: Exited, Instance: m.Instance(), Exit: c.life.exit})
		if comes := m.State() == Backoff; comes != c.comes || m.Finished() == c.comes {
			t.Errorf("%s: it is %v (%s); want a restart: %v", name, m.State(), m.Cause(), c.comes)
		}
		if !strings.Contains(m.Cause(), c.cause) {
			t.Errorf("%s: the cause is %q, want %q in it", name, m.Cause(), c.cause)
		}
	}
}

func TestAWorkerThatOnceRanForLongKeepsComingBack(t *testing.T) {
	config := defaults()
	config.Restart.Condition = spec.RestartServing
	m := New("app.1", config, 1)
	m.Step(epoch, Fact{Kind: Start})
	now := at(time.Minute)
	for range 3 { // its database is away: each start ends at once
		m.Step(now, Fact{Kind: Exited, Instance: m.Instance(), Exit: Exit{Code: 1}})
		if m.State() != Backoff {
			t.Fatalf("it is %v: %s", m.State(), m.Cause())
		}
		now = m.Wake()
		m.Step(now, Fact{Kind: Wake})
	}
}

func TestStartsInVainAreRememberedUntilOneIsReady(t *testing.T) {
	m := New("app.1", checkedConfig(), 1)
	now := epoch
	m.Step(now, Fact{Kind: Start})
	for range 5 {
		m.Step(now, Fact{Kind: Exited, Instance: m.Instance(), Exit: Exit{Code: 1}})
		now = m.Wake()
		m.Step(now, Fact{Kind: Wake})
	}
	if deaths, _ := m.Vain(); len(deaths) != vainKept || !deaths[0].After(epoch) {
		t.Errorf("remembered are %v, want the last %d", deaths, vainKept)
	}
	m.Step(now, Fact{Kind: Reported, Instance: m.Instance(), Report: Report{Status: healthUnhealthy, Streak: 3}})
	if _, at := m.Vain(); at != now {
		t.Errorf("it was unhealthy at %v, want %v", at, now)
	}
	m.Step(now, Fact{Kind: Listening, Instance: m.Instance()})
	m.Step(now, Fact{Kind: Reported, Instance: m.Instance(), Report: Report{Status: healthHealthy}})
	m.Step(now, Fact{Kind: Checked, Instance: m.Instance()})
	if deaths, at := m.Vain(); m.State() != Ready || len(deaths) != 0 || !at.IsZero() {
		t.Errorf("%v, but %v and %v are still held against it", m.State(), deaths, at)
	}
}

func TestAFailedCheckSaysWhatItSaid(t *testing.T) {
	for output, c := range map[string]struct {
		code int
		want string
	}{
		"/bin/sh: 1: curl: not found\n":                          {127, "1 check in a row failed, the last one with exit status 127: /bin/sh: 1: curl: not found (curl is not in the image; x-bulsa.probe needs no program)"},
		"bash: line 1: wget: command not found":                  {127, "wget: command not found (wget is not in the image; x-bulsa.probe needs no program)"},
		"% Total\n  0  0\rcurl: (22) The requested URL: 500\n\n": {22, "with exit status 22: curl: (22) The requested URL: 500"},
		"page not found": {1, "with exit status 1: page not found"},
		"":               {1, "with exit status 1"},
		"OCI runtime exec failed: exec failed: unable to start container process: exec: \"curl\": executable file not found in $PATH: unknown": {
			-1, "could not run: OCI runtime exec failed: exec failed: unable to start container process: exec: \"curl\": executable file not found in $PATH: unknown (curl is not in the image; x-bulsa.probe needs no program)",
		},
	} {
		m := New("app.1", defaults(), 1)
		m.Step(epoch, Fact{Kind: Start})
		m.Step(epoch, Fact{Kind: Reported, Instance: m.Instance(), Report: Report{
			Status: healthUnhealthy, Streak: 1, Log: []CheckResult{{ExitCode: c.code, Output: output}},
		}})
		if !strings.HasSuffix(m.Cause(), c.want) {
			t.Errorf("%q: the cause is\n%s\nwant\n%s", output, m.Cause(), c.want)
		}
	}
}
