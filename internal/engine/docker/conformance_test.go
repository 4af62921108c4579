package docker_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"bulsa/internal/dockertest"
	"bulsa/internal/engine"
	"bulsa/internal/engine/docker"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/logs"
	"bulsa/internal/spec"
)

// daemon is the dockerd of this package's tests.
var daemon dockertest.Lazy

// TestMain lets more tests run at a time than there are processors: they wait for
// Docker most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(6, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err)
	}
	enginetest.Main(m, daemon.Remove)
}

// emptyImage has nothing but places to mount this machine's folders at.
const emptyImage = "bulsa-test/empty"

func TestEngineConforms(t *testing.T) {
	t.Parallel()
	d := daemon.Get(t)
	if err := d.Build(emptyImage, "FROM scratch\nCOPY Dockerfile /Dockerfile\n", nil); err != nil {
		t.Fatal(err)
	}
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		t.Parallel()
		e, _ := newEngine(t, d)
		return enginetest.Harness{Engine: e, Service: machineService}
	})
}

// newEngine makes an engine for one test, with a project of its own.
func newEngine(t testing.TB, d *dockertest.Daemon) (*docker.Engine, *logs.Store) {
	t.Helper()
	store, err := logs.Open(t.TempDir(), func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	e := docker.New(docker.Config{
		Project: projectName(t), Logs: store, Host: d.Host, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	return e, store
}

// projectName is a valid name that no other test has.
func projectName(t testing.TB) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()))
	return fmt.Sprintf("t-%s", strings.Trim(name, "-"))
}

// machineService runs a program of the suite in a container that sees this
// machine's folders and processes: its pids are the test's.
func machineService(t testing.TB, program string) spec.Service {
	s := spec.NewService("app")
	s.Engine, s.Command = spec.EngineDocker, enginetest.Command(t, program)
	c := &spec.Container{Image: emptyImage, Security: spec.Security{PID: "host"}, Network: spec.Networking{Mode: "none"}}
	for _, folder := range []string{"/usr", "/lib", "/lib64", "/bin", "/tmp", "/etc"} {
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			c.Mounts = append(c.Mounts, spec.Mount{Type: "bind", Source: folder, Target: folder})
		}
	}
	s.Container = c
	return s
}

var _ engine.Engine = (*docker.Engine)(nil)
