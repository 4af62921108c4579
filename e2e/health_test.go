package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inspection is what the tests read of `bulsa inspect WORKER`.
type inspection struct {
	Health struct {
		Status        string
		FailingStreak int
		Log           []struct {
			Start, End time.Time
			ExitCode   int
			Output     string
			CPUSeconds float64
		}
		CPUSecondsTotal float64
		Warnings        []string
	}
}

// inspect reads all about one worker.
func (w *world) inspect(name string) inspection {
	w.t.Helper()
	var in inspection
	out := w.must("inspect", name)
	if err := json.Unmarshal([]byte(out), &in); err != nil {
		w.t.Fatalf("inspect %s: %v\n%s", name, err, out)
	}
	return in
}

// checked waits until a worker has had so many checks, or as many as are kept.
func (w *world) checked(name string, n int) inspection {
	w.t.Helper()
	var in inspection
	eventually(w.t, fmt.Sprintf("%s has had %d checks", name, n), func() bool {
		in = w.inspect(name)
		return len(in.Health.Log) >= n
	})
	return in
}

// there waits until the project answers.
func (w *world) there() {
	w.t.Helper()
	eventually(w.t, "the project answers", func() bool {
		name := ""
		return w.only(&name) && w.do("ps").status == 0
	})
}

// lives reports whether a process runs; a zombie does not.
func lives(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// pids reads process ids that a script wrote into a file, one a line.
func (w *world) pids(name string) []int {
	b, _ := os.ReadFile(filepath.Join(w.dir, name))
	var out []int
	for _, field := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(field); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// TestFormsOfACheck: Docker's four ways to write one, in the worker's
// environment and folder.
func TestFormsOfACheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, test, output string
		code               int
		health             string
	}{
		{"CMD has no shell", `["CMD", "echo", "$$FLAVOR", "sweet; exit 1"]`, "$FLAVOR sweet; exit 1\n", 0, "healthy"},
		{"CMD-SHELL has one", `["CMD-SHELL", "echo $$FLAVOR in $$(pwd); exit 0"]`, "salty in %DIR%/sub\n", 0, "healthy"},
		{"a string is a shell line", `echo $$FLAVOR $$BULSA_WORKER >&2 && test -e here`, "salty 1\n", 0, "healthy"},
		{"any status but 0 is a failure", `["CMD-SHELL", "echo no; exit 42"]`, "no\n", 42, "unhealthy"},
		{"a program that is not there", `["CMD", "no-such-program"]`, "", -1, "unhealthy"},
		{"a check that a signal ends", `["CMD-SHELL", "kill -KILL $$$$"]`, "", 137, "unhealthy"},
		{"NONE", `["NONE"]`, "", 0, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.write("sub/here", "")
			w.up(fmt.Sprintf(`
services:
  app:
    command: sleep 1000
    working_dir: sub
    environment: {FLAVOR: salty}
    healthcheck: {test: %s, interval: 100ms, retries: 1}
    x-bulsa: {on_unhealthy: none}
`, c.test))
			w.there()
			eventually(t, "its health is "+c.health, func() bool { return w.worker("app.1").Health == c.health })
			in := w.inspect("app.1")
			if in.Health.Status != c.health {
				t.Errorf("inspect says %q", in.Health.Status)
			}
			if c.health == "none" {
				if len(in.Health.Log) > 0 {
					t.Errorf("it is checked: %+v", in.Health.Log)
				}
				return
			}
			last := in.Health.Log[len(in.Health.Log)-1]
			dir, _ := filepath.EvalSymlinks(w.dir)
			if want := strings.ReplaceAll(c.output, "%DIR%", dir); want != "" && last.Output != want {
				t.Errorf("output %q, want %q", last.Output, want)
			}
			if last.ExitCode != c.code {
				t.Errorf("ExitCode %d, want %d (output %q)", last.ExitCode, c.code, last.Output)
			}
		})
	}
}

