package e2e

import (
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// kills is how often a loss test kills: usual in `make test`, most in the soak,
// $BULSA_E2E_KILLS where somebody says so.
func kills(t *testing.T, usual, most int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("BULSA_E2E_KILLS")); err == nil {
		return n
	}
	if soaks(t) {
		return most
	}
	return usual
}

// Each of the clients waits a little between two requests, so that they ask
// some 600 times a second: more would only leave no time to boot workers in.
const (
	killClients = 64
	killPause   = 100 * time.Millisecond
)

// four runs four workers of a script or program and returns their address.
func four(w *world, command ...string) string {
	w.t.Helper()
	address := "127.0.0.1:" + freePort(w.t)
	w.ready(append([]string{"run", "--name", "app", "-w", "4", "-p", address, "--admin", "off"}, command...)...)
	return address
}

// workers reads the project's workers over its control socket.
func workers(t *testing.T, control *http.Client) []row {
	t.Helper()
	rows, err := readWorkers(control)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// killPace is the least time between two kills.
const killPace = 50 * time.Millisecond

// killRandomWorkers sends SIGKILL to n random workers that are ready, from
// outside, without a word to bulsa.
func killRandomWorkers(t *testing.T, w *world, n int) {
	t.Helper()
	killRandomWorkersEvery(t, w, killPace, n)
}

func killRandomWorkersEvery(t *testing.T, w *world, least time.Duration, n int) {
	t.Helper()
	control := w.control("app")
	defer control.CloseIdleConnections()
	killed := map[int]bool{}
	victim := func() bool {
		var alive []int
		for _, r := range workers(t, control) {
			if r.State == "ready" && !killed[r.PID] {
				alive = append(alive, r.PID)
			}
		}
		if len(alive) < 2 {
			return false // on a slow machine: kills faster than boots would only find nobody
		}
		pid := alive[rand.IntN(len(alive))]
		killed[pid] = syscall.Kill(pid, syscall.SIGKILL) == nil
		return killed[pid]
	}
	pace := time.NewTicker(least)
	defer pace.Stop()
	for len(killed) < n {
		eventually(t, "a worker is there to be killed", victim)
		<-pace.C
	}
}

// quick is an app that boots as fast as Node does.
const quick = `require('http').createServer((req, res) => res.end('Hello, World!')).listen(3000)`

// TestNoRequestIsLostWhenRandomWorkersAreKilled runs under 64 keep-alive clients
// that never retry: in the soak a thousand kills, most of them of a program that
// starts much faster than Node does. $BULSA_E2E_KILLS is for each.
func TestNoRequestIsLostWhenRandomWorkersAreKilled(t *testing.T) { killRandomly(t) }

func TestSoakNoRequestIsLostWhenRandomWorkersAreKilled(t *testing.T) { killRandomly(t) }

func killRandomly(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		name        string
		usual, most int
		start       func(*world) string
	}{
		{"cluster workers", 30, 300, func(w *world) string { return four(w, w.write("quick.js", quick)) }},
		{"any program, over TCP", 70, 700, func(w *world) string { return four(w, build(t, filepath.Join("testdata", "portserver"))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			address := c.start(w)
			l := startLoad(address, "/", killClients, killPause)
			killRandomWorkers(t, w, kills(t, c.usual, c.most))
			l.end()
			l.report(t)
			if l.broken.Load() > 0 {
				t.Errorf("%d answers were broken off", l.broken.Load())
			}
			for _, r := range w.ps("") {
				if r.State == "failed" {
					t.Errorf("%s counts as failed: %s", r.Name, r.Cause)
				}
			}
		})
	}
}

// TestNoRequestIsLostWhenClientsKillWorkers: as in the article, by a request
// whose worker kills itself after its answer.
func TestNoRequestIsLostWhenClientsKillWorkers(t *testing.T) { killByClients(t) }

func TestSoakNoRequestIsLostWhenClientsKillWorkers(t *testing.T) { killByClients(t) }

func killByClients(t *testing.T) {
	t.Helper()
	address := four(newWorld(t), filepath.Join(example(t, "zombie-server"), "cluster.js"))
	l := startLoad(address, "/", killClients, killPause)
	client := http.Client{Timeout: patience}
	for range kills(t, 20, 100) {
		res, err := client.Get("http://" + address + "/workerKiller")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("workerKiller: %s", res.Status)
		}
	}
	l.end()
	l.report(t)
}

// dripping answers slowly, in two pieces, so that kills hit answers that have
// begun: with a Content-Length, chunked, and ended by the connection's end.
const dripping = `
const http = require('http');
http.createServer((req, res) => {
  const kind = req.url.slice(1);
  if (kind === 'length') res.setHeader('Content-Length', 20);
  if (kind === 'close') { res.useChunkedEncodingByDefault = false; res.shouldKeepAlive = false; res.removeHeader('transfer-encoding'); }
  res.write('0123456789');
  setTimeout(() => res.end('0123456789'), 30);
}).listen(3000);
`

// TestAnAnswerThatBreaksOffIsSeenAsBroken: what has begun can not be saved. The
// client must see a broken transfer, never a short 200.
func TestAnAnswerThatBreaksOffIsSeenAsBroken(t *testing.T) {
	w := newWorld(t)
	address := four(w, w.write("drip.js", dripping))
	var all []*load
	for _, path := range []string{"/length", "/chunked", "/close"} {
		l := startLoad(address, path, 16, 0)
		l.body = "01234567890123456789"
		all = append(all, l)
	}
	killRandomWorkers(t, w, kills(t, 20, 50))
	for _, l := range all {
		l.end()
		l.report(t)
		if l.broken.Load() == 0 {
			t.Errorf("%s: no kill hit an answer that had begun: the test shows nothing", l.path)
		}
	}
}
