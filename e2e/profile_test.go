package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// hanging answers, and blocks its loop for ever when it is asked to.
const hanging = `
const http = require('http');
function hang() {
  console.log('hangs');
  for (;;);
}
http.createServer((req, res) => (req.url === '/hang' ? hang() : res.end('ok'))).listen(process.env.LISTEN);
console.error('Debugger attached to nobody');
`

// profiled is what the tests read of bulsa profile --format json.
type profiled struct {
	File string
	Seen struct {
		PID   int
		Busy  float64
		Stack []struct {
			Function, File string
			Line           int
		}
		Hot []struct {
			Function, File string
			Line           int
			Share          float64
		}
	}
}

// hangs asks for an answer that never comes, and waits until the worker says so.
func (w *world) hangs(port string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
	eventually(w.t, "the worker hangs", func() bool { return strings.Contains(w.must("logs"), "hangs") })
}

// openPorts is where a process listens on TCP (proc_pid_net(5)).
func openPorts(t *testing.T, pid int) []string {
	t.Helper()
	own := map[string]bool{}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		target, _ := os.Readlink(link)
		own[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
	}
	var where []string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && own[f[9]] {
				where = append(where, f[1])
			}
		}
	}
	return where
}

func TestProfileNamesTheFunctionThatBlocksAWorker(t *testing.T) {
	for _, node := range nodes(t) {
		major, _ := version(t, node)
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			w := newWorld(t)
			w.set("PATH", filepath.Dir(node)+":"+os.Getenv("PATH"))
			port := freePort(t)
			w.set("LISTEN", port)
			w.write("app.js", hanging)
			w.write("bulsa.yaml", "name: app\nservices:\n  app:\n    command: node app.js\n    x-bulsa: {event_loop: {monitor: off}}\n") // it would look, too
			w.ready("up", "--admin", "off")
			w.hangs(port)

			var got profiled
			file := filepath.Join(w.dir, "blocked.cpuprofile")
			if err := json.Unmarshal([]byte(w.must("profile", "app.1", "--seconds", "0.2", "-o", file, "--format", "json")), &got); err != nil {
				t.Fatal(err)
			}
			stack := got.Seen.Stack
			if len(stack) == 0 || stack[0].Function != "hang" || filepath.Base(stack[0].File) != "app.js" || stack[0].Line != 5 {
				t.Errorf("the stack is %+v", stack)
			}
			if got.Seen.Busy < 0.9 || len(got.Seen.Hot) == 0 || filepath.Base(got.Seen.Hot[0].File) != "app.js" {
				t.Errorf("busy %.2f with %+v", got.Seen.Busy, got.Seen.Hot)
			}
			var profile struct{ Nodes, Samples []json.RawMessage }
			if content, err := os.ReadFile(file); err != nil || json.Unmarshal(content, &profile) != nil || len(profile.Samples) == 0 {
				t.Errorf("the profile has %d samples, %v", len(profile.Samples), err)
			}
			if open := openPorts(t, got.Seen.PID); len(open) > 0 {
				t.Errorf("the worker listens at %v", open)
			}
			if said := w.must("logs"); strings.Count(said, "\n") != 2 || !strings.Contains(said, "Debugger attached to nobody") {
				t.Errorf("the log is %q", said)
			}
		})
	}
}

// While a profile is taken, the inspector is open on loopback alone.
func TestTheInspectorIsOpenOnLoopbackAloneAndOnlyMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	port := freePort(t)
	w.set("LISTEN", port)
	w.run("-w", "1", w.write("app.js", hanging))
	pid := w.ps("")[0].PID
	done := make(chan result, 1)
	go func() { done <- w.do("profile", "app.1", "--seconds", "1", "-o", "-") }()
	var open []string
	eventually(t, "the inspector is open", func() bool {
		open = openPorts(t, pid)
		return len(open) > 0
	})
	for _, address := range open {
		if !strings.HasPrefix(address, "0100007F:") {
			t.Errorf("the worker listens at %s", address)
		}
	}
	if r := <-done; r.status != 0 || !json.Valid([]byte(r.stdout)) {
		t.Errorf("profile: exit status %d, %d bytes, %s", r.status, len(r.stdout), r.stderr)
	}
	if open := openPorts(t, pid); len(open) > 0 {
		t.Errorf("the worker still listens at %v", open)
	}
}

func TestProfileTakesAHeapSnapshotAndThePhases(t *testing.T) {
	for _, node := range nodes(t) {
		major, _ := version(t, node)
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("PATH", filepath.Dir(node)+":"+os.Getenv("PATH"))
			w.set("LISTEN", freePort(t))
			w.run("-w", "1", w.write("app.js", hanging+"setInterval(() => { const end = Date.now() + 3; while (Date.now() < end); }, 10);"))

			file := filepath.Join(w.dir, "app.heapsnapshot")
			if said := w.must("profile", "--heap", "app.1", "-o", file); !strings.Contains(said, "wrote "+file) {
				t.Errorf("it says %q", said)
			}
			var snapshot struct{ Nodes []int }
			if content, err := os.ReadFile(file); err != nil || json.Unmarshal(content, &snapshot) != nil || len(snapshot.Nodes) == 0 {
				t.Errorf("the snapshot has %d nodes, %v", len(snapshot.Nodes), err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the snapshot's mode is %v, %v", info.Mode(), err)
			}

			var ph struct {
				Iterations int
				Phases     []struct {
					Name, Known string
					Seconds     *float64
				}
			}
			if err := json.Unmarshal([]byte(w.must("profile", "--phases", "app.1", "--format", "json")), &ph); err != nil {
				t.Fatal(err)
			}
			for _, row := range ph.Phases {
				if row.Name == "timers" && (row.Known != "exact" || row.Seconds == nil || *row.Seconds <= 0) || (row.Known == "unknown") != (row.Seconds == nil) {
					t.Errorf("%+v", row)
				}
			}
			if len(ph.Phases) != 7 || ph.Iterations == 0 {
				t.Errorf("%+v", ph)
			}
		})
	}
}

func TestProfileRefusesInOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("LISTEN", freePort(t))
	w.run("-w", "1", w.write("app.js", "process.on('SIGUSR1', () => console.log('mine'));"+hanging))
	for line, want := range map[string]string{
		"profile app.1":                       "handles SIGUSR1 itself",
		"profile app.7":                       "app.7",
		"profile":                             "needs one worker",
		"profile app.1 --heap --phases":       "one after the other",
		"profile app.1 --seconds 0":           "above 0",
		"profile app.1 -o - --format json":    "both want standard output",
		"profile app.1 --phases -o table.txt": "writes no file",
	} {
		r := w.do(strings.Fields(line)...)
		if r.status == 0 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("bulsa %s: exit status %d, %q", line, r.status, r.stderr)
		}
	}
	if said := w.must("logs"); strings.Contains(said, "mine") {
		t.Errorf("the application got the signal: %q", said)
	}
}

func TestAProfileOverTCPNeedsTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("LISTEN", freePort(t))
	s := w.ready("run", "--name", "app", "--admin", "127.0.0.1:0", "-w", "1", w.write("app.js", hanging))
	_, rest, _ := strings.Cut(s.stderr.String(), "admin: ")
	url, _, _ := strings.Cut(rest, "\n")
	client := http.Client{Timeout: 2 * time.Minute}
	for _, path := range []string{"profile", "heap", "phases"} {
		req, err := http.NewRequest(http.MethodPost, url+"/api/v1/"+path, strings.NewReader(`{"worker": "app.1", "seconds": 1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Bulsa", "1")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a token: %s", path, res.Status)
		}
	}
}
