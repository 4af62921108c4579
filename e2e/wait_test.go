package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stuck serves, until there is a file beside it: what starts then hangs before it listens.
const stuck = `
const fs = require('fs');
console.log('connecting to the database');
if (fs.existsSync(__dirname + '/stuck')) setInterval(() => {}, 1000);
else require('http').createServer((_, res) => res.end('ok\n')).listen(3000);
`

// TestAWaitWithoutAnEndEnds: it says what it waits for, gives up, and nothing is lost by it.
func TestAWaitWithoutAnEndEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("app.js", stuck)
	port, admin := freePort(t), freePort(t)
	w.ready("-p", "shop", "run", "-w", "2", "-p", "127.0.0.1:"+port+":3000", "--admin", admin, "app.js")
	w.write("stuck", "")
	r := w.do("restart", "-p", "shop", "--wait-timeout", "7")
	if r.status != 1 || r.stdout != "" {
		t.Errorf("restart ended with %d and printed %q", r.status, r.stdout)
	}
	for _, want := range []string{
		"bulsa: still waiting: app: its workers are being replaced: app.1 has run for ",
		"but listens on no port: bulsa logs app.1",
		"app.1 | connecting to the database\n",
		"bulsa: the restart of shop is not done: nothing moved for 7s: app: ",
		"; 2 workers serve meanwhile; bulsa goes on trying",
	} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("restart said\n%s\nwithout %q", r.stderr, want)
		}
	}
	if status, body := get(t, "http://127.0.0.1:"+port); status != 200 || body != "ok\n" {
		t.Errorf("the earlier workers answer %d %q", status, body)
	}

	// Two workers of one name are one series.
	families := scrape(t, "http://127.0.0.1:"+admin+"/metrics")
	for _, name := range []string{"bulsa_worker_up", "bulsa_worker_cpu_seconds_total", "bulsa_worker_in_flight_requests", "bulsa_eventloop_blocks_total"} {
		if n := len(families[name].GetMetric()); n != 2 {
			t.Errorf("%s has %d series for two workers, of which one is replaced", name, n)
		}
	}

	left := w.start("restart", "-p", "shop")
	left.says("still waiting")
	if left.cmd.Process.Signal(syscall.SIGINT); left.stop() != 1 {
		t.Errorf("after Ctrl-C it ended with %d", left.cmd.ProcessState.ExitCode())
	}
	if said := left.stderr.String(); !strings.Contains(said, "not waiting any longer; the restart of shop goes on in the background") {
		t.Errorf("after Ctrl-C it said %s", said)
	}

	if err := os.Remove(filepath.Join(w.dir, "stuck")); err != nil {
		t.Fatal(err)
	}
	for _, row := range w.ps("shop") {
		if row.State == "starting" {
			w.must("kill", "-p", "shop", row.Name)
		}
	}
	w.must("restart", "-p", "shop")
}

func TestScaleIsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", "name: shop\nservices:\n  a: {command: sleep 1000}\n  b: {command: sleep 1000}\n")
	w.ready("up", "--admin", "off")
	count := func() string {
		names := []string{}
		for _, row := range w.ps("shop") {
			names = append(names, row.Name)
		}
		return strings.Join(names, " ")
	}
	for _, args := range [][]string{{"a=2", "b=2", "typo=3"}, {"a=2", "b=-3"}, {"a=2", "a=3"}, {"a=+x"}} {
		if r := w.do(append([]string{"scale"}, args...)...); r.status == 0 || count() != "a.1 b.1" {
			t.Errorf("scale %v: exit status %d, %q, and there are %s", args, r.status, r.stderr, count())
		}
	}
	if out := w.must("scale", "a=+2", "b=2"); out != "a: scaled from 1 to 3\nb: scaled from 1 to 2\n" || count() != "a.1 a.2 a.3 b.1 b.2" {
		t.Errorf("it printed %q, and there are %s", out, count())
	}
	w.must("scale", "a=-2")
	if got := count(); got != "a.1 b.1 b.2" {
		t.Errorf("two fewer: %s", got)
	}
}

func TestWhatWaitsIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", `
name: shop
services:
  db:
    command: sleep 1000
    healthcheck: {test: "false", interval: 1s, start_period: 1000s}
  web:
    command: sleep 1000
    depends_on: {db: {condition: service_healthy}}
`)
	s := w.start("up", "--admin", "off")
	s.says("db: 1 worker")
	eventually(t, "ps -a has a row for what waits", func() bool {
		return strings.Contains(w.do("ps", "-a").stdout, "Waits for db to be healthy")
	})
	r := w.do("restart", "--wait-timeout", "1s", "web")
	if r.status != 1 || !strings.Contains(r.stderr, "web: waits for db to be healthy") {
		t.Errorf("restart of what waits: exit status %d, %s", r.status, r.stderr)
	}
}

func TestABulsaThatStandsStillIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.run("-w", "1", "--", "sleep", "1000")
	s.cmd.Process.Signal(syscall.SIGSTOP)
	defer s.cmd.Process.Signal(syscall.SIGCONT)
	for _, command := range []string{"ps", "ps -A", "logs", "events", "restart", "kill app.1", "down"} {
		began := time.Now()
		r := w.do(strings.Fields(command)...)
		took := time.Since(began)
		if want := fmt.Sprintf(`project "app" stands still: its bulsa (pid %d) was stopped`, s.cmd.Process.Pid); r.status != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit status %d, %q", command, r.status, r.stderr)
		}
		if took > 5*time.Second {
			t.Errorf("%s took %s", command, took)
		}
	}
}
