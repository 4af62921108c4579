package node

import (
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheKernelTellsWhatAWorkerLeftUnread(t *testing.T) {
	for _, c := range []struct {
		name string
		read int
		left bool
	}{{"nothing read", 0, true}, {"all read", 7, false}} {
		t.Run(c.name, func(t *testing.T) {
			fds, err := socketpair()
			if err != nil {
				t.Fatal(err)
			}
			file := os.NewFile(uintptr(fds[0]), "upstream")
			conn, err := net.FileConn(file)
			file.Close()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "request"); err != nil {
				t.Fatal(err)
			}
			if c.read > 0 {
				if _, err := unix.Read(fds[1], make([]byte, c.read)); err != nil {
					t.Fatal(err)
				}
			}
			unix.Close(fds[1])
			u := &upstream{UnixConn: conn.(*net.UnixConn)}
			_, err = u.UnixConn.Read(make([]byte, 1))
			if got := u.LeftUnread(err); err == nil || got != c.left {
				t.Errorf("left unread: %v (%v)", got, err)
			}
		})
	}
}
