package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// report is what the tests read of bulsa doctor --format json.
type report struct {
	Profiled string
	Notes    []string
	Findings []struct {
		Kind, Service, Worker, Summary string
		Evidence, Remedy               []string
	}
}

func (w *world) doctor(args ...string) report {
	w.t.Helper()
	var r report
	out := w.must(append([]string{"doctor", "--format", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// finds waits until the doctor finds something that says all of these texts.
func (w *world) finds(kind string, says ...string) {
	w.t.Helper()
	last := report{}
	defer func() {
		if w.t.Failed() {
			w.t.Logf("the last report: %+v", last)
		}
	}()
	eventually(w.t, fmt.Sprintf("the doctor finds %s with %q", kind, says), func() bool {
		last = w.doctor()
		for _, f := range last.Findings {
			text := strings.Join(slices.Concat([]string{f.Summary}, f.Evidence, f.Remedy), "\n")
			if f.Kind == kind && !slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(text, s) }) {
				return true
			}
		}
		return false
	})
}

// measured waits until bulsa has heard from the worker's event loop.
func (w *world) measured() {
	w.t.Helper()
	eventually(w.t, "the event loop is measured", func() bool { return strings.Contains(w.must("ps", "--format", "json"), "heap_used_bytes") })
}

// keepAsking holds n requests in flight until the test ends.
func keepAsking(t *testing.T, port, path string, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	for range n {
		asking.Go(func() {
			for ctx.Err() == nil {
				conn, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err != nil {
					return // bulsa has ended
				}
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path)
				io.Copy(io.Discard, conn)
				stop()
				conn.Close()
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		asking.Wait()
	})
}

// ill answers "ok", and has an illness for each path.
const ill = `
const http = require('http');
const { pbkdf2 } = require('crypto');
function hang() {
  for (;;);
}
const paths = {
  '/hang': hang,
  '/wait': (res) => setTimeout(() => res.end('late'), 1000),
  '/pool': (res) => pbkdf2('a', 'b', 50000, 64, 'sha512', () => res.end('hashed')),
  '/': (res) => res.end('ok'),
};
http.createServer((req, res) => paths[req.url](res)).listen(process.env.LISTEN);
`

func TestDoctorIsSilentAboutAHealthyService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.set("LISTEN", port)
	w.run("-w", "2", w.write("app.js", ill))
	keepAsking(t, port, "/", 1)
	eventually(t, "the doctor has measured and has nothing to report", func() bool {
		out := w.must("doctor", "--no-profile")
		return strings.HasPrefix(out, "nothing to report: 2 workers, measured for ") && !strings.Contains(out, "measured for 0s") && strings.Count(out, "\n") == 1
	})
	if r := w.do("doctor", "nobody"); r.status != 1 || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("an unknown service: exit status %d, %q", r.status, r.stderr)
	}
}

func TestDoctorFindsWhatIsIll(t *testing.T) {
	// script runs ill, or what stands in front of it, as one worker.
	script := func(front string) func(*world) string {
		return func(w *world) string {
			port := freePort(w.t)
			w.set("LISTEN", port)
			w.run("-w", "1", w.write("app.js", front+ill))
			w.measured()
			return port
		}
	}
	// These compute all the time: one after the other they take half as long.
	fills := map[string]bool{"a full thread pool": true, "a busy service": true}
	for name, c := range map[string]struct {
		start func(*world) string
		path  string
		many  int
		kind  string
		says  []string
	}{
		"a loop that hangs":  {script(""), "/hang", 1, "loop-blocked", []string{"app.1", "hang (app.js:5)"}},
		"a full thread pool": {script(""), "/pool", 16, "pool-saturated", []string{"4 threads", "UV_THREADPOOL_SIZE is not set, so 4"}},
		"a slow back end":    {script(""), "/wait", 16, "slow-upstream", []string{"requests in flight", "more workers do not help"}},
		"a busy service": {
			script("function spin() { const end = Date.now() + 50; while (Date.now() < end); setImmediate(spin); } spin();"),
			"/", 1, "workers-busy", []string{"all workers of app are busy", "app.1: ", "app.js:1"},
		},
		"a flood of lines": {
			script("const line = 'x'.repeat(1000) + '\\n'; setInterval(() => { for (let i = 0; i < 100; i++) process.stdout.write(line); }, 20);"),
			"/", 1, "log-flood", []string{"a second", "log less"},
		},
		"a crash loop": {
			func(w *world) string {
				w.start("run", "--name", "app", "--admin", "off", "-w", "1", "-p", freePort(w.t)+":3000", w.write("app.js", "throw new Error('no such table');"))
				eventually(w.t, "it runs", func() bool { return w.do("ps").status == 0 })
				return ""
			}, "", 0, "crash-loop", []string{"app.1 died", "no such table", "bulsa logs"},
		},
		"a wrapper": {
			func(w *world) string {
				port := freePort(w.t)
				w.set("LISTEN", port)
				w.write("app.js", ill)
				w.write("package.json", `{"name": "app", "scripts": {"start": "echo begins && node app.js"}}`)
				w.run("-w", "1", "sh", "-c", "npm start")
				return port
			}, "", 0, "wrapper", []string{"npm", "node app.js"},
		},
		"a check that costs": {
			func(w *world) string {
				port := freePort(w.t)
				w.set("LISTEN", port)
				w.run("-w", "1", "--health-cmd", "node -e 0", "--health-interval", "200ms", w.write("app.js", ill))
				return port
			}, "", 0, "check-costly", []string{"of a core", "x-bulsa.probe.http"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if !fills[name] {
				t.Parallel()
			}
			w := newWorld(t)
			port := c.start(w)
			if c.many > 0 {
				keepAsking(t, port, c.path, c.many)
			}
			w.finds(c.kind, c.says...)
		})
	}
}

// A block is looked into while it lasts; before the worker is replaced for it, a
// profile is kept.
func TestABlockedLoopIsExplained(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	port := freePort(t)
	w.set("LISTEN", port)
	w.run("-w", "1", "-p", port, w.write("app.js", hanging)) // a worker of a service with ports is replaced
	w.measured()
	w.hangs(port)
	eventually(t, "an event names the function", func() bool {
		events := w.must("events")
		return strings.Contains(events, "blocked") && strings.Contains(events, "in hang (app.js:5)")
	})
	var got struct {
		Blocks []struct {
			Where, Profile string
			Stack          []string
		}
	}
	eventually(t, "a profile is kept", func() bool {
		if err := json.Unmarshal([]byte(w.must("inspect", "app.1")), &got); err != nil {
			t.Fatal(err)
		}
		return len(got.Blocks) > 0 && got.Blocks[len(got.Blocks)-1].Profile != ""
	})
	last := got.Blocks[len(got.Blocks)-1]
	if last.Where != "hang (app.js:5)" || len(last.Stack) == 0 || !strings.Contains(last.Stack[0], "app.js:5:") {
		t.Errorf("the block is %+v", last)
	}
	var profile struct{ Samples []int }
	if content, err := os.ReadFile(last.Profile); err != nil || json.Unmarshal(content, &profile) != nil || len(profile.Samples) == 0 {
		t.Errorf("the profile has %d samples, %v", len(profile.Samples), err)
	}
}
