package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answerers counts who answers n requests, by the first word.
func answerers(t *testing.T, address string, n int) map[string]int {
	t.Helper()
	by := map[string]int{}
	for range n {
		code, body := get(t, "http://"+address+"/")
		if code != http.StatusOK {
			t.Fatalf("it answers %d %s", code, body)
		}
		by[strings.TrimSpace(body)]++
	}
	return by
}

// TestProcessesContainersAndServersFormOnePool is examples/pool: moving from one
// to the other without a cut.
func TestProcessesContainersAndServersFormOnePool(t *testing.T) {
	t.Parallel()
	w, _ := newDockerWorld(t)
	old := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { fmt.Fprintln(out, "old") }))
	defer old.Close()
	port := freePort(t)
	address := "127.0.0.1:" + port
	w.env = append(w.env, "PUBLIC_PORT="+port, "OLD_SERVER="+old.Listener.Addr().String())
	for _, name := range []string{"app.js", "compose.yaml"} {
		text, err := os.ReadFile(filepath.Join(example(t, "pool"), name))
		if err != nil {
			t.Fatal(err)
		}
		w.write(name, strings.Replace(string(text), "{balance: round_robin}", "{"+byPolicy+"balance: round_robin}", 1))
	}
	w.ready("-p", "pool", "up", "--admin", "off")
	if by := answerers(t, address, 100); by["web"] != 40 || by["container"] != 40 || by["old"] != 20 {
		t.Errorf("of 100 requests %v; want shares by weight: 2 of web with 1, 1 container with 2, 1 old with 1", by)
	}
	container := ""
	for _, r := range w.ps("pool") {
		if !strings.Contains(strings.Join(r.Ports, " "), port) {
			t.Errorf("ps does not show the port of %+v", r)
		}
		if r.Service == "container" {
			container = r.ID
		}
	}

	l := startLoad(address, "/", 16, 5*time.Millisecond)
	w.must("scale", "-p", "pool", "web=0")
	eventually(t, "no process is left", func() bool { return !strings.Contains(w.states("pool"), "web.") })
	text, err := os.ReadFile(filepath.Join(w.dir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(strings.Replace(string(text), "weight: 2", "weight: 4", 1), "deploy: {replicas: 2}", "deploy: {replicas: 0}", 1)
	w.write("compose.yaml", changed)
	w.must("-p", "pool", "up", "-d")
	l.end()
	l.report(t)
	if by := answerers(t, address, 100); by["container"] != 80 || by["old"] != 20 {
		t.Errorf("of 100 requests %v; want 80 for the container and 20 for the old server", by)
	}
	for _, r := range w.ps("pool") {
		if r.Service == "container" && r.ID != container {
			t.Errorf("another weight has replaced container %s by %s", container, r.ID)
		}
	}
}
