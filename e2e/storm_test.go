package e2e

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// storm sends SIGKILL to a random worker every 50 ms, whatever the worker does at
// that moment: it may be ready, starting, or have been killed an instant ago.
func storm(t *testing.T, w *world, kills int) {
	t.Helper()
	control := w.control("app")
	defer control.CloseIdleConnections()
	pace := time.NewTicker(killPace)
	defer pace.Stop()
	for range kills {
		<-pace.C
		rows := workers(t, control)
		if pid := rows[rand.IntN(len(rows))].PID; pid > 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// paced asks for / every 2 ms, each time over a client of its own if the others
// still wait, and returns how long each answer took. A failure is a loss.
type paced struct {
	load  *load
	mu    sync.Mutex
	times []time.Duration
	stop  chan struct{}
	work  sync.WaitGroup
}

func startPaced(address string) *paced {
	p := &paced{load: &load{address: address, path: "/"}, stop: make(chan struct{})}
	p.work.Go(func() {
		pace := time.NewTicker(2 * time.Millisecond)
		defer pace.Stop()
		for {
			select {
			case <-pace.C:
				p.work.Go(p.ask)
			case <-p.stop:
				return
			}
		}
	})
	return p
}

func (p *paced) ask() {
	began := time.Now()
	p.load.once()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times = append(p.times, time.Since(began))
}

// end stops asking, waits for the answers under way and returns the time that the
// share q of them took at most.
func (p *paced) end() func(q float64) time.Duration {
	close(p.stop)
	p.work.Wait()
	slices.Sort(p.times)
	return func(q float64) time.Duration { return p.times[int(q*float64(len(p.times)-1))] }
}

// TestAKillStormIsNoOutage: kills that come faster than programs start, and hit them
// while they do, delay requests by a start or two. They are no crashes of the
// program: no worker waits for longer and longer, or is given up.
func TestAKillStormIsNoOutage(t *testing.T) { killInAStorm(t) }

func TestSoakAKillStormIsNoOutage(t *testing.T) { killInAStorm(t) }

func killInAStorm(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		name  string
		start func(*world) string
	}{
		{"any program, over TCP", func(w *world) string { return four(w, build(t, filepath.Join("testdata", "portserver"))) }},
		{"a slow start", func(w *world) string {
			return four(w, "sh", "-c", "sleep 0.1; exec "+build(t, filepath.Join("testdata", "portserver")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			p := startPaced(c.start(w))
			storm(t, w, kills(t, 50, 200))
			took := p.end()
			p.load.report(t)
			t.Logf("median %s, p99 %s, at most %s", took(0.5), took(0.99), took(1))
			for _, r := range w.ps("") {
				if r.State == "failed" {
					t.Errorf("%s counts as failed: %s", r.Name, r.Cause)
				}
			}
		})
	}
}
