package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// greeter answers with $GREETING; its worker and its process stand in headers.
const greeter = `
require('http').createServer((req, res) => {
  res.setHeader('worker', process.env.BULSA_WORKER);
  res.setHeader('pid', process.pid);
  setTimeout(() => res.end(process.env.GREETING), 5);
}).listen(3000);
console.log('greets with', process.env.GREETING);
`

// greeting is a Compose file with one service of greeters.
func greeting(port, text string, workers int) string {
	return fmt.Sprintf(`
services:
  app:
    command: node greet.js
    ports: ["127.0.0.1:%s:3000"]
    environment: {GREETING: %s}
    deploy: {replicas: %d}
`, port, text, workers)
}

// greets is a world in which that file is up and ready.
func greets(t *testing.T, text string, workers int) (w *world, s *server, port string) {
	t.Helper()
	w, port = newWorld(t), freePort(t)
	w.write("greet.js", greeter)
	s = w.up(greeting(port, text, workers))
	s.says("ready after")
	return w, s, port
}

// pidsOf are the processes of a service, sorted.
func (w *world) pidsOf(service string) []int {
	w.t.Helper()
	var pids []int
	for _, r := range w.ps("") {
		if r.Service == service && r.PID > 0 {
			pids = append(pids, r.PID)
		}
	}
	slices.Sort(pids)
	return pids
}

func TestUpAgainWithoutAChangeTouchesNothing(t *testing.T) {
	t.Parallel()
	w, _, _ := greets(t, "hello", 2)
	before := w.pidsOf("app")
	// What the shell says of itself is no change of the file.
	w.set("SHLVL", "7")
	w.set("OLDPWD", "/somewhere/else")
	w.set("WINDOWID", "12345")
	if out := w.must("up", "-d"); !strings.Contains(out, "nothing changed") {
		t.Errorf("up again says %q", out)
	}
	if after := w.pidsOf("app"); !slices.Equal(before, after) {
		t.Errorf("processes %v became %v", before, after)
	}
}

func TestUpAgainWithAnotherNumberScales(t *testing.T) {
	t.Parallel()
	w, _, port := greets(t, "hello", 1)
	before := w.pidsOf("app")
	w.write("compose.yaml", greeting(port, "hello", 3))
	if out := w.must("up", "-d"); !strings.Contains(out, "app: scaled from 1 to 3") {
		t.Errorf("up again says %q", out)
	}
	if after := w.pidsOf("app"); len(after) != 3 || !slices.Contains(after, before[0]) {
		t.Errorf("processes %v became %v", before, after)
	}
}

func TestUpAgainWithAChangeReplacesWorkersWithoutLoss(t *testing.T) {
	t.Parallel()
	w, _, port := greets(t, "hello", 2)
	before := w.pidsOf("app")
	l := startLoad("127.0.0.1:"+port, "/", 16, 5*time.Millisecond)
	w.write("compose.yaml", greeting(port, "goodbye", 2))
	if out := w.must("up", "-d"); !strings.Contains(out, "app: changed") {
		t.Errorf("up again says %q", out)
	}
	if _, text := get(t, "http://127.0.0.1:"+port); text != "goodbye" {
		t.Errorf("ready, but it answers %q", text)
	}
	eventually(t, "the old workers are gone", func() bool { return len(w.ps("")) == 2 })
	l.end()
	l.report(t)
	for _, pid := range w.pidsOf("app") {
		if slices.Contains(before, pid) {
			t.Errorf("process %d was not replaced", pid)
		}
	}
	for _, r := range w.ps("") {
		if r.Release != 2 {
			t.Errorf("%s runs release %d, want 2", r.Name, r.Release)
		}
	}
	startedFirst(t, w)
}

// startedFirst reads from the events that a successor was ready before its
// predecessor left the rotation.
func startedFirst(t *testing.T, w *world) {
	t.Helper()
	readies := 0
	for _, e := range w.events("app.1") {
		switch e.Kind {
		case "ready":
			readies++
		case "draining":
			if readies < 2 {
				t.Errorf("app.1 left at %s, before its successor was ready", e.At)
			}
			return
		}
	}
	t.Error("app.1 never left")
}