// TestATimeOutKillsTheWholeCheck: grandchildren included, those in a session of
// their own too.
func TestATimeOutKillsTheWholeCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("check.sh", "sleep 987 & echo $! >> left\nsetsid sleep 986 & echo $! >> left\necho begun\nsleep 985\n")
	w.up(`
services:
  app:
    command: sleep 1000
    healthcheck: {test: sh check.sh, interval: 50ms, timeout: 300ms, retries: 2}
    x-bulsa: {on_unhealthy: none}
`)
	w.there()
	eventually(t, "it is unhealthy", func() bool { return w.worker("app.1").Health == "unhealthy" })
	in := w.inspect("app.1")
	last := in.Health.Log[len(in.Health.Log)-1]
	if last.ExitCode != -1 || !strings.Contains(last.Output, "exceeded timeout (300ms)") || !strings.Contains(last.Output, "begun") {
		t.Errorf("ExitCode %d, output %q: want -1, the time-out and what was printed", last.ExitCode, last.Output)
	}
	if took := last.End.Sub(last.Start); took < 300*time.Millisecond {
		t.Errorf("took %s, less than its time-out", took)
	}
	w.must("down")
	for _, pid := range w.pids("left") {
		if lives(pid) {
			t.Errorf("process %d of a check is left", pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// TestWhatIsKeptOfChecks: five results, the last ones, 4096 bytes of each; one
// check at a time, an interval after the end of the one before.
func TestWhatIsKeptOfChecks(t *testing.T) {
	w := newWorld(t)
	w.up(`
services:
  app:
    command: sleep 1000
    healthcheck: {test: "echo x >> count; wc -l < count; sleep 0.1; head -c 100000 /dev/zero | tr '\\0' y", interval: 200ms}
`)
	w.there()
	eventually(t, "it was checked seven times", func() bool {
		b, _ := os.ReadFile(filepath.Join(w.dir, "count"))
		return strings.Count(string(b), "x") >= 7
	})
	in := w.checked("app.1", 5)
	if len(in.Health.Log) != 5 {
		t.Fatalf("%d results are kept, want 5", len(in.Health.Log))
	}
	slow := false
	for i, r := range in.Health.Log {
		if len(r.Output) != 4096 {
			t.Errorf("result %d has %d bytes of output, want 4096", i, len(r.Output))
		}
		if i > 0 {
			pause := r.Start.Sub(in.Health.Log[i-1].End)
			if pause < 200*time.Millisecond || pause > 2*time.Second {
				t.Errorf("check %d began %s after the end of the one before, want 200ms", i, pause)
			}
		}
		if r.CPUSeconds <= 0 {
			t.Errorf("result %d has no cost", i)
		}
		slow = slow || r.End.Sub(r.Start) > 200*time.Millisecond // on a full machine
	}
	if in.Health.CPUSecondsTotal <= 0 {
		t.Error("the checks cost nothing")
	}
	for _, warning := range in.Health.Warnings {
		if !strings.Contains(warning, "CPU") && !(slow && strings.Contains(warning, "longer than its interval")) {
			t.Errorf("a warning without a reason: %s", warning)
		}
	}
}

// TestTheStartPeriodForgives: failures inside it do not count, checks come every
// start_interval, and the first success ends it.
func TestTheStartPeriodForgives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(`
services:
  app:
    command: sleep 1000
    healthcheck: {test: "test -e good", interval: 100ms, retries: 2, start_period: 60s, start_interval: 150ms}
    x-bulsa: {on_unhealthy: none}
`)
	w.there()
	in := w.checked("app.1", 5)
	if in.Health.FailingStreak != 0 || in.Health.Status != "starting" {
		t.Errorf("five failures in the start period: streak %d, %s", in.Health.FailingStreak, in.Health.Status)
	}
	if pause := in.Health.Log[4].Start.Sub(in.Health.Log[3].End); pause < 150*time.Millisecond {
		t.Errorf("checked again after %s, want start_interval 150ms", pause)
	}
	w.write("good", "")
	w.becomes("app.1", "ready")
	os.Remove(filepath.Join(w.dir, "good"))
	if r := w.becomes("app.1", "unhealthy"); !strings.Contains(r.Cause, "2 checks in a row failed") {
		t.Errorf("cause %q: the start period did not end with the first success", r.Cause)
	}
	w.write("good", "")
	w.becomes("app.1", "ready")
}

// server is an application in Node that is as healthy as a file of its own says.
const moodyApp = `
const fs = require('fs'), http = require('http')
http.createServer((q, s) => {
  if (q.url === '/health' && fs.existsSync('sick.' + process.pid)) s.statusCode = 500
  s.end(String(process.pid))
}).listen(3000)
`

// TestAnUnhealthyWorkerIsReplacedStartFirst: its successor serves before it
// goes, and no request is lost meanwhile.
func TestAnUnhealthyWorkerIsReplacedStartFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.write("app.js", moodyApp)
	w.up(fmt.Sprintf(`
services:
  app:
    command: node app.js
    ports: ["127.0.0.1:%s:3000"]
    deploy: {replicas: 1}
    healthcheck: {interval: 100ms, retries: 2, timeout: 5s, start_period: 60s}
    x-bulsa: {probe: {http: /health}}
`, port)).says("ready after")
	old := w.worker("app.1").PID
	l := startLoad("127.0.0.1:"+port, "/", 4, 5*time.Millisecond)
	w.write("sick."+strconv.Itoa(old), "")
	eventually(t, "another process is ready in its place", func() bool {
		rows := w.ps("")
		return len(rows) == 1 && rows[0].State == "ready" && rows[0].PID != old
	})
	eventually(t, "the old process has ended", func() bool { return !lives(old) })
	l.end()
	l.report(t)
	if l.broken.Load() > 0 {
		t.Errorf("%d answers were broken off: %q", l.broken.Load(), l.first)
	}
	kinds := kindsOf(w.events("app.1"))
	sick, ready, gone := slices.Index(kinds, "unhealthy"), lastIndex(kinds, "ready"), slices.Index(kinds, "draining")
	if gone < 0 {
		gone = slices.Index(kinds, "stopping")
	}
	if sick < 0 || ready < sick || gone < ready {
		t.Errorf("events %q: want unhealthy, then another ready, then the end of the first", kinds)
	}
}

// TestAProgramThatIsSlowToGetHealthyIsWaitedFor: its checks give it less time than it
// needs. It is replaced once, which counts as a restart, and then waited for.
func TestAProgramThatIsSlowToGetHealthyIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("app.js", `
const began = Date.now()
require('http').createServer((q, s) => {
  if (q.url === '/health' && Date.now() - began < 4000) s.statusCode = 503
  s.end()
}).listen(3000)
`)
	w.up(fmt.Sprintf(`
services:
  app:
    command: node app.js
    ports: ["127.0.0.1:%s:3000"]
    healthcheck: {interval: 100ms, retries: 2, timeout: 5s}
    x-bulsa: {probe: {http: /health}}
`, freePort(t)))
	eventually(t, "it is ready", func() bool { return w.do("ps").status == 0 && w.worker("app.1").State == "ready" })
	if r := w.worker("app.1"); r.Restarts != 1 {
		t.Errorf("%d restarts, want 1", r.Restarts)
	}
	found := false
	for _, e := range w.events("app.1") {
		found = found || strings.Contains(e.Cause, "it is waited for, then replaced in 1 minute: it has never been healthy")
	}
	if !found {
		t.Errorf("no event says what is waited for: %+v", w.events("app.1"))
	}
}

