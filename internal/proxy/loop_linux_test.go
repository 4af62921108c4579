package proxy

import (
	"bufio"
	"io"
	"log/slog"
	"math"
	"net"
	"runtime"
	"testing"
	"time"

	"bulsa/internal/proxy/accesslog"
)

// repeats is a worker that answers whatever it reads with the same answer, and
// allocates nothing.
func repeats(answer string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, c net.Conn, _ *bufio.Reader) {
		buf, b := make([]byte, 64<<10), []byte(answer)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
}

// exchanges sends the request n times and reads as many answers of size bytes.
func exchanges(t *testing.T, c net.Conn, request []byte, n, size int) {
	buf := make([]byte, size)
	for range n {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARequestAllocatesNothing(t *testing.T) {
	if goroutines {
		return // that is what the loops are for
	}
	for name, c := range map[string]struct{ request, answer string }{
		"GET":     {"GET /some/path?and=query HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x\r\nCookie: a=b\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"},
		"POST":    {"POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nbody", "HTTP/1.1 204 No Content\r\nX-Y: z\r\n\r\n"},
		"logged":  {"GET /some/path?and=query HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x\r\nReferer: y\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
		"chunked": {"PUT / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.Hold = time.Minute
			if name == "logged" {
				s.AccessLog = &accesslog.Log{File: accesslog.NewStream(io.Discard, slog.New(slog.DiscardHandler)), Sample: 1}
			}
			h := open(t, s, wire(t, "app.1", repeats(c.answer)), wire(t, "app.2", repeats(c.answer)))
			conn := h.dial()
			first := []byte(c.request)
			_, _ = conn.Write(first)
			buf := make([]byte, 4096)
			size, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			exchanges(t, conn, first, 100, size)
			if each := fewestAllocations(t, func(n int) { exchanges(t, conn, first, n, size) }); each >= 0.01 {
				t.Fatalf("%.3f allocations for each request", each)
			}
		})
	}
}

// fewestAllocations is how many one of n runs costs, in the best of some rounds: the
// rest of the program allocates now and then, too.
func fewestAllocations(t *testing.T, run func(n int)) float64 {
	t.Helper()
	const n = 2000
	fewest := math.Inf(1)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run(n)
		runtime.ReadMemStats(&after)
		fewest = min(fewest, float64(after.Mallocs-before.Mallocs)/n)
	}
	return fewest
}

// A loop that waits for events does so without the runtime's knowledge: it must
// still never make a collection wait.
func TestACollectionDoesNotWaitForIdleLoops(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	h := open(t, settings(), wire(t, "app.1", repeats("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")))
	c := h.dial()
	request := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_, _ = c.Write(request)
	buf := make([]byte, 4096)
	size, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	// If collections waited for the loop, all of them would; that one is slow may be
	// the machine's fault.
	shortest := time.Hour
	for range 20 {
		exchanges(t, c, request, 1, size) // from now on the loop waits in the cheap way
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		shortest = min(shortest, time.Duration(stats.PauseNs[(stats.NumGC+255)%256]))
	}
	if shortest >= busyWait/2 {
		t.Errorf("in 20 collections the world was stopped for %v at least", shortest)
	}
}
