package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"
)

// bothWays is a client that sends a body while a worker sends it back as it comes,
// over sockets that take little at a time.
type bothWays struct {
	rig       *rig
	random    *rand.Rand
	chunked   bool
	framing   string // a field of both heads
	toWorker  []byte // what the client has not sent yet
	read      []byte // what the worker has read of the request's head
	asked     bool   // it has read the head
	toClient  []byte // what it has not answered yet
	received  []byte // by the client
	exhausted bool   // the client's connection has ended
}

func newBothWays(t *testing.T, seed uint64, body []byte) *bothWays {
	e := &bothWays{rig: newRig(t), random: rand.New(rand.NewPCG(seed, 0)), chunked: seed%2 == 0}
	e.rig.connect()
	if e.framing = "Transfer-Encoding: chunked"; !e.chunked {
		e.framing = fmt.Sprint("Content-Length: ", len(body))
	}
	e.toWorker = fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", e.framing)
	if !e.chunked {
		e.toWorker = append(e.toWorker, body...)
		return e
	}
	for len(body) > 0 {
		n := min(1+e.random.IntN(9000), len(body))
		e.toWorker = fmt.Appendf(e.toWorker, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	e.toWorker = append(e.toWorker, "0\r\n\r\n"...)
	return e
}

// step does one thing, and lets the loop turn in most cases.
func (e *bothWays) step() {
	buf := make([]byte, 1+e.random.IntN(16<<10))
	switch e.random.IntN(4) {
	case 0:
		e.toWorker = e.push(e.rig.client, e.toWorker)
	case 1:
		if n, _ := recv(e.rig.last(), buf, 0); n > 0 {
			e.hear(buf[:n])
		}
	case 2:
		e.toClient = e.push(e.rig.last(), e.toClient)
	case 3:
		n, errno := recv(e.rig.client, buf, 0)
		e.received = append(e.received, buf[:n]...)
		e.exhausted = n == 0 && errno == 0
	}
	if e.random.IntN(3) > 0 {
		e.rig.turn()
		for _, s := range e.rig.loop.socks {
			if s != nil { // less than the least is raised to it
				_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
			}
		}
	}
}

// push sends some of b and returns the rest.
func (e *bothWays) push(fd int, b []byte) []byte {
	if fd < 0 || len(b) == 0 {
		return b
	}
	n, _ := send(fd, b[:min(len(b), 1+e.random.IntN(9000))])
	return b[n:]
}

// hear is the worker: what comes behind the head is a body, framed as that of the answer is.
func (e *bothWays) hear(b []byte) {
	if e.asked {
		e.toClient = append(e.toClient, b...)
		return
	}
	e.read = append(e.read, b...)
	if _, rest, all := bytes.Cut(e.read, []byte("\r\n\r\n")); all {
		e.asked = true
		e.toClient = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\n%s\r\n\r\n%s", e.framing, rest)
	}
}

// whole says whether the client has got the answer with a body of n bytes.
func (e *bothWays) whole(n int) bool {
	if e.chunked {
		return bytes.HasSuffix(e.received, []byte("\r\n0\r\n\r\n"))
	}
	_, body, _ := bytes.Cut(e.received, []byte("\r\n\r\n"))
	return len(body) == n
}

func TestBodiesPassBothWaysAtOnceInPieces(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	for seed := range uint64(100) {
		body := make([]byte, rand.New(rand.NewPCG(seed, 1)).IntN(200<<10)+1)
		for i := range body {
			body[i] = byte(i >> 8 * i)
		}
		e := newBothWays(t, seed, body)
		for left := 100_000; left > 0 && !e.exhausted && !e.whole(len(body)); left-- {
			e.step()
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(e.received)), nil)
		if err != nil {
			t.Fatalf("seed %d: %v: %q", seed, err, e.received[:min(len(e.received), 300)])
		}
		got, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(got, body) {
			t.Errorf("seed %d: %s, %d of %d bytes came back (%v)", seed, res.Status, len(got), len(body), err)
		}
		e.rig.mustBeClean()
	}
}