func kindsOf(events []happening) []string {
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func lastIndex(list []string, item string) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == item {
			return i
		}
	}
	return -1
}

// TestAnUnhealthyWorkerIsKeptWhereThePolicySaysSo: out of rotation while it is
// unhealthy, and back when it has passed often enough.
func TestAnUnhealthyWorkerIsKeptWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.write("app.js", moodyApp)
	w.up(fmt.Sprintf(`
services:
  app:
    command: node app.js
    ports: ["127.0.0.1:%s:3000"]
    deploy: {replicas: 2}
    healthcheck: {interval: 100ms, retries: 2, timeout: 5s, start_period: 60s}
    x-bulsa: {on_unhealthy: none, probe: {http: /health, passes: 3}, balance: round_robin}
`, port)).says("ready after")
	first, second := w.worker("app.1").PID, w.worker("app.2").PID
	sick := "sick." + strconv.Itoa(first)
	w.write(sick, "")
	w.becomes("app.1", "unhealthy")
	for range 10 {
		if _, body := get(t, "http://127.0.0.1:"+port+"/"); body != strconv.Itoa(second) {
			t.Fatalf("%s answers, want the healthy %d alone", body, second)
		}
	}
	os.Remove(filepath.Join(w.dir, sick))
	back := w.becomes("app.1", "ready")
	if back.PID != first || back.Restarts != 0 {
		t.Errorf("it was replaced: %+v, was %d", back, first)
	}
	log := w.inspect("app.1").Health.Log
	passes := 0
	for i := len(log) - 1; i >= 0 && log[i].ExitCode == 0; i-- {
		passes++
	}
	if passes < 3 {
		t.Errorf("%d passes brought it back, want 3", passes)
	}
	eventually(t, "it answers again", func() bool {
		_, body := get(t, "http://127.0.0.1:"+port+"/")
		return body == strconv.Itoa(first)
	})
}

