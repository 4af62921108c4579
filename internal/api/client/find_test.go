package client

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"bulsa/internal/api"
)

func TestAProjectThatDoesNotRunIsNamedWithThoseThatDo(t *testing.T) {
	root, err := os.MkdirTemp("", "bulsa") // t.TempDir is too long for a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	t.Setenv("BULSA_RUNTIME_DIR", root)
	for _, name := range []string{"b", "a"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", api.SocketPath(name))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	stale := api.SocketPath("stale")
	if err := os.Mkdir(filepath.Dir(stale), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	for _, name := range []string{"x", "stale"} {
		_, err := Dial(name)
		want := `no running project "` + name + `": start it with bulsa up or bulsa run; running: a, b`
		if !errors.Is(err, ErrNotRunning) || err.Error() != want {
			t.Errorf("Dial(%s) = %v, want %s", name, err, want)
		}
	}
}

func TestAProjectNameCannotLeaveTheRuntimeFolder(t *testing.T) {
	t.Setenv("BULSA_RUNTIME_DIR", t.TempDir())
	for _, name := range []string{"", "..", "../x", "a/b", ".hidden", "a\x00b"} {
		if _, err := Dial(name); err == nil || errors.Is(err, ErrNotRunning) {
			t.Errorf("Dial(%q) = %v, want an error about the name", name, err)
		}
	}
}