func TestUpAgainAddsAndRemovesServices(t *testing.T) {
	t.Parallel()
	w, _, port := greets(t, "hello", 1)
	before, other := w.pidsOf("app"), freePort(t)
	w.write("compose.yaml", greeting(port, "hello", 1)+fmt.Sprintf(`
  more:
    command: node greet.js
    ports: ["127.0.0.1:%s:3000"]
    environment: {GREETING: more}
`, other))
	if out := w.must("up", "-d"); strings.TrimSpace(out) != "more: started" {
		t.Errorf("up again says %q", out)
	}
	if _, text := get(t, "http://127.0.0.1:"+other); text != "more" {
		t.Errorf("the new service answers %q", text)
	}
	w.write("compose.yaml", greeting(port, "hello", 1))
	if out := w.must("up", "-d"); strings.TrimSpace(out) != "more: removed" {
		t.Errorf("up again says %q", out)
	}
	refuses(t, other)
	if after := w.pidsOf("app"); !slices.Equal(before, after) {
		t.Errorf("processes %v of app became %v", before, after)
	}
	if states := w.states(""); states != "app.1 ready" {
		t.Errorf("there are %s", states)
	}
}

// TestARenamedServiceKeepsItsPort: the port is the same, only who serves it changes.
func TestARenamedServiceKeepsItsPort(t *testing.T) {
	t.Parallel()
	w, _, port := greets(t, "hello", 1)
	l := startLoad("127.0.0.1:"+port, "/", 4, 5*time.Millisecond)
	w.write("compose.yaml", strings.Replace(greeting(port, "renamed", 1), "app:", "web:", 1))
	w.must("up", "-d")
	eventually(t, "the new service answers", func() bool {
		_, text := get(t, "http://127.0.0.1:"+port)
		return text == "renamed"
	})
	l.end()
	l.report(t)
	if states := w.states(""); states != "web.1 ready" {
		t.Errorf("there are %s", states)
	}
}

