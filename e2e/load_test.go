package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is a number of keep-alive clients that ask for the same thing over and
// over. They are written by hand because a common client reconnects and tries
// again without a word: here every reset, every early end and every answer but
// a whole 200 is a failure.
type load struct {
	address string
	path    string
	body    string // what every 200 must hold; "": anything
	answers atomic.Int64
	broken  atomic.Int64 // failures after the answer's head had come
	failed  atomic.Int64 // all other failures
	stop    context.CancelFunc
	clients sync.WaitGroup

	mu    sync.Mutex
	first []string // the first of failed, for the test's message
}

// startLoad begins with n clients; each waits pause between an answer and its next request.
func startLoad(address, path string, n int, pause time.Duration) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{address: address, path: path, stop: cancel}
	for range n {
		l.clients.Go(func() { l.client(ctx, pause) })
	}
	return l
}

// end stops the clients between two requests and waits for them.
func (l *load) end() {
	l.stop()
	l.clients.Wait()
}

// report fails the test when anything was lost.
func (l *load) report(t *testing.T) {
	t.Helper()
	t.Logf("%d requests answered, %d failed, %d broken off", l.answers.Load(), l.failed.Load(), l.broken.Load())
	if l.failed.Load() > 0 {
		t.Errorf("%d requests failed, the first: %q", l.failed.Load(), l.first)
	}
}

func (l *load) fail(counter *atomic.Int64, what string) {
	counter.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.first) < 5 && counter == &l.failed {
		l.first = append(l.first, what)
	}
}

func (l *load) client(ctx context.Context, pause time.Duration) {
	var conn net.Conn
	var in *bufio.Reader
	for ctx.Err() == nil {
		if conn == nil {
			c, err := net.DialTimeout("tcp", l.address, patience)
			if err != nil {
				l.fail(&l.failed, err.Error())
				continue
			}
			conn, in = c, bufio.NewReader(c)
		}
		if !l.ask(conn, in) {
			conn.Close()
			conn = nil
		}
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// once asks over a connection of its own.
func (l *load) once() {
	conn, err := net.DialTimeout("tcp", l.address, patience)
	if err != nil {
		l.fail(&l.failed, err.Error())
		return
	}
	defer conn.Close()
	l.ask(conn, bufio.NewReader(conn))
}

// ask sends one request and reads its whole answer. It reports whether the
// connection may be used again.
func (l *load) ask(conn net.Conn, in *bufio.Reader) bool {
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", l.path, l.address); err != nil {
		l.fail(&l.failed, "write: "+err.Error())
		return false
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		l.fail(&l.failed, "head: "+err.Error())
		return false
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	switch {
	case err != nil:
		l.fail(&l.broken, "body: "+err.Error())
		return false
	case res.StatusCode != http.StatusOK:
		l.fail(&l.failed, fmt.Sprintf("%s: %s", res.Status, body))
	case l.body != "" && l.body != string(body):
		l.fail(&l.failed, fmt.Sprintf("%s with %d bytes: %q", res.Status, len(body), body))
	default:
		l.answers.Add(1)
	}
	return !res.Close
}
