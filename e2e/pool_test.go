package e2e

import (
	"fmt"
	"maps"
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

// wantShares waits until 100 requests are answered so often by each: a process whose
// event loop is kept from its processor has a smaller share for as long.
func wantShares(t *testing.T, address string, want map[string]int) {
	t.Helper()
	eventually(t, fmt.Sprintf("100 requests are shared as %v", want), func() bool {
		got := answerers(t, address, 100)
		t.Log("shared as", got)
		return maps.Equal(got, want)
	})
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
		w.write(name, string(text))
	}
	w.ready("-p", "pool", "up", "--admin", "off")
	wantShares(t, address, map[string]int{"web": 40, "container": 40, "old": 20}) // by weight: 2 of web with 1, 1 container with 2, 1 old with 1
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
	wantShares(t, address, map[string]int{"container": 80, "old": 20})
	for _, r := range w.ps("pool") {
		if r.Service == "container" && r.ID != container {
			t.Errorf("another weight has replaced container %s by %s", container, r.ID)
		}
	}
}
