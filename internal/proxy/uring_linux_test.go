package proxy

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func testRing(t *testing.T, size int) *uring {
	t.Helper()
	r, err := newUring(size)
	if err != nil {
		t.Skip("no io_uring here: ", err)
	}
	t.Cleanup(r.close)
	return r
}

func pair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func TestARingDoesWhatTheCallsDo(t *testing.T) {
	r := testRing(t, 8)
	buf := make([]byte, 64)
	for range 100 { // the queues go round
		a, b := pair(t)
		empty, _ := pair(t)
		ended, end := pair(t)
		_ = unix.Shutdown(end, unix.SHUT_WR)
		r.send(a, []byte("hello"))
		r.receive(empty, buf)
		r.receive(ended, buf)
		r.receive(-1, buf)
		done := r.run()
		for i, want := range []int32{5, -int32(unix.EAGAIN), 0, -int32(unix.EBADF)} {
			if done[i] != want {
				t.Fatalf("entry %d gave %d, want %d", i, done[i], want)
			}
		}
		r.receive(b, buf)
		if done := r.run(); len(done) != 1 || done[0] != 5 || string(buf[:5]) != "hello" {
			t.Fatalf("received %v: %q", done, buf[:5])
		}
		for _, fd := range []int{a, b, empty, ended, end} {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		}
	}
}

func TestASendOfARingTakesWhatTheSocketTakes(t *testing.T) {
	r := testRing(t, 8)
	a, b := pair(t)
	much := make([]byte, 8<<20)
	r.send(a, much)
	if n := r.run()[0]; n <= 0 || int(n) == len(much) {
		t.Errorf("%d bytes of %d were taken", n, len(much))
	}
	r.send(a, much)
	if n := r.run()[0]; n != -int32(unix.EAGAIN) {
		t.Errorf("a full socket gave %d", n)
	}
	_ = unix.Shutdown(b, unix.SHUT_RDWR)
	r.send(a, much)
	if n := r.run()[0]; n != -int32(unix.EPIPE) {
		t.Errorf("an ended socket gave %d", n)
	}
}

// What goes out at the end of a round is not sent to a worker that has ended the
// connection in the same round: it has then surely not begun the request.
func TestARequestIsTakenBackFromAWorkerThatHasLeft(t *testing.T) {
	if goroutines || singleCalls {
		return // it is about batches
	}
	r := newRig(t)
	r.connect()
	const request = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	r.say(r.client, request)
	first := r.last()
	r.say(first, "HTTP/1.1 204 No Content\r\n\r\n")
	r.heard(r.client)
	r.heard(first)

	if _, errno := send(r.client, []byte(request)); errno != 0 {
		t.Fatal(errno)
	}
	_ = unix.Shutdown(first, unix.SHUT_WR)
	r.settle()
	if got, _ := r.heard(first); got != "" {
		t.Errorf("the worker that has left got %q", got)
	}
	if got, _ := r.heard(r.last()); !strings.HasPrefix(got, "PUT / ") {
		t.Errorf("the next connection got %q", got)
	}
	r.mustBeClean()
}

// A client that asks again before it has read its answers gets all of them, in order
// and whole, although its socket is full and the last one is a refusal.
func TestAnswersThatWaitKeepTheirOrder(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	r := newRig(t)
	r.connect()
	_ = unix.SetsockoptInt(r.client, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) // the least that there is
	const n = 500
	body := strings.Repeat("x", 3000)
	r.say(r.client, strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", n)+"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n")
	var all strings.Builder
	for range 4 * n {
		if asked, _ := r.heard(r.last()); asked != "" {
			r.say(r.last(), "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"+body)
		}
		got, _ := r.heard(r.client)
		all.WriteString(got)
	}
	answers := strings.Split(all.String(), "HTTP/1.1 ")[1:]
	if len(answers) != n+1 || !strings.HasPrefix(answers[n], "400 ") {
		t.Fatalf("%d answers, want %d and then a 400", len(answers), n)
	}
	for i, answer := range answers[:n] {
		if !strings.HasPrefix(answer, "200 ") || !strings.HasSuffix(answer, body) {
			t.Fatalf("answer %d is %q", i, answer[:min(len(answer), 100)])
		}
	}
	r.mustBeClean()
}
