package external_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"bulsa/internal/engine"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/engine/external"
	"bulsa/internal/spec"
)

func TestEngineConforms(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		return enginetest.Harness{Engine: external.New(), Service: service("127.0.0.1:1")}
	})
}

func service(addresses ...string) func(testing.TB, string) spec.Service {
	return func(testing.TB, string) spec.Service {
		s := spec.Service{Name: "legacy", Engine: spec.EngineExternal, Replicas: len(addresses)}
		for _, a := range addresses {
			s.Servers = append(s.Servers, spec.Server{Address: a, Weight: 1})
		}
		return s
	}
}

type connector interface {
	Connect(ctx context.Context) (net.Conn, error)
}

func TestEachServerIsAWorkerThatListens(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	path := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	addresses := []string{tcp.Addr().String(), "unix:" + path}
	b := enginetest.NewBench(t, external.New(), service(addresses...))
	for n, address := range addresses {
		i := b.StartLaunch(b.Launch("", n+1))
		if i.Ref != address || i.PID != 0 {
			t.Errorf("instance = %+v; want the address and no pid", i)
		}
		f := b.Await(i.ID, engine.Listening)
		if f.Address != address || f.Port != engine.Main {
			t.Errorf("fact = %+v; want %s", f, address)
		}
		conn, err := f.Connector.(connector).Connect(t.Context())
		if err != nil {
			t.Fatalf("Connect to %s: %v", address, err)
		}
		conn.Close()
	}
}

func TestAServerThatIsStoppedHasEndedWell(t *testing.T) {
	b := enginetest.NewBench(t, external.New(), service("127.0.0.1:1"))
	i := b.Start("")
	if err := b.Engine.Stop(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	if x := b.Await(i.ID, engine.Exited).Exit; x != (engine.Exit{}) {
		t.Errorf("exit = %+v; want status 0", x)
	}
}

func TestASignalIsRefusedWithTheReason(t *testing.T) {
	b := enginetest.NewBench(t, external.New(), service("127.0.0.1:1"))
	i := b.Start("")
	err := b.Engine.Signal(t.Context(), i.ID, "SIGHUP")
	if err == nil || errors.Is(err, engine.ErrNoInstance) || !strings.Contains(err.Error(), "bulsa does not run") {
		t.Errorf("Signal = %v; want the reason", err)
	}
}

func TestAWrongServerIsAnError(t *testing.T) {
	b := enginetest.NewBench(t, external.New(), service("127.0.0.1", "unix:", "127.0.0.1:80"))
	for _, number := range []int{0, 1, 2, 4} {
		if _, err := b.Engine.Start(t.Context(), b.Launch("", number)); err == nil {
			t.Errorf("worker %d starts", number)
		}
	}
}
