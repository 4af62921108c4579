package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Without descriptors the loops wait, make room by closing what is idle, and go on.
func TestOutOfDescriptorsIdleClientsMakeRoom(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	ask := func(c net.Conn) error {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_ = all(t, resp)
		}
		return err
	}
	idle := h.dial()
	if err := ask(idle); err != nil {
		t.Fatal(err)
	}
	late, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	free := takeAllDescriptors(t)
	a, err := net.ResolveTCPAddr("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(late, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trouble is logged", func() bool { return strings.Contains(h.log.String(), "cannot accept a client") })
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the idle client was not ended: %v", err)
	}
	free()
	f := os.NewFile(uintptr(late), "")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := ask(conn); err != nil {
		t.Fatalf("the new client was not let in: %v", err)
	}
}

// takeAllDescriptors leaves the process none, until the function is called that it returns.
func takeAllDescriptors(t *testing.T) (free func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 512
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var fds []int
	for {
		fd, err := unix.Dup(1)
		if err != nil {
			break
		}
		fds = append(fds, fd)
	}
	return func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	}
}
