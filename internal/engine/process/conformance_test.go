package process_test

import (
	"log/slog"
	"os"
	"testing"

	"bulsa/internal/engine/enginetest"
	"bulsa/internal/engine/process"
	"bulsa/internal/logs"
	"bulsa/internal/spec"
)

// shimArgument makes the test binary the exec shim.
const shimArgument = "__exec"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == shimArgument {
		os.Exit(process.ExecShim(os.Args[2:]))
	}
	enginetest.Main(m)
}

func TestEngineConforms(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		return enginetest.Harness{Engine: newEngine(t, nil), Service: service}
	})
}

func newEngine(t testing.TB, change func(*process.Config)) *process.Engine {
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
	return e
}

func service(t testing.TB, program string) spec.Service {
	return spec.Service{
		Name: "app", Engine: spec.EngineProcess, Command: enginetest.Command(t, program),
		Replicas: 1, Stop: spec.Stop{Signal: "SIGTERM"}, NodeMode: spec.NodeAuto,
	}
}
