package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nodes are the Node binaries to test: the one on PATH, and those of
// $BULSA_TEST_NODES (scripts/test-nodes.sh prints them).
func nodes(t *testing.T) []string {
	t.Helper()
	own, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not on PATH")
	}
	return append([]string{own}, filepath.SplitList(os.Getenv("BULSA_TEST_NODES"))...)
}

// version is what a Node binary says of itself.
func version(t *testing.T, node string) (major, minor int) {
	t.Helper()
	out, err := exec.Command(node, "--version").Output()
	if err != nil {
		t.Fatalf("%s --version: %v", node, err)
	}
	if _, err := fmt.Sscanf(string(out), "v%d.%d.", &major, &minor); err != nil {
		t.Fatalf("%s --version says %q", node, out)
	}
	return major, minor
}

// TestNodeVersions: what depends on Node's own insides works with each version.
func TestNodeVersions(t *testing.T) {
	t.Parallel()
	for _, node := range nodes(t) {
		major, _ := version(t, node)
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("PATH", filepath.Dir(node)+":"+os.Getenv("PATH"))
			t.Run("a worker like under Node's primary", func(t *testing.T) { w.as(t).cluster(major) })
			t.Run("https", func(t *testing.T) { w.as(t).https() })
		})
	}
}

// as is the same machine for a subtest, with a folder of its own.
func (w *world) as(t *testing.T) *world {
	own := newWorld(t)
	for _, kv := range w.env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			own.set("PATH", path)
		}
	}
	return own
}

// cluster runs two workers, and kills one.
func (w *world) cluster(major int) {
	t := w.t
	port := freePort(t)
	w.set("LISTEN", port)
	w.run("-w", "2", app(t, "whoami.js"))
	url := "http://127.0.0.1:" + port
	all := everybody(t, url, 2)
	one, two := all["1"], all["2"]
	if !strings.HasPrefix(one.Node, fmt.Sprintf("v%d.", major)) {
		t.Fatalf("Node %s runs, not %d", one.Node, major)
	}
	if one.Master == "" || one.Master != two.Master || one.ID+two.ID != 3 {
		t.Errorf("workers %d and %d have the primaries %q and %q", one.ID, two.ID, one.Master, two.Master)
	}
	conn := connect(t, port)
	a := decode(t, over(t, conn))
	own(t, "a client", conn, a.RemoteAddress, a.RemotePort)

	if err := syscall.Kill(one.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the successor has answered", func() bool {
		a := ask(t, url)
		if a.Env.Worker == "1" && a.PID != one.PID && a.Env.Instance == "0" && a.ID == 3 && a.Master == one.Master {
			return true
		}
		if a.PID != two.PID && a.Env.Worker != "1" {
			t.Fatalf("worker %s answers, which did not die", a.Env.Worker)
		}
		return false
	})
}

// https runs an app that speaks TLS itself.
func (w *world) https() {
	t := w.t
	port := freePort(t)
	config := &tls.Config{RootCAs: w.certificate(), ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	w.set("LISTEN", port)
	w.set("PROTOCOL", "https")
	w.run("-w", "2", "--balance", "round_robin", app(t, "secure.js"))
	workers := map[string]bool{}
	for i := range 4 {
		worker, answer, local := secure(t, "127.0.0.1:"+port, config)
		session := "resumed"
		if i == 0 {
			session = "new"
		}
		if want := fmt.Sprintf("1.1 %s %d", session, local); answer != want {
			t.Errorf("answer %d of worker %s: %q, want %q", i+1, worker, answer, want)
		}
		workers[worker] = true
	}
	if len(workers) != 2 {
		t.Errorf("only workers %v have answered", workers)
	}
}
