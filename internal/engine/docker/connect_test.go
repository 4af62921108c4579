package docker

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRootlessEngineIsFoundWhereTheSystemHasNone(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "docker.sock")
	if got := rootlessHost("/nowhere/docker.sock", dir); got != "" {
		t.Errorf("there is none, and %q is used", got)
	}
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := rootlessHost("/nowhere/docker.sock", dir); got != "unix://"+socket {
		t.Errorf("%q is used, want the user's own", got)
	}
	if got := rootlessHost(socket, dir); got != "" {
		t.Errorf("%q is used, want the system's", got)
	}
	if got := rootlessHost("/nowhere/docker.sock", ""); got != "" {
		t.Errorf("without XDG_RUNTIME_DIR %q is used", got)
	}
}
