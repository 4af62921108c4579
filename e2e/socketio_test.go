package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// webApp is the path of a file of testdata/web, whose packages scripts/test-deps.sh installs.
func webApp(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "web", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// sockets connects with socket.io's own client and returns what became of each: the
// transport that it had in the end and the worker's process, or an error.
func sockets(t *testing.T, address string, count int, transports string) []string {
	t.Helper()
	out, err := exec.Command("node", webApp(t, "socketclient.js"), "http://"+address, fmt.Sprint(count), transports).Output()
	if err != nil {
		t.Fatal(err)
	}
	var results []string
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return results
}

// With its defaults socket.io polls first, over several connections, and names its
// session in the query alone.
func TestSocketIOWorksWithSeveralWorkers(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.ready("run", "--name", "app", "-w", "4", "-p", address, "--admin", "off", webApp(t, "socketio.js"))
	for transports, end := range map[string]string{"": "websocket ", "polling": "polling ", "websocket": "websocket "} {
		workers := map[string]bool{}
		for _, result := range sockets(t, address, 12, transports) {
			worker, ok := strings.CutPrefix(result, end)
			if !ok {
				t.Errorf("by %q: %s", transports, result)
			}
			workers[worker] = true
		}
		if len(workers) < 2 {
			t.Errorf("by %q all sessions are on %v", transports, workers)
		}
	}
}

// Where nobody leads sessions to their workers, doctor says what is the matter.
func TestDoctorSeesLostSessions(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.write("compose.yaml", fmt.Sprintf(`services:
  app:
    command: node %s
    ports: ["%s:3000"]
    deploy: {replicas: 4}
    x-bulsa: {sticky: off}
`, webApp(t, "socketio.js"), address))
	w.ready("up", "--admin", "off")
	failed := 0
	for _, result := range sockets(t, address, 12, "") {
		if strings.HasPrefix(result, "error") {
			failed++
		}
	}
	if failed == 0 {
		t.Fatal("every session found its worker although nobody led it there")
	}
	if text := w.must("doctor", "--no-profile"); !strings.Contains(text, "lost-sessions") || !strings.Contains(text, "sticky: auto") {
		t.Errorf("doctor says\n%s", text)
	}
}
