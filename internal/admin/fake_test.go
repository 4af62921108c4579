package admin

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"bulsa/internal/api"
)

// fake is a project that does nothing and remembers what it was asked.
type fake struct {
	mu      sync.Mutex
	project api.Project
	asked   []string
	fail    error
	metrics Metrics
	apps    []AppFamily
	streams sync.WaitGroup // open follows
}

func newFake() *fake {
	worker := func(n string, state string) api.Worker {
		return api.Worker{Name: "app." + n, Service: "app", State: state}
	}
	return &fake{project: api.Project{Name: "shop", Ready: true, Services: []api.Service{
		{Name: "app", State: "running", Desired: 2, Ready: 2, Workers: []api.Worker{worker("1", "ready"), worker("2", "pending")}},
		{Name: "db", State: "running", Desired: 1, Ready: 1},
	}}}
}

func (f *fake) remember(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
	return f.fail
}

func (f *fake) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		return ""
	}
	return f.asked[len(f.asked)-1]
}

func (f *fake) set(change func(*api.Project)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.project)
}

func (f *fake) Project() api.Project {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.project
}

func (f *fake) Inspect(name string) (api.Inspection, error) {
	return api.Inspection{Worker: &api.Worker{Name: name}}, f.remember("inspect " + name)
}

func (f *fake) Profile(_ context.Context, worker string, d time.Duration) (api.Profile, error) {
	return api.Profile{Worker: worker}, f.remember("profile " + asJSON(worker, d.String()))
}

func (f *fake) Phases(_ context.Context, worker string, d time.Duration) (api.Phases, error) {
	return api.Phases{Worker: worker}, f.remember("phases " + asJSON(worker, d.String()))
}

// Heap fails, when it shall, behind the first bytes.
func (f *fake) Heap(_ context.Context, worker string, w io.Writer) error {
	io.WriteString(w, "{}")
	return f.remember("heap " + asJSON(worker))
}

func (f *fake) Doctor(_ context.Context, service string, profile bool) (api.Report, error) {
	return api.Report{}, f.remember("doctor " + asJSON(service, profile))
}

func (f *fake) Scale(_ context.Context, services []api.Scale, wait bool) (string, error) {
	return "scaled", f.remember("scale " + asJSON(services, wait))
}

func (f *fake) Start(_ context.Context, names []string, wait bool) error {
	return f.remember("start " + asJSON(names, wait))
}

func (f *fake) Stop(_ context.Context, names []string, wait bool) error {
	return f.remember("stop " + asJSON(names, wait))
}

func (f *fake) Restart(_ context.Context, names []string, wait bool) error {
	return f.remember("restart " + asJSON(names, wait))
}

func (f *fake) Kill(_ context.Context, worker, signal string) error {
	return f.remember("kill " + asJSON(worker, signal))
}

func (f *fake) Down(context.Context, *time.Duration) error { return f.remember("down") }

func (f *fake) Apply(_ context.Context, raw json.RawMessage) (string, error) {
	return "app: 1 -> 2 workers", f.remember("apply " + string(raw))
}

func (f *fake) Logs(ctx context.Context, tail int, follow bool, names []string) (<-chan api.LogLine, error) {
	err := f.remember("logs " + asJSON(tail, follow, names))
	lines := make(chan api.LogLine, 2)
	lines <- api.LogLine{Worker: "app.1", Text: "<b>hello</b>"}
	lines <- api.LogLine{Worker: "app.2", Text: "world"}
	f.end(ctx, follow, func() { close(lines) })
	return lines, err
}

func (f *fake) Events(ctx context.Context, follow bool) (<-chan api.Event, error) {
	events := make(chan api.Event, 1)
	events <- api.Event{Service: "app", Kind: "scale"}
	f.end(ctx, follow, func() { close(events) })
	return events, f.remember("events " + asJSON(follow))
}

// end closes a stream now, or when the one who follows goes.
func (f *fake) end(ctx context.Context, follow bool, closeStream func()) {
	if !follow {
		closeStream()
		return
	}
	f.streams.Go(func() {
		<-ctx.Done()
		closeStream()
	})
}

func (f *fake) Metrics() Metrics        { return f.metrics }
func (f *fake) AppMetrics() []AppFamily { return f.apps }

func asJSON(v ...any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// runtimeDir gives the test a root for control sockets, with a path short enough for one.
func runtimeDir(t *testing.T) {
	t.Helper()
	root, err := os.MkdirTemp("", "bulsa")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("BULSA_RUNTIME_DIR", root)
}
