package cli

import (
	"strings"
	"testing"
	"time"

	"bulsa/internal/api"
)

// oneWorker is a project of one service, of which a restart goes on.
func oneWorker(state string, restarts int, began time.Time) api.Project {
	return api.Project{Name: "shop", Services: []api.Service{{
		Name: "idle", State: "running", Release: 1, Desired: 1, Changes: true, Ports: []string{"[::]:80"},
		Workers: []api.Worker{{
			Name: "idle.1", Service: "idle", Engine: "process", ID: "7", State: state, Health: "none", Release: 1,
			Restarts: restarts, StartedAt: &began, Cause: "exit 1", Ports: []string{"[::]:80"},
		}},
	}}}
}

func TestAWaitSaysWhatItWaitsForAndEnds(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := wait{what: "the restart of idle", asked: began, moved: began}
	said := map[int]string{}
	ended := 0
	for s := 1; s <= 300 && ended == 0; s++ {
		line, over := w.look(began.Add(time.Duration(s)*time.Second), oneWorker("starting", 0, began))
		if over != nil {
			if want := "nothing moved for 2m0s: idle: 0 of 1 workers ready: idle.1 has run for 2 min but listens on no port: bulsa logs idle.1"; over.Error() != want {
				t.Errorf("it ends with %q, want %q", over, want)
			}
			ended = s
		} else if line != "" {
			said[s] = line
		}
	}
	if ended != 121 {
		t.Errorf("it ended after %d s of 2 min from the first look", ended)
	}
	if want := "idle: 0 of 1 workers ready: idle.1 has run for 5 s but listens on no port: bulsa logs idle.1"; said[5] != want || len(said) != 8 {
		t.Errorf("it said %d lines: %v", len(said), said)
	}
}

func TestHowLongAWaitIs(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := oneWorker("starting", 0, began)
	p.Services[0].StartSeconds = 60
	for _, c := range []struct {
		limit string
		after time.Duration
		over  bool
	}{
		{"", 179 * time.Second, false},
		{"", 180 * time.Second, true},
		{"90", 89 * time.Second, false},
		{"1m30s", 90 * time.Second, true},
		{"0", 100 * time.Hour, false},
	} {
		var f waitFlag
		if c.limit != "" {
			if err := f.Set(c.limit); err != nil {
				t.Fatal(err)
			}
		}
		w := wait{limit: time.Duration(f), asked: began}
		w.look(began, p)
		if _, over := w.look(began.Add(c.after), p); (over != nil) != c.over {
			t.Errorf("--wait-timeout %q after %s: %v", c.limit, c.after, over)
		}
	}
}

func TestProgressBeginsTheTimeAnew(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := wait{asked: began}
	w.look(began, oneWorker("starting", 0, began))
	p := oneWorker("starting", 0, began)
	p.Services[0].Workers = append(p.Services[0].Workers, api.Worker{Name: "idle.2", ID: "8", State: "ready"})
	w.look(began.Add(110*time.Second), p)
	if _, over := w.look(began.Add(200*time.Second), p); over != nil {
		t.Errorf("90 s after a step: %v", over)
	}
}

func TestAWaitForAWorkerThatDiesAgainAndAgainEnds(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := wait{asked: began, moved: began}
	for deaths := range 3 {
		if _, over := w.look(began.Add(time.Second), oneWorker("backoff", 10+deaths, began)); over != nil {
			t.Fatalf("after %d deaths: %v", deaths, over)
		}
	}
	_, over := w.look(began.Add(2*time.Second), oneWorker("backoff", 13, began))
	if over == nil || !strings.Contains(over.Error(), "idle.1 died and starts again: exit 1") {
		t.Errorf("after three: %v", over)
	}
}

// A program on a port of its own, of which a second worker is wanted: nothing dies again
// and again, and nothing will ever change.
func TestAWaitForAWorkerThatHasFailedForGoodEnds(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		what    string
		failing bool
		started time.Duration
		over    bool
	}{{"since the question", true, time.Second, true}, {"before it", true, -time.Second, false}, {"not for good", false, time.Second, false}} {
		w := wait{asked: began, moved: began}
		p := oneWorker("failed", 0, began.Add(c.started))
		p.Services[0].Workers[0].Failing = c.failing
		if _, over := w.look(began.Add(2*time.Second), p); over != nil {
			t.Errorf("%s: it ends at once: %v", c.what, over)
		}
		_, over := w.look(began.Add(8*time.Second), p)
		if (over != nil) != c.over {
			t.Errorf("%s: %v", c.what, over)
		}
		if c.over && !strings.Contains(over.Error(), "idle.1 is failed: exit 1") {
			t.Errorf("%s: it ends with %v", c.what, over)
		}
	}
}

func TestAStopIsOverWhenNothingRuns(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := oneWorker("draining", 0, began)
	p.Services[0].State, p.Services[0].Workers[0].InFlight = "stopped", 3
	w := wait{stops: true, asked: began.Add(-time.Minute)}
	if line, over := w.look(began, p); over != nil || line != "idle stops: idle.1 drains, with 3 requests in flight" {
		t.Errorf("%q, %v", line, over)
	}
	p.Services[0].Workers[0].State = "pending"
	if line, over := w.look(began.Add(time.Hour), p); over != nil || line != "" {
		t.Errorf("at rest: %q, %v", line, over)
	}
}
