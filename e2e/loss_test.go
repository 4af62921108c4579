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

// kills is how often each of the loss tests kills: $BULSA_E2E_KILLS, or enough
// for the test command. The figures in the README are of 1,000.
func kills(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("BULSA_E2E_KILLS")); err == nil {
		return n
	}
	return 1000
}

const killClients = 64

// zombie runs the example with four workers and returns its address.
func zombie(t *testing.T, script string, args ...string) (*world, string) {
	w := newWorld(t)
	port := freePort(t)
	args = append([]string{"run", "--name", "app", "-w", "4", "-p", "127.0.0.1:" + port, "--admin", "off"}, args...)
	w.ready(append(args, filepath.Join(example(t, "zombie-server"), script))...)
	return w, "127.0.0.1:" + port
}

// TestNoRequestIsLostWhenRandomWorkersAreKilled: SIGKILL, from outside, without
// a word to bulsa, under 64 keep-alive clients that never retry.
func TestNoRequestIsLostWhenRandomWorkersAreKilled(t *testing.T) {
	w, address := zombie(t, "app.js")
	l := startLoad(address, "/", killClients, 20*time.Millisecond)
	killed := 0
	for killed < kills(t) {
		rows := w.ps("")
		alive := rows[:0]
		for _, r := range rows {
			if r.State == "ready" {
				alive = append(alive, r)
			}
		}
		for range min(2, len(alive)) { // of this list two are still likely to live
			victim := alive[rand.IntN(len(alive))]
			if syscall.Kill(victim.PID, syscall.SIGKILL) == nil {
				killed++
			}
		}
	}
	l.end()
	l.report(t)
	if l.broken.Load() > 0 {
		t.Errorf("%d answers were broken off: %q", l.broken.Load(), l.first)
	}
}

// TestNoRequestIsLostWhenClientsKillWorkers: as in the article, by a request
// whose worker kills itself after its answer.
func TestNoRequestIsLostWhenClientsKillWorkers(t *testing.T) {
	_, address := zombie(t, "cluster.js")
	l := startLoad(address, "/", killClients, 20*time.Millisecond)
	client := http.Client{Timeout: patience}
	for range kills(t) {
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