// TestTheCheapProbes: without a command. A worker that hangs fails the one over
// HTTP and is replaced.
func TestTheCheapProbes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ports := []string{freePort(t), freePort(t)}
	w.write("app.js", moodyApp)
	w.up(fmt.Sprintf(`
services:
  tcp:
    command: node app.js
    ports: ["127.0.0.1:%s:3000"]
    healthcheck: {interval: 100ms, timeout: 1s, start_period: 60s}
    x-bulsa: {probe: {tcp: true}}
  http:
    command: node app.js
    ports: ["127.0.0.1:%s:3000"]
    stop_grace_period: 500ms
    healthcheck: {interval: 100ms, timeout: 300ms, retries: 2, start_period: 60s}
    x-bulsa: {probe: {http: /health}}
`, ports[0], ports[1])).says("ready after")
	for _, name := range []string{"tcp.1", "http.1"} {
		in := w.checked(name, 2)
		if in.Health.Status != "healthy" || in.Health.Log[len(in.Health.Log)-1].ExitCode != 0 {
			t.Errorf("%s: %+v", name, in.Health)
		}
	}
	old := w.worker("http.1").PID
	if err := syscall.Kill(old, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker that hangs is replaced", func() bool {
		r := w.worker("http.1")
		return r.State == "ready" && r.PID != old && !lives(old)
	})
	res, err := http.Get("http://127.0.0.1:" + ports[1] + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// TestChecksThatCostTooMuchAreWarnedOf in inspect.
func TestChecksThatCostTooMuchAreWarnedOf(t *testing.T) {
	w := newWorld(t)
	w.up(`
services:
  slow:
    command: sleep 1000
    healthcheck: {test: sleep 0.3, interval: 100ms}
  busy:
    command: sleep 1000
    healthcheck: {test: "i=0; while [ $$i -lt 20000 ]; do i=$$((i+1)); done", interval: 100ms}
`)
	w.there()
	for name, word := range map[string]string{"slow.1": "longer than its interval of 100 ms", "busy.1": "% of a core"} {
		eventually(t, name+" is warned of", func() bool {
			return strings.Contains(strings.Join(w.inspect(name).Health.Warnings, "\n"), word)
		})
	}
}
