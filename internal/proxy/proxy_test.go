package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/retry"
	"bulsa/internal/proxy/stats"
)

// dialer is a Connector that dials an address.
type dialer struct{ network, address string }

func (d dialer) Connect(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, d.network, d.address)
}

// house is a proxy with one listener, for one service.
type house struct {
	t      *testing.T
	server *Server
	pool   *balance.Pool
	addr   string
	log    *lines
}

type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func settings() Settings {
	return Settings{
		HeaderTimeout: 5 * time.Second, IdleTimeout: 10 * time.Second, ConnectTimeout: time.Second,
		AnswerTimeout: 30 * time.Second, Limits: retry.Limits{Hold: 2 * time.Second}, MaxBody: 10 << 20,
	}
}

func open(t *testing.T, s Settings, endpoints ...*balance.Endpoint) *house {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, ln, s, endpoints...)
}

func openOn(t *testing.T, ln net.Listener, s Settings, endpoints ...*balance.Endpoint) *house {
	t.Helper()
	pool, err := balance.NewPool("round_robin")
	if err != nil {
		t.Fatal(err)
	}
	pool.Publish(endpoints)
	h := &house{t: t, pool: pool, addr: ln.Addr().String(), log: new(lines)}
	h.server = New(Config{Logger: slog.New(slog.NewTextHandler(h.log, nil)), Version: "test", Goroutines: goroutines, SingleCalls: singleCalls})
	h.server.SetTable(Table{"app:80": NewListener(Route{Service: "app", Port: "80", Pool: pool, Settings: s})})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(ctx, "app:80", ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		over, stop := context.WithCancel(context.Background())
		stop()
		_ = h.server.Shutdown(over)
	})
	return h
}

func (h *house) url(path string) string { return "http://" + h.addr + path }

func (h *house) dial() net.Conn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// say sends raw bytes on a new connection and returns everything that comes back.
func (h *house) say(request string) (string, error) {
	h.t.Helper()
	c := h.dial()
	if _, err := io.WriteString(c, request); err != nil {
		h.t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// ask sends a raw request and reads one answer.
func (h *house) ask(c net.Conn, method, request string) *http.Response {
	h.t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		h.t.Fatal(err)
	}
	return resp
}

func (h *house) stats() stats.Service { return h.server.Stats().Services["app"] }

func browser() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 10 * time.Second}
}

// get returns status and body.
func (h *house) get(path string) (int, string) {
	h.t.Helper()
	resp, err := browser().Get(h.url(path))
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, all(h.t, resp)
}

func all(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func endpoint(worker string, c balance.Connector) *balance.Endpoint {
	return balance.NewEndpoint(balance.Config{Worker: worker, Address: "test", Connector: c, Weight: 1})
}

// app is a worker that speaks HTTP through net/http.
func app(t *testing.T, name string, h http.HandlerFunc) *balance.Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return endpoint(name, dialer{"tcp", ln.Addr().String()})
}

// wire is a worker that does what it is told with every connection; n counts them.
func wire(t *testing.T, name string, serve func(n int, c net.Conn, br *bufio.Reader)) *balance.Endpoint {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(n, c, bufio.NewReader(c))
			}()
		}
	}()
	return endpoint(name, dialer{"tcp", ln.Addr().String()})
}

func hello(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello from %s", name) }
}

func TestRequestsAreSharedAmongWorkers(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")), app(t, "app.2", hello("app.2")))
	seen := map[string]int{}
	for range 10 {
		status, body := h.get("/")
		if status != 200 {
			t.Fatalf("status %d: %s", status, body)
		}
		seen[body]++
	}
	if seen["hello from app.1"] != 5 || seen["hello from app.2"] != 5 {
		t.Fatalf("%v", seen)
	}
	eventually(t, "they are counted", func() bool {
		s := h.stats()
		return s.Requests[200] == 10 && s.Workers["app.1"].Requests == 5 && s.Duration.Count == 10
	})
}
