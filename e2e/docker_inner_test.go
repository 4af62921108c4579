package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// innerRow is a container of `bulsa ps --format json` with its workers inside.
type innerRow struct {
	row
	Inner []struct {
		row
		EventLoop json.RawMessage `json:"event_loop"`
		Memory    int64           `json:"memory_bytes"`
		CPU       *float64        `json:"cpu_percent"`
	} `json:"inner"`
}

func innerRows(w *world, project string) []innerRow {
	w.t.Helper()
	var rows []innerRow
	if err := json.Unmarshal([]byte(w.must("ps", "-p", project, "--format", "json")), &rows); err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// inContainer runs a shell line in a container and returns what it prints.
func inContainer(t *testing.T, docker *client.Client, container, line string) string {
	t.Helper()
	made, err := docker.ExecCreate(t.Context(), container, client.ExecCreateOptions{Cmd: []string{"sh", "-c", line}, AttachStdout: true, AttachStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	run, err := docker.ExecAttach(t.Context(), made.ID, client.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	var out strings.Builder
	if _, err := stdcopy.StdCopy(&out, &out, run.Reader); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// newTopology starts the example of two containers with a bulsa in each.
func newTopology(t *testing.T) (w *world, docker *client.Client, address string) {
	t.Helper()
	w, docker = newDockerWorld(t)
	folder := filepath.Join(w.dir, "app")
	if err := os.CopyFS(folder, os.DirFS(example(t, "zombie-server"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(folder, "bulsa")); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "bulsa"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(folder, "compose.2.2.2.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	address = "127.0.0.1:" + freePort(t)
	text := strings.NewReplacer("3333:3000", address+":3000", "name: zombie-server", "name: inner", "context: .", "context: app").Replace(string(file))
	w.write("compose.yaml", text)
	w.ready("up", "--admin", "off")
	return w, docker, address
}

// TestTwoContainersOfTwoWorkersWithABulsaInEach: what the bulsa outside shows of
// the workers inside, what users see of their deaths, and how the first process
// of a container behaves.
func TestTwoContainersOfTwoWorkersWithABulsaInEach(t *testing.T) {
	t.Parallel()
	w, docker, address := newTopology(t)
	fourWorkersAnswer(t, address)
	var rows []innerRow
	eventually(t, "the four workers inside are shown with their event loops and what they use", func() bool {
		rows = innerRows(w, "inner")
		ready := 0
		for _, r := range rows {
			for _, in := range r.Inner {
				if in.State == "ready" && len(in.EventLoop) > 0 && in.Memory > 0 && in.CPU != nil && in.Name == fmt.Sprintf("%s/%d", r.Name, in.Number) {
					ready++
				}
			}
		}
		return len(rows) == 2 && ready == 4
	})
	innerMetrics(t, w)
	if table := w.must("ps", "-p", "inner"); !regexp.MustCompile(`(?s)app\.1 .*app\.1/1 +inner.*app\.1/2 +inner.*app\.2 .*app\.2/2 +inner`).MatchString(table) {
		t.Errorf("ps shows:\n%s", table)
	}
	if text := w.must("inspect", "-p", "inner", "app.2/1"); !strings.Contains(text, `"name": "app.2/1"`) {
		t.Errorf("inspect app.2/1 shows %s", text)
	}

	l := startLoad(address, "/", 8, 10*time.Millisecond)
	killInside(t, w, docker, rows[0])
	l.end()
	l.report(t)
	if l.broken.Load() > 0 {
		t.Errorf("%d answers were broken off", l.broken.Load())
	}
	reapsOrphans(t, docker, rows[1].ID)
	stopsInTime(t, w, docker, rows[1].ID)
	needsNothing(t, docker)
}

func innerMetrics(t *testing.T, w *world) {
	t.Helper()
	control := w.control("inner")
	defer control.CloseIdleConnections()
	res, err := control.Get("http://bulsa/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app.1/1", "app.1/2", "app.2/1", "app.2/2"} {
		for _, line := range []string{
			fmt.Sprintf("bulsa_inner_worker_up{service=\"app\",worker=%q} 1\n", name),
			fmt.Sprintf("bulsa_eventloop_blocked_seconds{service=\"app\",worker=%q} ", name),
		} {
			if !strings.Contains(string(text), line) {
				t.Errorf("missing in /metrics: %s", line)
			}
		}
	}
}

// killInside kills a worker inside of a container; another takes its place.
func killInside(t *testing.T, w *world, docker *client.Client, r innerRow) {
	t.Helper()
	victim := r.Inner[1]
	inContainer(t, docker, r.ID, fmt.Sprintf("kill -9 %d", victim.PID))
	eventually(t, "another worker has taken its place", func() bool {
		now := innerRows(w, "inner")[0]
		return now.ID == r.ID && now.Restarts == 0 && len(now.Inner) == 2 && now.Inner[1].State == "ready" && now.Inner[1].PID != victim.PID && now.Inner[1].Restarts == 1
	})
	second := innerRows(w, "inner")[0].Inner[1]
	w.must("kill", "-p", "inner", "app.1/2")
	eventually(t, "another one has come after the bulsa outside had it killed", func() bool {
		now := innerRows(w, "inner")[0]
		return now.ID == r.ID && len(now.Inner) == 2 && now.Inner[1].State == "ready" && now.Inner[1].PID != second.PID
	})
	if r := w.do("kill", "-p", "inner", "app.1/7"); r.status == 0 || !strings.Contains(r.stderr, `no worker "app.1/7"`) {
		t.Errorf("killing nobody says %q", r.stderr)
	}
	events := w.must("events", "-p", "inner")
	if !regexp.MustCompile(`app\.1/2 +backoff: died, starts again soon \(killed by SIGKILL`).MatchString(events) {
		t.Errorf("no death of app.1/2 in the events:\n%s", events)
	}
}

// reapsOrphans leaves dead processes without a parent in a container.
func reapsOrphans(t *testing.T, docker *client.Client, container string) {
	t.Helper()
	out := inContainer(t, docker, container, "for i in 1 2 3 4 5; do sleep 0.1 & done")
	if out != "" {
		t.Errorf("it says %q", out)
	}
	eventually(t, "no orphan and no zombie is left", func() bool {
		for line := range strings.Lines(inContainer(t, docker, container, "cat /proc/[0-9]*/stat 2>/dev/null")) {
			if strings.Contains(line, "(sleep)") || strings.Contains(line, ") Z ") {
				return false
			}
		}
		return true
	})
}

// needsNothing runs the image by hand, as a user without a home in a file system
// that cannot be written: it ends with the status of its worker.
func needsNothing(t *testing.T, docker *client.Client) {
	t.Helper()
	made, err := docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config: &container.Config{
			Image: "inner-app", User: "1234:1234", Entrypoint: []string{"bulsa", "run", "--restart", "no", "--"},
			Cmd: []string{"node", "-e", "process.exit(3)"},
		},
		HostConfig: &container.HostConfig{ReadonlyRootfs: true, NetworkMode: "none"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := docker.ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	ended := docker.ContainerWait(t.Context(), made.ID, client.ContainerWaitOptions{})
	select {
	case end := <-ended.Result:
		if end.StatusCode != 3 {
			t.Errorf("it ended with %d, want its worker's 3", end.StatusCode)
		}
	case err := <-ended.Error:
		t.Error(err)
	}
}

// stopsInTime does docker stop, which has ten seconds.
func stopsInTime(t *testing.T, w *world, docker *client.Client, container string) {
	t.Helper()
	ended := docker.ContainerWait(context.Background(), container, client.ContainerWaitOptions{})
	began := time.Now()
	if _, err := docker.ContainerStop(t.Context(), container, client.ContainerStopOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took >= 10*time.Second {
		t.Errorf("docker stop took %s: it was killed in the end", took)
	}
	select {
	case end := <-ended.Result:
		if end.StatusCode != 0 {
			t.Errorf("it ended with %d", end.StatusCode)
		}
	case err := <-ended.Error:
		t.Error(err)
	}
	eventually(t, "it is back with its workers", func() bool {
		now := innerRows(w, "inner")[1]
		return now.State == "ready" && len(now.Inner) == 2 && now.Inner[0].State == "ready" && now.Inner[1].State == "ready"
	})
}
