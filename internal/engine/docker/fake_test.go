package docker_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bulsa/internal/engine/docker"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/spec"
)

// ailing is a Docker Engine that answers as a real one does, but for one call: what
// would take long to bring about, such as a full disk.
func ailing(t *testing.T, call, message string) *docker.Engine {
	t.Helper()
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Api-Version", "1.44")
		w.Header().Set("Ostype", "linux")
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, call):
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `{"message": %q}`, message)
		case strings.HasSuffix(path, "/events"):
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-over:
			}
		case strings.HasSuffix(path, "/containers/json"), strings.HasSuffix(path, "/networks"):
			fmt.Fprint(w, "[]")
		case strings.HasSuffix(path, "/create"):
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"Id": "0123456789abcdef"}`)
		default:
			fmt.Fprint(w, "{}")
		}
	}))
	e := docker.New(docker.Config{Project: projectName(t), Host: "tcp://" + server.Listener.Addr().String()})
	t.Cleanup(func() {
		e.Close()
		close(over)
		server.Close()
	})
	return e
}

func TestAFullDiskIsNamed(t *testing.T) {
	t.Parallel()
	for call, full := range map[string]string{
		"/containers/create":                 "mkdir /var/lib/docker/overlay2/1f: no space left on device",
		"/containers/0123456789abcdef/start": "failed to create task for container: write /run/containerd/config.json: no space left on device: unknown",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			e := ailing(t, call, full)
			b := enginetest.NewBench(t, e, func(t testing.TB, _ string) spec.Service { return appService(t) })
			l := b.Launch("", 1)
			l.Release.Service = appService(t)
			_, err := e.Start(t.Context(), l)
			if err == nil || !strings.Contains(err.Error(), full+" (free some, as with docker system prune)") {
				t.Errorf("Start = %v; want what is full, and what to do", err)
			}
		})
	}
}
