package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"bulsa/internal/admin"
	"bulsa/internal/api"
	"bulsa/internal/daemon"
	"bulsa/internal/shim"
)

// TestMain makes this test binary stand in for bulsa where bulsa starts itself again.
func TestMain(m *testing.M) {
	switch append(os.Args[1:], "")[0] {
	case shim.GuardArgument:
		os.Exit(daemon.Guard(os.Args[2:]))
	case daemonName:
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// result is what one command line did.
type result struct {
	status         int
	stdout, stderr string
}

func bulsa(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
	status := p.main(t.Context(), args)
	return result{status, stdout.String(), stderr.String()}
}

// emptyHouse is a folder without a file, on a machine where no project runs.
func emptyHouse(t *testing.T) {
	t.Helper()
	root, err := os.MkdirTemp("", "bulsa") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("BULSA_RUNTIME_DIR", root)
	t.Setenv("COMPOSE_FILE", "")
	t.Setenv("COMPOSE_PROJECT_NAME", "")
	t.Chdir(t.TempDir())
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// project is a running project that remembers what it was asked.
type project struct {
	admin.Control // what a test does not expect panics
	api.Project

	mu    sync.Mutex
	asked []string
	ended chan struct{}
}

// running serves a project with a service app of two workers and one named db.
func running(t *testing.T, name string) *project {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	p := &project{ended: make(chan struct{}), Project: samples()}
	p.Name, p.Dir, p.PID = name, dir, os.Getpid()
	l, err := admin.ListenControl(name)
	if err != nil {
		t.Fatal(err)
	}
	s := admin.New(admin.Config{Control: served{p}})
	go s.ServeControl(l)
	var once sync.Once
	end := func() { once.Do(func() { s.Shutdown(context.Background()) }) }
	go func() {
		select {
		case <-p.ended:
		case <-t.Context().Done():
		}
		end()
	}()
	t.Cleanup(end)
	return p
}

func samples() api.Project {
	started := time.Now().Add(-3 * time.Minute)
	rate, p99, cpu, mem := 1234.5, 0.0032, 1.5, int64(47_000_000)
	loop, threads, queued := 0.0127, 4, 2
	return api.Project{Ready: true, Admin: "http://127.0.0.1:9900", Services: []api.Service{
		{Name: "app", Engine: "process", State: "running", Desired: 2, Ready: 1, Workers: []api.Worker{
			{
				Name: "app.1", Service: "app", Number: 1, Engine: "process", PID: 4711, ID: "4711", State: "ready", Health: "healthy",
				StartedAt: &started, Status: "Up 3 minutes (healthy)", Ports: []string{"0.0.0.0:3333->3000"}, Release: 1,
				RequestsPerSecond: &rate, P99Seconds: &p99, CPUPercent: &cpu, MemoryBytes: &mem,
				EventLoop: &api.EventLoop{LoopLatency: &loop, Threads: &threads, Busy: &threads, Queued: &queued},
			},
			{Name: "app.2", Service: "app", Number: 2, Engine: "process", ID: "-", State: "backoff", Status: "Restarting (1) 5 seconds ago", Restarts: 12},
		}},
		{Name: "db", Engine: "process", State: "stopped", Desired: 1, Workers: []api.Worker{
			{Name: "db.1", Service: "db", Number: 1, Engine: "process", ID: "-", State: "pending", Status: "Exited (0) 2 minutes ago"},
		}},
	}}
}

func (p *project) remember(what string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := json.Marshal(args)
	if err != nil {
		what += err.Error()
	}
	p.asked = append(p.asked, what+" "+string(b))
}

func (p *project) takeAsked() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := strings.Join(p.asked, "; ")
	p.asked = nil
	return all
}

// served is the project as admin's Control.
type served struct{ *project }

func (s served) Project() api.Project { return s.project.Project }

func (s served) Inspect(name string) (api.Inspection, error) {
	return api.Inspection{Worker: &s.project.Services[0].Workers[0]}, nil
}

func (s served) Scale(_ context.Context, services []api.Scale, wait bool) (string, error) {
	s.remember("scale", services, wait)
	return "scaled", nil
}

func (s served) Start(_ context.Context, names []string, wait bool) error {
	s.remember("start", names, wait)
	return nil
}

func (s served) Stop(_ context.Context, names []string, wait bool) error {
	s.remember("stop", names, wait)
	return nil
}

func (s served) Restart(_ context.Context, names []string, wait bool) error {
	s.remember("restart", names, wait)
	return nil
}

func (s served) Kill(_ context.Context, worker, signal string) error {
	s.remember("kill", worker, signal)
	return nil
}

func (s served) Profile(_ context.Context, worker string, d time.Duration) (api.Profile, error) {
	s.remember("profile", worker, d.Seconds())
	return api.Profile{
		Worker: worker, Seconds: d.Seconds(), Busy: 0.98, Collector: 0.25, Profile: json.RawMessage(`{"nodes":[]}`),
		Stack: []api.Frame{{Function: "RegExp.test"}, {Function: "match", File: "/srv/app.js", Line: 7, Column: 3}},
		Hot:   []api.Hot{{Frame: api.Frame{File: "/srv/app.js", Line: 7}, Share: 0.7}},
	}, nil
}

func (s served) Phases(_ context.Context, worker string, d time.Duration) (api.Phases, error) {
	s.remember("phases", worker, d.Seconds())
	half := 0.5
	return api.Phases{
		Worker: worker, Seconds: 1, Iterations: 12,
		Phases: []api.Phase{{Name: "timers", Seconds: &half, Count: 3, Known: "exact", Note: "n"}, {Name: "pending", Known: "unknown", Note: "m"}},
		Inside: []api.Phase{{Name: "microtasks", Seconds: &half, Known: "exact", Note: "o"}},
		Tasks:  []api.PoolTask{{Kind: "crypto", Count: 2, RunSeconds: 0.002, WaitSeconds: 0.25, LongestWait: 1.5}},
	}, nil
}

func (s served) Heap(_ context.Context, worker string, w io.Writer) error {
	s.remember("heap", worker)
	_, err := io.WriteString(w, "{}")
	return err
}

func (s served) Doctor(_ context.Context, service string, profile bool) (api.Report, error) {
	s.remember("doctor", service, profile)
	r := api.Report{Workers: 2, Seconds: 62, Findings: []api.Finding{}, Notes: []string{}}
	if service == "app" {
		r.Findings = []api.Finding{
			{Kind: "loop-blocked", Service: "app", Worker: "app.2", Weight: 90, Summary: "it is blocked", Evidence: []string{"for 3 s"}, Remedy: []string{"split it"}},
			{Kind: "wrapper", Service: "app", Weight: 15, Summary: "npm", Evidence: []string{}, Remedy: []string{"node app.js"}},
		}
		r.Notes = []string{"no profile"}
	}
	return r, nil
}

func (s served) Down(context.Context, *time.Duration) error {
	s.remember("down")
	close(s.ended)
	return nil
}

func (s served) Apply(_ context.Context, raw json.RawMessage) (string, error) {
	var p struct {
		Services []struct {
			Name     string
			Replicas int
		}
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return "", err
	}
	s.remember("apply", p.Services)
	return "app: 2 -> 5 workers", nil
}

func (s served) Logs(_ context.Context, tail int, follow bool, names []string) (<-chan api.LogLine, error) {
	s.remember("logs", tail, follow, names)
	lines := make(chan api.LogLine, 2)
	lines <- api.LogLine{Worker: "app.1", Text: "hello"}
	lines <- api.LogLine{Worker: "db.1", Text: "world"}
	close(lines)
	return lines, nil
}

func (s served) Events(_ context.Context, follow bool) (<-chan api.Event, error) {
	events := make(chan api.Event, 2)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	events <- api.Event{At: at, Service: "app", Worker: "app.1", Kind: "exit", Message: "exit 1 after 4 s", Cause: "Error: boom"}
	events <- api.Event{At: at, Service: "app", Kind: "scale", Message: "2 -> 4 workers"}
	close(events)
	return events, nil
}
