package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// happening is what the tests read of `bulsa events --format json`.
type happening struct {
	At     time.Time `json:"at"`
	Worker string    `json:"worker"`
	Kind   string    `json:"kind"`
	Cause  string    `json:"cause"`
}

// events are the events of one worker so far.
func (w *world) events(worker string) []happening {
	w.t.Helper()
	var out []happening
	d := json.NewDecoder(strings.NewReader(w.must("events", "--format", "json")))
	for d.More() {
		var h happening
		if err := d.Decode(&h); err != nil {
			w.t.Fatal(err)
		}
		if h.Worker == worker {
			out = append(out, h)
		}
	}
	return out
}

// worker is one row of ps.
func (w *world) worker(name string) row {
	w.t.Helper()
	for _, r := range w.ps("") {
		if r.Name == name {
			return r
		}
	}
	w.t.Fatalf("ps shows no worker %s", name)
	return row{}
}

// becomes waits until a worker is there and in a state.
func (w *world) becomes(name, state string) row {
	w.t.Helper()
	var last row
	eventually(w.t, name+" is "+state, func() bool {
		rows := w.ps("")
		i := slices.IndexFunc(rows, func(r row) bool { return r.Name == name })
		if i >= 0 {
			last = rows[i]
		}
		return i >= 0 && last.State == state
	})
	return last
}

// up writes a Compose file and starts it.
func (w *world) up(file string) *server {
	w.t.Helper()
	w.write("compose.yaml", file)
	return w.start("up", "--admin", "off")
}

// TestADeadWorkerIsBackAtOnce measures from the kill to the next ready.
func TestADeadWorkerIsBackAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready("run", "--name", "app", "-w", "2", "--admin", "off", "--", "sleep", "1000")
	sibling := w.worker("app.2").PID
	for i := range 3 {
		old := w.becomes("app.1", "ready").PID
		killed := time.Now()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "app.1 has another process", func() bool {
			r := w.worker("app.1")
			return r.State == "ready" && r.PID != old
		})
		var back time.Time
		for _, e := range w.events("app.1") {
			if e.Kind == "ready" {
				back = e.At
			}
		}
		t.Logf("kill %d: ready again after %s", i+1, back.Sub(killed).Round(time.Millisecond))
	}
	r := w.worker("app.1")
	if r.Restarts != 3 {
		t.Errorf("%d restarts, want 3", r.Restarts)
	}
	if now := w.worker("app.2").PID; now != sibling {
		t.Errorf("app.2 was %d and is %d: the sibling was touched", sibling, now)
	}
	for _, e := range w.events("app.1") {
		if e.Kind == "backoff" && !strings.Contains(e.Cause, "SIGKILL") {
			t.Errorf("backoff without its cause: %q", e.Cause)
		}
	}
}

// TestTheDelayDoublesUpToItsLimit reads the delays from the events.
func TestTheDelayDoublesUpToItsLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(`
services:
  app:
    command: ["sh", "-c", "exit 7"]
    x-bulsa: {restart: {delay: 50ms, max_delay: 400ms, jitter: 0, budget: 7}}
`)
	eventually(t, "app.1 has failed", func() bool {
		return w.do("ps").status == 0 && w.worker("app.1").State == "failed"
	})
	var delays []time.Duration
	var died time.Time
	for _, e := range w.events("app.1") {
		switch e.Kind {
		case "backoff":
			died = e.At
			if !strings.Contains(e.Cause, "exit 7") {
				t.Errorf("died of %q, want exit 7", e.Cause)
			}
		case "starting":
			if !died.IsZero() {
				delays = append(delays, e.At.Sub(died))
			}
		}
	}
	t.Log(delays)
	want := []time.Duration{50, 100, 200, 400, 400, 400}
	if len(delays) != len(want) {
		t.Fatalf("%d restarts, want %d", len(delays), len(want))
	}
	const stamp = 10 * time.Millisecond // the delay counts from the death, the event is stamped a moment later
	for i, d := range delays {
		if least := want[i] * time.Millisecond; d < least-stamp || d > least+2*time.Second {
			t.Errorf("restart %d came after %s, want %s", i+1, d, least)
		}
	}
}

