package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hostile is a server that somebody else runs, and that ends connections when it
// should not. It knows which requests it has read.
type hostile struct {
	address string // as a server of bulsa's file
	patient time.Duration
	second  func(c *hostileConn) // what meets the second request of a connection; nil: an answer

	mu    sync.Mutex
	begun map[string]int // by id
}

// hostileConn is one of its connections.
type hostileConn struct {
	*hostile
	net.Conn
	in *bufio.Reader
}

// newHostile listens on TCP or on a unix socket.
func newHostile(t *testing.T, network string, patient time.Duration, second func(*hostileConn)) *hostile {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h := &hostile{address: l.Addr().String(), patient: patient, second: second, begun: map[string]int{}}
	if network == "unix" {
		h.address = "unix:" + address
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(&hostileConn{h, conn, bufio.NewReader(conn)})
		}
	}()
	return h
}

func (h *hostile) serve(c *hostileConn) {
	defer c.Close()
	for n := 1; ; n++ {
		if n == 2 && h.second != nil {
			h.second(c)
			return
		}
		c.SetReadDeadline(time.Now().Add(h.patient))
		if !c.read() {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	}
}

// read takes one whole request and notes it.
func (c *hostileConn) read() bool {
	req, err := http.ReadRequest(c.in)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun[req.URL.Query().Get("id")]++
	return true
}

// awaitUnread waits until the request is there, and leaves it there.
func (c *hostileConn) awaitUnread() {
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return !errors.Is(err, syscall.EAGAIN)
	})
}

func (h *hostile) times(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.begun[id]
}

// reset ends the connection without having read the request.
func reset(c *hostileConn) {
	c.awaitUnread()
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}

// swallow reads the request and ends the connection.
func swallow(c *hostileConn) { c.read() }

// begin ends the connection within an answer.
func begin(c *hostileConn) {
	c.read()
	io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
}

// TestTheReuseRace: a server answers the first request of each connection and
// ends the connection when the second comes. What may happen twice is asked
// again; an answer that has begun is seen to break off. What may not happen twice
// does not go over a used connection any more, once a server has done so: none
// is lost and none is done twice.
func TestTheReuseRace(t *testing.T) {
	t.Parallel()
	const clients, requests = 4, 76
	for name, second := range map[string]func(*hostileConn){
		"a reset": reset, "an end": swallow, "part of an answer": begin,
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(name+" over "+network, func(t *testing.T) {
				t.Parallel()
				h := newHostile(t, network, patience, second)
				_, address := before(t, "", `address: "`+h.address+`", max_fails: 0`)
				breaks := name == "part of an answer"
				var broken atomic.Int64
				ask := func(client *http.Client, method, id string) {
					status, body, err := once(client, method, "http://"+address+"/?id="+id)
					begun := h.times(id)
					switch {
					case status == 200 && err == nil && body == "hello" && (begun == 1 || method == "GET" && begun > 0):
					case breaks && status == 200 && err != nil && begun == 1:
						broken.Add(1)
					default:
						t.Errorf("%s: %d %q %v, begun %d times", id, status, body, err, begun)
					}
				}
				first := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
				ask(first, "GET", "GET-first")
				ask(first, "GET", "GET-second")
				var all sync.WaitGroup
				for n := range clients {
					all.Go(func() {
						client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
						defer client.CloseIdleConnections()
						for i := range requests {
							method := []string{"GET", "POST"}[i%2]
							ask(client, method, fmt.Sprint(method, n, "-", i))
						}
					})
				}
				all.Wait()
				if breaks && broken.Load() == 0 {
					t.Error("no answer broke off: the test shows nothing")
				}
			})
		}
	}
}

// TestServersThatCloseIdleConnections at the moment when they are used again lose
// nothing: what may happen twice is asked again, and the rest goes over younger
// connections.
func TestServersThatCloseIdleConnections(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		network string
		patient time.Duration
		rounds  int
		methods []string
	}{
		"after 20 ms, over TCP":           {"tcp", 20 * time.Millisecond, 60, []string{"GET"}},
		"after 20 ms, over a unix socket": {"unix", 20 * time.Millisecond, 60, []string{"GET"}},
		"after 1 s":                       {"tcp", time.Second, 4, []string{"GET", "POST", "POST"}},
		"after 5 s":                       {"tcp", 5 * time.Second, 2, []string{"GET", "POST", "POST"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHostile(t, c.network, c.patient, nil)
			_, address := before(t, "", `address: "`+h.address+`", max_fails: 0`)
			meetTheClose(t, address, c.patient, c.rounds, c.methods...)
			h.mu.Lock()
			defer h.mu.Unlock()
			for id, n := range h.begun {
				if n != 1 && !strings.HasPrefix(id, "GET") {
					t.Errorf("%s was begun %d times", id, n)
				}
			}
		})
	}
}

// TestANodeServerThatClosesIdleConnections: as above, with a Node that bulsa did
// not start.
func TestANodeServerThatClosesIdleConnections(t *testing.T) {
	t.Parallel()
	const script = `
const server = require('http').createServer((req, res) => res.end('hello'));
server.keepAliveTimeout = 1000;
server.keepAliveTimeoutBuffer = 0;
server.listen(process.env.PORT, '127.0.0.1');
`
	port := freePort(t)
	node := exec.Command("node", "-e", script)
	node.Env = append(node.Environ(), "PORT="+port)
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		node.Process.Kill()
		node.Wait()
	})
	eventually(t, "Node listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	_, address := before(t, "", `address: "127.0.0.1:`+port+`", max_fails: 0`)
	meetTheClose(t, address, time.Second, 4, "GET", "POST", "POST")
}

// meetTheClose lets many clients ask at the same moment, so that there are as
// many connections to the server, and again about when the server closes them.
func meetTheClose(t *testing.T, address string, after time.Duration, rounds int, methods ...string) {
	t.Helper()
	const clients, early, late = 24, 3 * time.Millisecond, 3 * time.Millisecond
	var all sync.WaitGroup
	for n := range clients {
		all.Go(func() {
			client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := range rounds {
				method := methods[rand.IntN(len(methods))]
				id := fmt.Sprint(method, n, "-", i)
				if status, body, err := once(client, method, "http://"+address+"/?id="+id); status != 200 || body != "hello" {
					t.Errorf("%s: %d %q %v", id, status, body, err)
				}
				time.Sleep(after - early + rand.N(early+late))
			}
		})
	}
	all.Wait()
}
