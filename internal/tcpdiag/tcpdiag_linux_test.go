package tcpdiag

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connected are the two ends of a connection, and its name as seen by the first.
func connected(t *testing.T, host string) (owner, peer net.Conn, pair Pair) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	if peer, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if owner, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close(); owner.Close() })
	end := func(a net.Addr) netip.AddrPort {
		ap := a.(*net.TCPAddr).AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return owner, peer, Pair{Owner: end(owner.LocalAddr()), Peer: end(peer.LocalAddr())}
}

func TestWhatASocketIsClosedWith(t *testing.T) {
	var c Closed
	if err := c.Watch(t.Context()); err != nil {
		t.Skip(err)
	}
	const sent = 100
	for _, host := range []string{"127.0.0.1", "::1"} {
		for _, read := range []int{0, 1, sent - 1} {
			owner, peer, pair := connected(t, host)
			if _, err := peer.Write(make([]byte, sent)); err != nil {
				t.Fatal(err)
			}
			if read == 0 { // all has arrived before it is closed
				awaitReadable(t, owner)
			}
			if _, err := io.ReadFull(owner, make([]byte, read)); err != nil {
				t.Fatal(err)
			}
			owner.Close()
			if n := c.Unread(pair, 5*time.Second); n != sent-read {
				t.Errorf("%s, read %d of %d: %d bytes were left", host, read, sent, n)
			}
		}
	}
	owner, peer, pair := connected(t, "127.0.0.1")
	peer.Write(make([]byte, sent))
	io.ReadFull(owner, make([]byte, sent))
	owner.Close()
	if n := c.Unread(pair, 20*time.Millisecond); n != 0 {
		t.Errorf("%d bytes were left of what was read", n)
	}
}

func awaitReadable(t *testing.T, c net.Conn) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 5000); n != 1 {
			t.Error("nothing arrives", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhetherSomebodyListens(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", "0.0.0.0"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Log(err)
			continue
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		if host == "0.0.0.0" {
			at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
		}
		if !Listens(at) {
			t.Errorf("%v: nobody listens", at)
		}
		l.Close()
		if Listens(at) {
			t.Errorf("%v: somebody still listens", at)
		}
	}
}