// TestACrashLoopEndsInFailed: whatever the age at death. The cause is shown, the
// sibling service goes on, and a user can start over.
func TestACrashLoopEndsInFailed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, command string }{
		{"dies at once", "exit 3"},
		{"dies after a while", "sleep 0.3; echo error: out of luck >&2; exit 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("run.sh", "if [ -e mended ]; then exec sleep 1000; fi\n"+c.command+"\n")
			w.up(`
name: loop
services:
  app:
    command: sh run.sh
    x-bulsa: {restart: {delay: 20ms, max_delay: 40ms, reset_after: 200ms, budget: 4, window: 1m, failed_retry: 10m}}
  sibling:
    command: sleep 1000
`)
			eventually(t, "the project is there", func() bool { return w.do("ps").status == 0 })
			sibling := w.becomes("sibling.1", "ready").PID
			app := w.becomes("app.1", "failed")
			if !strings.Contains(app.Cause, "4 deaths in 1 minute") || !strings.Contains(app.Cause, "exit 3") {
				t.Errorf("ps says %q: want how often, and the last death", app.Cause)
			}
			if app.Restarts != 3 {
				t.Errorf("%d restarts, want 3", app.Restarts)
			}
			inspected := w.must("inspect", "app.1")
			for _, part := range []string{`"to": "failed"`, "4 deaths in 1 minute", "exit 3"} {
				if !strings.Contains(inspected, part) {
					t.Errorf("inspect lacks %q", part)
				}
			}
			if now := w.worker("sibling.1"); now.PID != sibling || now.Restarts != 0 {
				t.Errorf("the sibling was touched: %+v", now)
			}
			w.write("mended", "")
			w.must("restart", "app")
			w.becomes("app.1", "ready")
			if now := w.worker("sibling.1"); now.PID != sibling {
				t.Errorf("the sibling was touched by the restart: %+v", now)
			}
		})
	}
}

// TestStartTriesAFailedWorkerAgain, with its whole budget.
func TestStartTriesAFailedWorkerAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(`
services:
  app:
    command: ["sh", "-c", "exit 1"]
    x-bulsa: {restart: {delay: 10ms, max_delay: 10ms, budget: 3, failed_retry: 10m}}
`)
	eventually(t, "the project is there", func() bool { return w.do("ps").status == 0 })
	w.becomes("app.1", "failed")
	before := len(w.events("app.1"))
	w.do("start", "app")
	eventually(t, "app.1 has failed anew", func() bool {
		fails := 0
		for _, e := range w.events("app.1")[before:] {
			if e.Kind == "failed" {
				fails++
			}
		}
		return fails == 1
	})
	starts := 0
	for _, e := range w.events("app.1")[before:] {
		if e.Kind == "starting" {
			starts++
		}
	}
	if starts != 3 {
		t.Errorf("%d starts after the reset, want 3", starts)
	}
}

// TestAFailedWorkerIsTriedAgainSlowly, and comes back by itself when what was
// wrong is over.
func TestAFailedWorkerIsTriedAgainSlowly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("run.sh", "if [ -e mended ]; then exec sleep 1000; fi\nexit 1\n")
	w.up(`
services:
  app:
    command: sh run.sh
    x-bulsa: {restart: {delay: 10ms, max_delay: 10ms, budget: 2, failed_retry: 1s, jitter: 0}}
`)
	eventually(t, "the project is there", func() bool { return w.do("ps").status == 0 })
	failures := func() (at []time.Time) {
		for _, e := range w.events("app.1") {
			if e.Kind == "failed" {
				at = append(at, e.At)
			}
		}
		return at
	}
	eventually(t, "it has failed twice", func() bool { return len(failures()) >= 2 })
	at := failures()
	for i := range at[1:] {
		if d := at[i+1].Sub(at[i]); d < time.Second {
			t.Errorf("tried again after %s, want 1s or more", d)
		}
	}
	w.write("mended", "")
	w.becomes("app.1", "ready")
}

// TestRestartPolicies: what each of them does with success, failure and signals.
func TestRestartPolicies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy, command string
		status          int
		runs            int // 0: any number above 1, until it is stopped
	}{
		{"no", "exit 0", 0, 1},
		{"no", "exit 1", 1, 1},
		{"no", "kill -9 $$", 1, 1},
		{"on-failure", "exit 0", 0, 1},
		{"on-failure:2", "exit 4", 1, 3},
		{"on-failure:2", "kill -TERM $$", 1, 3},
		{"on-failure", "[ $(wc -l < runs) -ge 3 ]", 0, 3},
		{"always", "exit 0", 0, 0},
		{"unless-stopped", "exit 1", 0, 0},
	} {
		t.Run(fmt.Sprintf("%s with %s", c.policy, c.command), func(t *testing.T) {
			w := newWorld(t)
			w.write("runs", "")
			script := "echo run >> runs; " + c.command
			args := []string{"run", "--restart", c.policy, "--admin", "off", "--name", "job", "--", "sh", "-c", script}
			runs := func() int { return strings.Count(read(t, w.dir, "runs"), "run") }
			if c.runs == 0 {
				s := w.start(args...)
				eventually(t, "it runs again and again", func() bool { return runs() > 2 })
				if status := s.stop(); status != c.status {
					t.Errorf("exit status %d, want %d", status, c.status)
				}
				return
			}
			r := w.do(args...)
			if r.status != c.status {
				t.Errorf("exit status %d, want %d:\n%s", r.status, c.status, r.stderr)
			}
			if n := runs(); n != c.runs {
				t.Errorf("%d runs, want %d", n, c.runs)
			}
		})
	}
}

// read is the content of a file in a folder.
func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
