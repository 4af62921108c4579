package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stripped is a copy of the node on PATH without its symbol table, so that its
// loop cannot be found from outside. It is kept for the next run.
func stripped(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.Command(node, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs(filepath.Join("..", ".cache", "nodes", "stripped-"+strings.TrimSpace(string(version))))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "node")
	if exec.Command(program, "--version").Run() == nil {
		return program
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, fmt.Sprint("half-", os.Getpid()))
	if out, err := exec.Command("strip", "-o", half, node).CombinedOutput(); err != nil {
		t.Fatalf("strip %s (binutils, which comes with gcc): %v\n%s", node, err, out)
	}
	if err := os.Rename(half, program); err != nil {
		t.Fatal(err)
	}
	return program
}

// TestALoopThatCannotBeReadIsAsked: the figures come over the worker's channel,
// and a worker that does not answer gets nothing new.
func TestALoopThatCannotBeReadIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("XDG_CACHE_HOME", t.TempDir()) // a layout is found by the build id, which the copy shares
	w.write("app.js", loopApp)
	port := freePort(t)
	// In turn: half of all requests would go to the worker that hangs.
	w.write("bulsa.yaml", hasty("event_loop: {unhealthy_after: 10m}\n      balance: round_robin", 2, port, stripped(t)+" app.js"))
	s := w.ready("up", "-p", "asked", "--admin", "off")
	eventually(t, "both loops have answered", func() bool {
		for _, f := range w.loops("asked") {
			if f == nil || f.Source != "ping" || f.Latency == nil {
				return false
			}
		}
		return true
	})
	url := "http://127.0.0.1:" + port
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/hang", nil) // given up before bulsa is stopped, which would wait for it
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
		}
	}()
	s.prints("hangs")
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	eventually(t, "twenty requests in a row are answered by the worker that does not hang", func() bool {
		for range 20 {
			res, err := client.Get(url + "/")
			if err != nil {
				return false // sent to the other one, before its silence was noticed
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("it answers %s", res.Status)
			}
		}
		return true
	})
	for _, r := range w.ps("asked") {
		if r.State != "ready" || r.Restarts != 0 {
			t.Errorf("ps shows %+v: it is left out, not replaced yet", r)
		}
	}
}
