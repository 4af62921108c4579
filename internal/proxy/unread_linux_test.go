package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/tcpdiag"
)

// diagnosed is a worker of whose connections the kernel tells what was not read.
type diagnosed struct {
	dialer
	closed *tcpdiag.Closed
}

func (d diagnosed) Connect(ctx context.Context) (net.Conn, error) {
	c, err := d.dialer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return diagnosedConn{c.(*net.TCPConn), d.closed}, nil
}

type diagnosedConn struct {
	*net.TCPConn
	closed *tcpdiag.Closed
}

func (c diagnosedConn) Unread(err error) int {
	if !errors.Is(err, syscall.ECONNRESET) {
		return 0
	}
	end := func(a net.Addr) (p tcpdiag.Pair) { p.Owner = a.(*net.TCPAddr).AddrPort(); return p }
	return c.closed.Unread(tcpdiag.Pair{Owner: end(c.RemoteAddr()).Owner, Peer: end(c.LocalAddr()).Owner}, 5*time.Second)
}

// A worker on TCP ends the connection when it has read a part of a POST: whatever was
// not read up to the end of its head has not been begun.
func TestAPOSTWhoseHeadWasNotReadGoesToAnother(t *testing.T) {
	var closed tcpdiag.Closed
	if err := closed.Watch(t.Context()); err != nil {
		t.Skip(err)
	}
	for name, c := range map[string]struct {
		read func(br *bufio.Reader)
		want int
	}{
		"nothing":            {func(*bufio.Reader) {}, 200},
		"the request line":   {func(br *bufio.Reader) { _, _ = br.ReadString('\n') }, 200},
		"the head":           {func(br *bufio.Reader) { readHeadOnly(br) }, 502},
		"a part of the body": {func(br *bufio.Reader) { readHeadOnly(br); _, _ = br.ReadByte() }, 502},
	} {
		for _, size := range []int{1, 200, 20_000} {
			t.Run(name, func(t *testing.T) {
				worker := wire(t, "app.1", func(_ int, conn net.Conn, _ *bufio.Reader) {
					eventually(t, "all has arrived", func() bool { return arrived(conn) > size })
					// No more is taken off the connection than the case says.
					c.read(bufio.NewReaderSize(byteByByte{conn}, 16))
				})
				h := open(t, settings(), endpoint("app.1", diagnosed{worker.Config().Connector.(dialer), &closed}), app(t, "app.2", hello("app.2")))
				resp, err := browser().Post(h.url("/"), "text/plain", strings.NewReader(strings.Repeat("x", size)))
				if err != nil {
					t.Fatal(err)
				}
				if body := all(t, resp); resp.StatusCode != c.want {
					t.Errorf("%d bytes: %d %s", size, resp.StatusCode, body)
				}
			})
		}
	}
}

// arrived is how much waits to be read.
func arrived(c net.Conn) (n int) {
	_ = rawConn(c).Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

type byteByByte struct{ io.Reader }

func (b byteByByte) Read(p []byte) (int, error) { return b.Reader.Read(p[:min(1, len(p))]) }

func readHeadOnly(br *bufio.Reader) {
	for {
		line, err := br.ReadString('\n')
		if err != nil || line == "\r\n" {
			return
		}
	}
}
