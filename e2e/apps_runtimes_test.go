package e2e

import (
	"os"
	"syscall"
	"testing"
)

// otherRuntime is the binary that an environment variable names (scripts/test.sh sets it).
func otherRuntime(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("$%s names no binary: scripts/test-nodes.sh install gets one", variable)
	}
	return path
}

// TestDenoIsAMemberOfTheCluster: Deno speaks Node's protocol, so that its apps
// are balanced by request, see their client and lose nothing.
func TestDenoIsAMemberOfTheCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deno := otherRuntime(t, "BULSA_TEST_DENO")
	port := freePort(t)
	w.set("LISTEN", port)
	w.set("DENO_DIR", t.TempDir())
	w.run("-w", "2", "--", deno, "run", "-A", "--unstable-detect-cjs", app(t, "whoami.js"))
	url := "http://127.0.0.1:" + port
	all := everybody(t, url, 2)
	one, two := all["1"], all["2"]
	if !one.IsWorker || one.ID+two.ID != 3 {
		t.Errorf("workers have the ids %d and %d", one.ID, two.ID)
	}
	if one.RemoteAddress != "127.0.0.1" {
		t.Errorf("it sees the client %q", one.RemoteAddress)
	}
	if err := syscall.Kill(one.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the successor has answered", func() bool {
		a := ask(t, url)
		return a.Env.Worker == "1" && a.PID != one.PID
	})
}

// TestBunBindsThePortThatItIsTold: Bun never asks its primary.
func TestBunBindsThePortThatItIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bun := otherRuntime(t, "BULSA_TEST_BUN")
	port := freePort(t)
	w.run("-w", "2", "-p", port, "--", bun, "run", app(t, "whoami.js"))
	all := everybody(t, "http://127.0.0.1:"+port, 2)
	if one, two := all["1"], all["2"]; one.PID == two.PID || one.Env.Port == two.Env.Port {
		t.Errorf("pids %d and %d, PORT %s and %s", one.PID, two.PID, one.Env.Port, two.Env.Port)
	}
}
