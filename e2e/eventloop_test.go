package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// loopApp does what its path says.
const loopApp = `
const http = require('http'), crypto = require('crypto');
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
http.createServer((q, r) => {
  switch (q.url) {
    case '/hang': console.log('hangs'); for (;;);
    case '/fib': return r.end(String(fib(30)));
    case '/pool': return crypto.pbkdf2('a', 'b', 2e5, 64, 'sha512', () => r.end('pool'));
    case '/slow': return setTimeout(() => r.end('slow'), 1000);
  }
  r.end(process.env.BULSA_WORKER);
}).listen(3000);
`

// figures is what the tests read of a worker's event loop.
type figures struct {
	Source      string   `json:"source"`
	PID         int      `json:"pid"`
	Frequency   *float64 `json:"tick_frequency_hertz"`
	Tick        *float64 `json:"tick_duration_seconds"`
	Work        *float64 `json:"work_latency_seconds"`
	Latency     *float64 `json:"loop_latency_seconds"`
	Utilization *float64 `json:"utilization"`
	Blocked     float64  `json:"blocked_seconds"`
	Threads     *int     `json:"threadpool_threads"`
	HeapUsed    int64    `json:"heap_used_bytes"`
}

// loops are the figures of a project's workers, nil where there are none.
func (w *world) loops(project string) []*figures {
	w.t.Helper()
	var rows []struct {
		EventLoop *figures `json:"event_loop"`
	}
	if err := json.Unmarshal([]byte(w.must("ps", "--format", "json", "-p", project)), &rows); err != nil {
		w.t.Fatal(err)
	}
	var out []*figures
	for _, r := range rows {
		out = append(out, r.EventLoop)
	}
	return out
}

// hammer keeps n requests for url under way until the returned function is called.
func hammer(url string, n int) (stop func()) {
	done := make(chan struct{})
	var clients sync.WaitGroup
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	for range n {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if res, err := client.Get(url); err == nil {
					res.Body.Close()
				}
			}
		})
	}
	return func() {
		close(done)
		clients.Wait()
	}
}

// hang makes a worker hang, by a request that no other will get.
func hang(url string) {
	if res, err := http.Post(url+"/hang", "text/plain", nil); err == nil {
		res.Body.Close()
	}
}

// hasty is a file with a service that gives a worker that hangs little time to end.
func hasty(key string, replicas int, port, command string) string {
	return fmt.Sprintf(`
services:
  app:
    command: %s
    ports: ["%s:3000"]
    deploy: {replicas: %d}
    stop_grace_period: 1s
    x-bulsa:
      timeouts: {drain: 1s}
      %s
`, command, port, replicas, key)
}

// TestFiguresFollowTheLoad: each kind of load shows in its own figure.
func TestFiguresFollowTheLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	w.write("app.js", loopApp)
	port := freePort(t)
	w.ready("run", "-w", "1", "-p", port+":3000", "--name", "figures", "--admin", "off", "app.js")
	url := "http://127.0.0.1:" + port
	until := func(what string, fact func(f *figures) bool) {
		t.Helper()
		var last *figures
		defer func() {
			if t.Failed() {
				b, _ := json.Marshal(last)
				t.Logf("last figures: %s", b)
			}
		}()
		eventually(t, what, func() bool {
			last = w.loops("figures")[0]
			return last != nil && last.Source == "outside" && fact(last)
		})
	}
	until("an idle loop does not turn", func(f *figures) bool {
		return f.Frequency != nil && *f.Frequency == 0 && *f.Utilization == 0 && *f.Latency == 0 && f.HeapUsed > 0
	})
	stop := hammer(url+"/slow", 10)
	until("a slow back end leaves it alone", func(f *figures) bool {
		return *f.Frequency > 0 && *f.Frequency < 200 && *f.Utilization < 0.5 && *f.Work == 0
	})
	stop()
	stop = hammer(url+"/pool", 16)
	until("tasks wait for a thread while the loop has nothing to do", func(f *figures) bool {
		return *f.Threads == 4 && *f.Work > 0.05 && *f.Utilization < 0.5
	})
	stop()
	stop = hammer(url+"/fib", 4)
	until("computing makes it late", func(f *figures) bool {
		return *f.Utilization > 0.7 && f.Tick != nil && *f.Tick > 0.002 && *f.Latency > 0.002
	})
	stop()
}

