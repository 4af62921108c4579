package proxy

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// peek looks at the bytes that wait on a socket without taking them and without
// blocking: recv(2) with MSG_PEEK. again says that there are none yet; n = 0
// without again is the end of the stream.
func peek(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, _, err = syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		default:
			return max(n, 0), false, err
		}
	}
}

// rawConn is nil for a connection without a descriptor.
func rawConn(c net.Conn) syscall.RawConn {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return rc
}

// ear tells what comes from a client without taking it.
type ear interface {
	awaitSome() error // returns when bytes or the end of the stream have come, or with the read deadline's error
	someNow() bool    // bytes are there
	awaitEnd() bool   // blocks until the end of the stream (true), or until bytes or the read deadline (false)
}

// socketEar listens at a socket. It needs no buffer, so an idle client costs none.
type socketEar struct{ raw syscall.RawConn }

func (e socketEar) awaitSome() error { return waitReadable(e.raw) }
func (e socketEar) someNow() bool    { return readableNow(e.raw) }
func (e socketEar) awaitEnd() bool   { return waitGone(e.raw) }

// waitReadable returns when bytes or the end of the stream have come, or with
// the read deadline's error. It needs no buffer while it waits, so an idle
// client costs none. The first look is needed because readiness that was seen
// earlier is forgotten; after the poller's word no second look is.
func waitReadable(rc syscall.RawConn) error {
	looked := false
	return rc.Read(func(fd uintptr) bool {
		if looked {
			return true
		}
		looked = true
		var b [1]byte
		_, again, _ := peek(fd, b[:])
		return !again
	})
}

// readableNow is waitReadable without the waiting.
func readableNow(rc syscall.RawConn) bool {
	ready := false
	_ = rc.Control(func(fd uintptr) {
		var b [1]byte
		n, again, err := peek(fd, b[:])
		ready = !again && err == nil && n > 0
	})
	return ready
}

// waitGone waits until the peer ends the stream (true) or sends something, or
// until the read deadline (false).
func waitGone(rc syscall.RawConn) bool {
	gone := false
	err := rc.Read(func(fd uintptr) bool {
		var b [1]byte
		n, again, err := peek(fd, b[:])
		gone = !again && (n == 0 || err != nil)
		return !again
	})
	return err == nil && gone
}

// silent says whether an idle connection is open and has nothing to read: the
// only state in which it may carry another request.
func silent(rc syscall.RawConn) bool {
	if rc == nil {
		return true
	}
	quiet := false
	err := rc.Control(func(fd uintptr) {
		var b [1]byte
		_, quiet, _ = peek(fd, b[:])
	})
	return err == nil && quiet
}

// sniff waits for a client's first bytes, until they tell whether it speaks TLS or
// HTTP/2 with prior knowledge (RFC 9113, section 3.4).
func sniff(rc syscall.RawConn) (err error) {
	var b [len(http2Preface)]byte
	readErr := rc.Read(func(fd uintptr) bool {
		var n int
		var again bool
		n, again, err = peek(fd, b[:])
		if again {
			return false
		}
		_, known := helloTLS(b[:n])
		return n == 0 || err != nil || n == len(b) || known && !strings.HasPrefix(http2Preface, string(b[:n]))
	})
	return errors.Join(readErr, err)
}

const (
	http2Preface = "PRI * HTTP/2.0"
	tlsHandshake = 0x16 // the record type of a ClientHello
)

// beginsTLS and beginsHTTP2 look at what sniff has waited for.
func beginsTLS(rc syscall.RawConn) bool {
	hello, _ := helloTLS(firstBytes(rc))
	return hello
}

func beginsHTTP2(rc syscall.RawConn) bool { return string(firstBytes(rc)) == http2Preface }

func firstBytes(rc syscall.RawConn) []byte {
	var b [len(http2Preface)]byte
	n := 0
	_ = rc.Control(func(fd uintptr) { n, _, _ = peek(fd, b[:]) })
	return b[:n]
}
