package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
)

// TestADyingProjectIsNoRunningOne: its socket lets us in and answers nothing, until it
// is gone. A start right after must not fail with that.
func TestADyingProjectIsNoRunningOne(t *testing.T) {
	emptyHouse(t)
	if err := os.MkdirAll(api.RuntimeDir("shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: api.SocketPath("shop"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range 6 {
			if conn, err := l.Accept(); err == nil {
				conn.Close()
			}
		}
		l.Close()
	}()
	if _, _, err := reach(context.Background(), "shop"); !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
	if err := notRunning(context.Background(), "shop"); err != nil {
		t.Error(err)
	}
}