// TestAHungWorkerIsAvoidedAndReplaced: one of four hangs under load. Only what
// is inside it is lost.
func TestAHungWorkerIsAvoidedAndReplaced(t *testing.T) {
	w := newWorld(t)
	w.write("app.js", loopApp)
	port := freePort(t)
	w.write("bulsa.yaml", hasty("event_loop: {unhealthy_after: 2s}", 4, port, "node app.js"))
	s := w.ready("up", "-p", "hung", "--admin", "off")
	eventually(t, "all loops are seen", func() bool {
		for _, f := range w.loops("hung") {
			if f == nil || f.Source != "outside" {
				return false
			}
		}
		return true
	})
	url := "http://127.0.0.1:" + port
	hangs := make(chan struct{})
	go func() {
		defer close(hangs)
		hang(url)
	}()
	s.prints("hangs")
	began := time.Now()
	var lost, late, all atomic.Int32
	var lastLate atomic.Int64
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var under sync.WaitGroup
	for time.Since(began) < 5*time.Second {
		under.Go(func() {
			sent := time.Now()
			res, err := client.Get(url + "/")
			all.Add(1)
			if err != nil || res.StatusCode != http.StatusOK {
				lost.Add(1)
			}
			if err == nil {
				res.Body.Close()
			}
			if took := time.Since(sent); took > time.Second {
				late.Add(1)
				lastLate.Store(max(lastLate.Load(), int64(sent.Sub(began))))
			}
		})
		time.Sleep(10 * time.Millisecond)
	}
	under.Wait()
	t.Logf("%d requests, %d lost, %d of more than a second, the last one sent %v after it hung", all.Load(), lost.Load(), late.Load(), time.Duration(lastLate.Load()))
	if lost.Load() > 0 {
		t.Errorf("%d of %d requests beside the hung one were lost", lost.Load(), all.Load())
	}
	if last := time.Duration(lastLate.Load()); last > 500*time.Millisecond {
		t.Errorf("a request was sent to it %v after it hung", last)
	}
	eventually(t, "it is replaced", func() bool { return w.states("hung") == "app.1 ready, app.2 ready, app.3 ready, app.4 ready" })
	<-hangs
	events := w.must("events", "-p", "hung")
	for _, want := range []string{"its event loop is blocked", "event loop silent for 2."} {
		if !strings.Contains(events, want) {
			t.Errorf("no event says %q:\n%s", want, events)
		}
	}
}

// TestRequestsInAStoppedWorkerAreAnsweredByAnother: what is inside a worker that stands
// still waits for unhealthy_after, and not for a drain and a grace that lead nowhere.
func TestRequestsInAStoppedWorkerAreAnsweredByAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("app.js", `require('http').createServer((q, s) => setTimeout(() => s.end(String(process.pid)), 100)).listen(3000)`)
	port := freePort(t)
	w.write("bulsa.yaml", hasty("event_loop: {unhealthy_after: 2s}", 2, port, "node app.js"))
	w.ready("up", "-p", "stopped", "--admin", "off")
	url := "http://127.0.0.1:" + port
	stopped := w.ps("stopped")[0].PID
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var asked sync.WaitGroup
	for range 20 {
		asked.Go(func() {
			if status, body := get(t, url); status != http.StatusOK || body == strconv.Itoa(stopped) {
				t.Errorf("%d: %s", status, body)
			}
		})
	}
	asked.Wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the last answer took %s", took)
	}
	eventually(t, "the stopped one is replaced", func() bool {
		return w.states("stopped") == "app.1 ready, app.2 ready" && !lives(stopped)
	})
}

func TestTheMonitorCanBeOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("app.js", `require('http').createServer((q, r) => r.end(String(process.listenerCount('internalMessage')))).listen(3000)`)
	port := freePort(t)
	file := func(monitor string) {
		w.write("bulsa.yaml", fmt.Sprintf(`
services:
  app:
    command: node app.js
    ports: ["%s:3000"]
    x-bulsa: {event_loop: {monitor: %s, threadpool: auto}}
`, port, monitor))
	}
	file("off")
	w.ready("up", "-p", "off", "--admin", "off")
	_, without := get(t, "http://127.0.0.1:"+port)
	if f := w.loops("off")[0]; f != nil {
		t.Errorf("figures of a loop that is not watched: %+v", f)
	}
	file("on")
	w.must("up", "-d", "-p", "off")
	if _, with := get(t, "http://127.0.0.1:"+port); with <= without {
		t.Errorf("%s listeners with the monitor, %s without", with, without)
	}
	eventually(t, "the loop is watched", func() bool { f := w.loops("off")[0]; return f != nil })
}

// TestALoopBehindNpmIsFound: the process of the loop is not the worker's first.
func TestALoopBehindNpmIsFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("app.mjs", `import http from 'node:http'; http.createServer((q, r) => r.end(String(process.pid))).listen(3000)`)
	w.write("package.json", `{"scripts": {"start": "node app.mjs"}}`)
	port := freePort(t)
	w.ready("run", "-w", "1", "-p", port+":3000", "--name", "npm", "--admin", "off", "npm", "start")
	_, pid := get(t, "http://127.0.0.1:"+port)
	eventually(t, "its loop is seen from outside", func() bool {
		f := w.loops("npm")[0]
		return f != nil && f.Source == "outside" && fmt.Sprint(f.PID) == pid
	})
}

// TestALoopIsAHealthCheck: probe.loop finds a worker that hangs.
func TestALoopIsAHealthCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("app.js", loopApp)
	port := freePort(t)
	w.write("bulsa.yaml", hasty("probe: {loop: true}", 1, port, "node app.js")+"    healthcheck: {interval: 500ms, timeout: 1s, retries: 2}\n")
	w.ready("up", "-p", "probe", "--admin", "off")
	first := w.ps("probe")[0]
	if first.Health != "healthy" {
		t.Fatalf("it is %s", first.Health)
	}
	go hang("http://127.0.0.1:" + port)
	eventually(t, "another takes its place", func() bool {
		for _, r := range w.ps("probe") {
			if r.State == "ready" && r.PID != first.PID {
				return true
			}
		}
		return false
	})
	if events := w.must("events", "-p", "probe"); !strings.Contains(events, "checks in a row failed") && !strings.Contains(events, "event loop silent") {
		t.Errorf("events:\n%s", events)
	}
}
