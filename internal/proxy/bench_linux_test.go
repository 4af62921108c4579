package proxy

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkLoop is one request and its answer through a loop, with the system
// calls of all three sides.
func BenchmarkLoop(b *testing.B) {
	r := newRig(b)
	r.connect()
	request := []byte("GET /some/path HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\nDate: Thu, 20 Nov 2025 10:00:00 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\nhello, world\n")
	r.say(r.client, string(request))
	r.say(r.last(), string(answer))
	_, _ = r.heard(r.client)
	_, _ = r.heard(r.last())
	buf := make([]byte, 4096)
	l := r.loop
	turn := func() {
		n, errno := epollWait(syscall.RawSyscall6, l.epoll, l.events, 0)
		l.round(eventsOf(n, errno))
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = send(r.client, request)
		turn()
		_, _ = recv(r.last(), buf, 0)
		_, _ = send(r.last(), answer)
		turn()
		if n, errno := recv(r.client, buf, 0); n <= 0 || errno == unix.EAGAIN {
			b.Fatal(n, errno)
		}
	}
	b.StopTimer()
	r.mustBeClean()
}
