package process_test

import (
	"log/slog"
	"slices"
	"testing"

	"bulsa/internal/engine"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/engine/process"
	"bulsa/internal/logs"
	"bulsa/internal/spec"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

func TestEngineConforms(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		e, _ := newEngine(t, nil)
		return enginetest.Harness{Engine: e, Service: service}
	})
}

// bench is enginetest's, with the logs of the workers.
type bench struct {
	*enginetest.Bench
	logs *logs.Store
}

func newBench(t testing.TB) bench { return newBenchWith(t, nil) }

func newBenchWith(t testing.TB, change func(*process.Config)) bench {
	t.Helper()
	e, store := newEngine(t, change)
	return bench{enginetest.NewBench(t, e, service), store}
}

func newEngine(t testing.TB, change func(*process.Config)) (*process.Engine, *logs.Store) {
	t.Helper()
	store, err := logs.Open(t.TempDir(), func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	c := process.Config{
		Project: "test", RuntimeDir: t.TempDir(), Logs: store, MasterID: t.Name(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&c)
	}
	e, err := process.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e, store
}

func service(t testing.TB, program string) spec.Service {
	return spec.Service{
		Name: "app", Engine: spec.EngineProcess, Command: enginetest.Command(t, program),
		Replicas: 1, Stop: spec.Stop{Signal: "SIGTERM"}, NodeMode: spec.NodeAuto,
	}
}

// script makes a launch of a shell line.
func (b bench) script(line string) engine.Launch {
	l := b.Launch("", 1)
	l.Release.Service.Command.Args = []string{"/bin/sh", "-c", line}
	l.Release.Service.NodeMode = spec.NodeOff
	return l
}

// output is what the workers have printed so far.
func (b bench) output(worker string) []string {
	var texts []string
	lines, _ := b.logs.Tail(1000, worker)
	for _, l := range lines {
		texts = append(texts, l.Text)
	}
	return texts
}

// awaitLine waits until a worker has printed a line.
func (b bench) awaitLine(t testing.TB, worker, line string) {
	t.Helper()
	enginetest.Eventually(t, "the line "+line, func() bool { return slices.Contains(b.output(worker), line) })
}