// refuses waits until nobody listens on a port.
func refuses(t *testing.T, port string) {
	t.Helper()
	eventually(t, "nobody listens on "+port, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

func TestABrokenFileLeavesTheRunningProjectAlone(t *testing.T) {
	t.Parallel()
	w, _, port := greets(t, "hello", 1)
	before := w.pidsOf("app")
	w.write("compose.yaml", greeting(port, "hello", 1)+"    comand: x\n")
	failsWith(t, w.do("up", "-d"), 2, "compose.yaml:8:", `did you mean "command"?`)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	w.write("compose.yaml", greeting(port, "changed", 1)+fmt.Sprintf("  more:\n    command: node greet.js\n    ports: [\"127.0.0.1:%s:3000\"]\n", busy))
	failsWith(t, w.do("up", "-d"), 2, "compose.yaml:10:", "port 127.0.0.1:"+busy+" is in use")
	if after := w.pidsOf("app"); !slices.Equal(before, after) {
		t.Errorf("processes %v became %v", before, after)
	}
	if _, text := get(t, "http://127.0.0.1:"+port); text != "hello" {
		t.Errorf("it answers %q", text)
	}
	if states := w.states(""); states != "app.1 ready" {
		t.Errorf("there are %s", states)
	}
}

// TestUpDetachedReturnsWhenReady: with files that are merged, an environment
// file, .env and interpolation in them.
func TestUpDetachedReturnsWhenReady(t *testing.T) {
	t.Parallel()
	w, port := newWorld(t), freePort(t)
	w.write("greet.js", greeter)
	w.write("base.yaml", `
name: merged
services:
  app:
    command: node greet.js
    ports: ["127.0.0.1:${APP_PORT}:3000"]
    env_file: app.env
    deploy: {replicas: 1}
`)
	w.write("more.yaml", "services: {app: {deploy: {replicas: 2}, environment: {EXTRA: \"${MISSING:-default}\"}}}\n")
	w.write("app.env", "GREETING=from-${WHO}\n")
	w.write(".env", "APP_PORT="+port+"\nWHO=nobody\n")
	w.set("WHO", "the-shell")
	defer w.do("down", "-p", "merged")
	out := w.must("-f", "base.yaml", "-f", "more.yaml", "up", "-d", "--admin", "off")
	if !strings.Contains(out, "app: 2 of 2 workers ready on 127.0.0.1:"+port+"->3000") {
		t.Errorf("up -d says %q", out)
	}
	if _, text := get(t, "http://127.0.0.1:"+port); text != "from-the-shell" {
		t.Errorf("it answers %q", text)
	}
	if out := w.must("down", "-f", "base.yaml"); out != "merged: stopped\n" {
		t.Errorf("down says %q", out)
	}
	refuses(t, port)
}

func TestProfilesChooseServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", `
services:
  always: {command: sleep 1000}
  debug: {command: sleep 1000, profiles: [debug]}
`)
	s := w.ready("up", "--admin", "off")
	if states := w.states(""); states != "always.1 ready" {
		t.Errorf("there are %s", states)
	}
	s.stop()
	w.ready("--profile", "debug", "up", "--admin", "off")
	if states := w.states(""); states != "always.1 ready, debug.1 ready" {
		t.Errorf("with the profile there are %s", states)
	}
}

// TestDependenciesAreWaitedFor: a job, then a service that is checked, then the app.
func TestDependenciesAreWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(`
services:
  app:
    command: sleep 1000
    depends_on:
      job: {condition: service_completed_successfully}
      db: {condition: service_healthy}
  db:
    command: sleep 1000
    healthcheck: {test: "test -e healthy", interval: 100ms, retries: 1000}
    depends_on:
      job: {condition: service_completed_successfully}
  job:
    command: ["sh", "-c", "until test -e go; do sleep 0.05; done"]
    restart: "no"
`)
	w.there()
	w.becomes("job.1", "ready")
	waits := func(service, text string) {
		t.Helper()
		eventually(t, service+" "+text, func() bool {
			return strings.Contains(w.must("inspect", service), text)
		})
	}
	waits("db", "waits for job to complete")
	waits("app", "waits for db to be healthy (0 of 1)")
	w.write("go", "")
	waits("app", "waits for db to be healthy (0 of 1)")
	w.write("healthy", "")
	w.becomes("app.1", "ready")
	var order []string
	for _, name := range []string{"job.1", "db.1", "app.1"} {
		order = append(order, w.events(name)[0].At.Format(time.RFC3339Nano))
	}
	if !slices.IsSorted(order) {
		t.Errorf("job, db and app began at %v", order)
	}
}

func TestAFailedJobTellsWhyOthersWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", `
services:
  app:
    command: sleep 1000
    depends_on: {job: {condition: service_completed_successfully}}
  job:
    command: ["sh", "-c", "echo no such table >&2; exit 3"]
    restart: "no"
`)
	defer w.do("down")
	r := w.do("up", "-d", "--admin", "off")
	failsWith(t, r, 1, "job.1", "exit 3")
	if out := w.do("inspect", "app"); !strings.Contains(out.stdout, "waits for job to complete (job.1: exit 3") {
		t.Errorf("inspect app says %s%s", out.stdout, out.stderr)
	}
}

func TestRestartPoliciesOfCompose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(`
services:
  never: {command: ["sh", "-c", "exit 1"], restart: "no"}
  clean: {command: ["sh", "-c", "exit 0"], restart: on-failure}
  thrice: {command: ["sh", "-c", "exit 1"], restart: "on-failure:3", x-bulsa: {restart: {delay: 10ms}}}
  always: {command: ["sh", "-c", "exit 0"], restart: always, x-bulsa: {restart: {delay: 10ms, max_delay: 10ms, budget: 1000}}}
  stays: {command: sleep 1000}
`)
	eventually(t, "always came back five times", func() bool { return w.do("ps").status == 0 && w.worker("always.1").Restarts >= 5 })
	eventually(t, "thrice has failed", func() bool { return w.worker("thrice.1").State == "failed" })
	for name, want := range map[string]int{"never.1": 0, "clean.1": 0, "thrice.1": 3} {
		if r := w.worker(name); r.Restarts != want {
			t.Errorf("%s was restarted %d times (%s), want %d", name, r.Restarts, r.Cause, want)
		}
	}
}

// TestWhatHasNoRestartPolicy: docs/restart.md, with processes.
func TestWhatHasNoRestartPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("count.sh", "echo run >>$1.runs; shift; exec \"$@\"\n")
	w.up(`
services:
  seed: {command: sh count.sh seed true}
  broken: {command: "sh count.sh broken sh -c 'exit 3'"}
  consumer: {command: sh count.sh consumer sleep 1000}
  after: {command: sh count.sh after sleep 1000, depends_on: {migrate: {condition: service_completed_successfully}}}
  migrate: {command: sh count.sh migrate true}
  published: {command: sh count.sh published true, ports: ["0:3000"]}
`)
	eventually(t, "what waited for the migration runs", func() bool { return w.do("ps").status == 0 && strings.Contains(w.states(""), "after.1 ready") })
	eventually(t, "what publishes a port came back", func() bool { return w.worker("published.1").Restarts >= 3 })
	before := w.becomes("consumer.1", "ready").PID
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the consumer is back", func() bool { r := w.worker("consumer.1"); return r.State == "ready" && r.PID != before })
	for _, name := range []string{"seed", "broken", "migrate"} {
		runs, err := os.ReadFile(filepath.Join(w.dir, name+".runs"))
		if r := w.worker(name + ".1"); err != nil || string(runs) != "run\n" || r.State != "pending" {
			t.Errorf("%s ran %d times and is %s: %s", name, strings.Count(string(runs), "run"), r.State, r.Cause)
		}
	}
	if r := w.worker("broken.1"); !strings.Contains(r.Cause, "exit 3") || !strings.Contains(r.Cause, "not started again") {
		t.Errorf("the cause is %q, want the status, and that it stays so", r.Cause)
	}
	w.do("up", "-d") // tries the broken one again, and nothing that is done
	if runs, _ := os.ReadFile(filepath.Join(w.dir, "broken.runs")); string(runs) != "run\nrun\n" {
		t.Errorf("after another up the broken one ran %d times, want 2", strings.Count(string(runs), "run"))
	}
	if runs, _ := os.ReadFile(filepath.Join(w.dir, "migrate.runs")); string(runs) != "run\n" {
		t.Errorf("after another up the migration ran %d times", strings.Count(string(runs), "run"))
	}
}

// upstream is a server that somebody else runs. It answers with its name, or
// breaks off while it is ill.
type upstream struct {
	address string
	asked   atomic.Int64
	ill     atomic.Bool
}

func newUpstream(t *testing.T, name string) *upstream {
	t.Helper()
	u := &upstream{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.address = l.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.asked.Add(1)
		if u.ill.Load() {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, name)
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return u
}

// balances runs a file with one external service over servers.
func balances(t *testing.T, servers string, more string) (w *world, url string) {
	t.Helper()
	w = newWorld(t)
	port := freePort(t)
	w.up(fmt.Sprintf(`
services:
  legacy:
    x-bulsa:
      engine: external
      balance: round_robin
%s
      servers:
%s
    ports: ["127.0.0.1:%s:80"]
`, more, servers, port)).says("ready after")
	return w, "http://127.0.0.1:" + port
}

// tally asks n times and counts the answers.
func tally(t *testing.T, url string, n int) map[string]int {
	t.Helper()
	answers := map[string]int{}
	for range n {
		status, text := get(t, url)
		if status != http.StatusOK {
			text = fmt.Sprint(status)
		}
		answers[text]++
	}
	return answers
}

func TestExternalServersShareByWeight(t *testing.T) {
	t.Parallel()
	a, b := newUpstream(t, "a"), newUpstream(t, "b")
	_, url := balances(t, fmt.Sprintf("        - {address: %q, weight: 3}\n        - {address: %q}", a.address, b.address), "")
	answers := tally(t, url, 40)
	if answers["a"] != 30 || answers["b"] != 10 {
		t.Errorf("with weights 3 and 1 the answers are %v", answers)
	}
}

func TestABackupServerAnswersOnlyWhenTheOthersCannot(t *testing.T) {
	t.Parallel()
	a, b := newUpstream(t, "a"), newUpstream(t, "b")
	_, url := balances(t, fmt.Sprintf("        - {address: %q, max_fails: 1, fail_timeout: 1s}\n        - {address: %q, backup: true}", a.address, b.address), "")
	if answers := tally(t, url, 20); answers["a"] != 20 {
		t.Errorf("all is well, and the answers are %v", answers)
	}
	a.ill.Store(true)
	if answers := tally(t, url, 20); answers["b"] != 20 {
		t.Errorf("a is ill, and the answers are %v", answers)
	}
	a.ill.Store(false)
	eventually(t, "a answers again", func() bool { return tally(t, url, 1)["a"] == 1 })
}

func TestAFailingServerIsLeftOutForItsTime(t *testing.T) {
	t.Parallel()
	a, b := newUpstream(t, "a"), newUpstream(t, "b")
	_, url := balances(t, fmt.Sprintf("        - {address: %q, max_fails: 2, fail_timeout: 2s}\n        - {address: %q}", a.address, b.address), "")
	tally(t, url, 4)
	a.ill.Store(true)
	before, began := a.asked.Load(), time.Now()
	answers := tally(t, url, 40)
	if answers["b"] != 40 {
		t.Errorf("a is ill, and the answers are %v", answers)
	}
	// Once more over each idle connection (every loop may have one): that one ends says nothing.
	if asked := a.asked.Load() - before; asked < 2 || asked > 2+int64(runtime.NumCPU()) && time.Since(began) < 2*time.Second {
		t.Errorf("a was asked %d times, want max_fails", asked)
	}
	a.ill.Store(false)
	eventually(t, "a answers again", func() bool { return tally(t, url, 1)["a"] == 1 })
}

// TestTheLastServerIsNeverLeftOut: when both fail for a moment, answers are back
// as soon as a server is.
func TestTheLastServerIsNeverLeftOut(t *testing.T) {
	t.Parallel()
	a, b := newUpstream(t, "a"), newUpstream(t, "b")
	_, url := balances(t, fmt.Sprintf("        - {address: %q, max_fails: 1, fail_timeout: 60s}\n        - {address: %q, max_fails: 1, fail_timeout: 60s}", a.address, b.address), "")
	a.ill.Store(true)
	b.ill.Store(true)
	if answers := tally(t, url, 10); answers["502"] != 10 {
		t.Errorf("both are ill, and the answers are %v", answers)
	}
	a.ill.Store(false)
	b.ill.Store(false)
	if answers := tally(t, url, 10); answers["a"]+answers["b"] != 10 {
		t.Errorf("both are well again, and the answers are %v", answers)
	}
}

// TestTheFileOfTheDocumentation is the example that users start from, on free ports.
func TestTheFileOfTheDocumentation(t *testing.T) {
	t.Parallel()
	w, port, legacy := newWorld(t), freePort(t), freePort(t)
	a, b := newUpstream(t, "a"), newUpstream(t, "b")
	w.write("app.js", greeter)
	w.up(fmt.Sprintf(`
services:
  app:
    command: node app.js
    ports: ["%s:3000"]
    environment: {GREETING: hello}
    deploy: {replicas: 2}
    healthcheck: {test: "node -e 'fetch(\"http://localhost:%[1]s/\").then(r => process.exit(r.ok ? 0 : 1))' || exit 1", interval: 1s, timeout: 30s, retries: 3, start_period: 60s}
    x-bulsa:
      engine: process
      balance: least_latency
      max_fails: 3
      fail_timeout: 10s
      workers: auto
      spare: 0
      probe: {passes: 1}
      on_unhealthy: restart
      sticky: {cookie: name}
      event_loop: {unhealthy_after: 5s}
  legacy:
    x-bulsa:
      engine: external
      servers:
        - {address: %q, weight: 10, max_fails: 3, fail_timeout: 10s}
        - {address: %q, weight: 10, backup: true}
    ports: ["%s:80"]
`, port, a.address, b.address, legacy)).says("ready after")
	if _, text := get(t, "http://127.0.0.1:"+port); text != "hello" {
		t.Errorf("app answers %q", text)
	}
	if _, text := get(t, "http://127.0.0.1:"+legacy); text != "a" {
		t.Errorf("legacy answers %q", text)
	}
}

// leftovers are what a start that failed may not leave: a socket to talk to.
func leftovers(w *world) []string {
	sockets, _ := filepath.Glob(filepath.Join(w.runtime(), "*", "*.sock*"))
	return slices.DeleteFunc(sockets, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.Mode().Type() != os.ModeSocket
	})
}
