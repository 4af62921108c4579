package e2e

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"
)

// wire leads to a Docker Engine, until it is cut.
type wire struct {
	path, target string // sockets

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

// mend lets connections through.
func (w *wire) mend(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	w.carry(l)
}

// carry leads what comes to l to the engine.
func (w *wire) carry(l net.Listener) {
	w.mu.Lock()
	w.listener = l
	w.mu.Unlock()
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", w.target)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.open = append(w.open, near, far)
			w.mu.Unlock()
			go func() { _, _ = io.Copy(far, near); far.Close() }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
}

// cut ends all connections, and refuses new ones.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listener.Close()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

func TestDockerThatGoesAwayTakesNothingAlong(t *testing.T) {
	t.Parallel()
	w, docker := newDockerWorld(t)
	d := dockerd.Get(t)
	away := &wire{path: filepath.Join(t.TempDir(), "s"), target: strings.TrimPrefix(d.Host, "unix://")}
	away.mend(t)
	w.env = append(w.env, "DOCKER_HOST=unix://"+away.path)
	address := quickContainers(w, "away", 1, "")
	w.ready("up", "--admin", "off")
	container := w.ps("away")[0].ID

	if _, err := docker.ContainerPause(t.Context(), container, client.ContainerPauseOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ps shows that the container is paused", func() bool {
		r := w.ps("away")[0]
		return strings.HasSuffix(r.Status, "(Paused)") && strings.Contains(r.Cause, "docker unpause")
	})
	if _, err := docker.ContainerUnpause(t.Context(), container, client.ContainerUnpauseOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() bool { return !strings.Contains(w.ps("away")[0].Status, "Paused") })

	away.cut()
	eventually(t, "ps warns", func() bool {
		return strings.Contains(w.do("ps", "-p", "away").stderr, "cannot reach the Docker engine at unix://"+away.path)
	})
	if code, _ := get(t, "http://"+address+"/"); code != http.StatusOK {
		t.Errorf("it answers %d while Docker is away", code)
	}
	r := w.do("down", "-p", "away")
	if r.status != 1 || !strings.Contains(r.stderr, "away is stopped, but its containers may still run: cannot reach the Docker engine") {
		t.Errorf("down: status %d: %s", r.status, r.stderr)
	}

	away.mend(t)
	w.ready("up", "--admin", "off")
	if again := w.ps("away")[0].ID; again != container {
		t.Errorf("it is container %s; want %s, which went on", again, container)
	}
	w.must("down", "-p", "away")
}
