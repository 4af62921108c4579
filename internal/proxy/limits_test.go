package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/limit"
)

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	const host = "Host: a\r\n"
	for want, requests := range map[string][]string{
		"400": {
			"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
			"POST / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n\r\nhello",
			"POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n",
			"POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc",
			"GET / HTTP/1.1\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "Host: b\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
			"GET / HTTP/1.1\n" + host + "\n",
			"GET / HTTP/1.1\r\n" + host + "A : b\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + "A: b\x00c\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + ": c\r\n\r\n",
			"GET  / HTTP/1.1\r\n" + host + "\r\n",
			"nonsense\r\n\r\n",
			"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
			"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
			"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
		},
		"501": {
			"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
			"CONNECT a:1 HTTP/1.1\r\n" + host + "\r\n",
		},
		"505": {"GET / HTTP/3.0\r\n" + host + "\r\n"},
		"431": {
			"GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("x", 20<<10) + "\r\n\r\n",
			"GET / HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 1001) + "\r\n",
		},
	} {
		for _, q := range requests {
			got, err := h.say(q)
			if err != nil || !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") || !strings.Contains(got, "Connection: close\r\n") {
				t.Errorf("%.80q: %.60q %v", q, got, err)
			}
		}
	}
}

func TestBodiesAboveTheLimitAre413(t *testing.T) {
	s := settings()
	s.MaxBody = 10
	h := open(t, s, app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	for _, q := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n",
	} {
		if resp := h.ask(h.dial(), "POST", q); resp.StatusCode != 413 || !resp.Close {
			t.Errorf("%q: %d", q, resp.StatusCode)
		}
	}
	if resp := h.ask(h.dial(), "POST", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"); resp.StatusCode != 200 {
		t.Error(resp.StatusCode)
	}
}

func TestASlowHeadIs408(t *testing.T) {
	s := settings()
	s.HeaderTimeout = 30 * time.Millisecond
	h := open(t, s, app(t, "app.1", hello("app.1")))
	if got, err := h.say("GET / HTTP/1.1\r\nHost:"); err != nil || !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Fatalf("%q %v", got, err)
	}
}

func TestAnIdleClientIsEnded(t *testing.T) {
	s := settings()
	s.IdleTimeout = 30 * time.Millisecond
	h := open(t, s, app(t, "app.1", hello("app.1")))
	c := h.dial()
	_ = all(t, h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatal(n, err)
	}
}

// raw is a Connector that may take whole connections.
type raw struct {
	dialer
	only   bool
	fails  bool
	passed atomic.Int32
	take   func(c net.Conn)
}

func (r *raw) RawOnly() bool { return r.only }

func (r *raw) Pass(_ context.Context, fd uintptr) error {
	r.passed.Add(1)
	if r.fails {
		return errors.New("the worker died before it accepted")
	}
	own, err := syscall.Dup(int(fd))
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(own), "passed")
	defer f.Close()
	c, err := net.FileConn(f)
	if err == nil {
		go r.take(c)
	}
	return err
}

func TestTLSIsPassedToAWorkerThatTakesIt(t *testing.T) {
	site := httptest.NewUnstartedServer(hello("app.2"))
	site.StartTLS()
	t.Cleanup(site.Close)
	dead := &raw{fails: true}
	good := &raw{take: func(c net.Conn) {
		s := tls.Server(c, site.TLS)
		defer s.Close()
		_, _ = readWhole(bufio.NewReader(s))
		_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\npassed")
	}}
	h := open(t, settings(), endpoint("app.1", dead), endpoint("app.2", good))
	for range 2 {
		resp, err := site.Client().Get("https://" + h.addr)
		if err != nil || all(t, resp) != "passed" {
			t.Fatal(err)
		}
	}
	eventually(t, "it is counted", func() bool {
		s := h.stats()
		return s.RawPassed == 2 && dead.passed.Load() > 0 && s.Workers["app.1"].Errors > 0
	})
}

func TestTLSIsSplicedToAWorkerThatCannotTakeIt(t *testing.T) {
	site := httptest.NewTLSServer(hello("app.1"))
	t.Cleanup(site.Close)
	ep := endpoint("app.1", dialer{"tcp", site.Listener.Addr().String()})
	h := open(t, settings(), ep)
	resp, err := site.Client().Get("https://" + h.addr)
	if err != nil || all(t, resp) != "hello from app.1" {
		t.Fatal(err)
	}
	if s := h.stats(); s.RawPassed != 1 || s.Tunnels != 1 || ep.InFlight() != 1 {
		t.Fatalf("%+v", s)
	}
	site.Client().CloseIdleConnections()
	eventually(t, "it ends", func() bool { return ep.InFlight() == 0 })
}

func TestHTTP2WithPriorKnowledgeIsKnownEvenInPieces(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	c := h.dial()
	_, _ = io.WriteString(c, "PRI * HT")
	eventually(t, "the client is there", func() bool { return h.stats().OpenClients == 1 })
	_, _ = io.WriteString(c, "TP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	head := make([]byte, 9) // of a frame
	if _, err := io.ReadFull(c, head); err != nil || head[3] != 0x4 {
		t.Fatalf("no SETTINGS but %x (%v)", head, err)
	}
}

func TestHTTP2WithPriorKnowledgeIsPassedToAWorkerThatCanTakeIt(t *testing.T) {
	got := make(chan string, 1)
	h := open(t, settings(), endpoint("app.1", &raw{take: func(c net.Conn) {
		defer c.Close()
		b := make([]byte, len(clientPreface))
		_, _ = io.ReadFull(c, b)
		got <- string(b)
	}}))
	_, _ = io.WriteString(h.dial(), clientPreface)
	if s := <-got; s != clientPreface {
		t.Fatalf("%q", s)
	}
}

func TestAWorkerThatSpeaksFirstGetsItsConnectionsUnread(t *testing.T) {
	h := open(t, settings(), endpoint("app.1", &raw{only: true, take: func(c net.Conn) {
		_, _ = io.WriteString(c, "220 ready\r\n")
		_ = c.Close()
	}}))
	b, err := io.ReadAll(h.dial())
	if err != nil || string(b) != "220 ready\r\n" {
		t.Fatalf("%q %v", b, err)
	}
}

func TestShutdownAnswersWhatIsInFlightAndEndsIdleClients(t *testing.T) {
	release := make(chan struct{})
	ep := app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
	})
	h := open(t, settings(), ep)
	idle, busy := h.dial(), h.dial()
	_ = all(t, h.ask(idle, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	_, _ = io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "the worker has it", func() bool { return ep.InFlight() == 1 })
	down := make(chan error, 1)
	go func() { down <- h.server.Shutdown(t.Context()) }()
	if n, err := idle.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatal("the idle client was not ended:", n, err)
	}
	close(release)
	resp, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil || resp.StatusCode != 200 || !resp.Close {
		t.Fatal(err, resp)
	}
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", h.addr); err == nil {
		t.Fatal("still accepting")
	}
}

func TestShutdownCutsUpgradedConnectionsAtTheDeadline(t *testing.T) {
	h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_, _ = io.Copy(c, br)
	}))
	c := h.dial()
	if resp := h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"); resp.StatusCode != 101 {
		t.Fatal(resp.StatusCode)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := h.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if n := h.stats().Tunnels; n != 0 {
		t.Fatal(n)
	}
}

// short is a listener that is out of descriptors for a while.
type short struct {
	net.Listener
	left atomic.Int32
}

func (s *short) Accept() (net.Conn, error) {
	if s.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return s.Listener.Accept()
}

func TestOutOfDescriptorsTheListenerWaitsAndGoesOn(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &short{Listener: ln}
	s.left.Store(3)
	h := openOn(t, s, settings(), app(t, "app.1", hello("app.1")))
	if status, _ := h.get("/"); status != 200 {
		t.Fatal(status)
	}
	if !strings.Contains(h.log.String(), "cannot accept a client") {
		t.Fatal("not logged")
	}
}

func TestTheTableChangesBetweenTwoRequests(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	c := h.dial()
	_ = all(t, h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	pool, _ := balance.NewPool("round_robin")
	pool.Publish([]*balance.Endpoint{app(t, "web.1", hello("web.1"))})
	h.server.SetTable(Table{"app:80": NewListener(Route{Service: "web", Pool: pool, Settings: settings()})})
	if body := all(t, h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")); body != "hello from web.1" {
		t.Fatal(body)
	}
}

func TestConnectionsBeyondTheLimitAreTurnedAway(t *testing.T) {
	for name, set := range map[string]func(*Settings){
		"of the service": func(s *Settings) { s.Connections = 2 },
		"of one address": func(s *Settings) { s.ConnectionsPerAddress = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			set(&s)
			h := open(t, s, app(t, "app.1", hello("app.1")))
			first := h.dial()
			defer h.dial().Close()
			eventually(t, "both are there", func() bool { return h.stats().OpenClients == 2 })
			answer, err := h.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 503 ") || !strings.Contains(answer, "no more may be") {
				t.Fatalf("%q, %v", answer, err)
			}
			if h.stats().TurnedAway != 1 {
				t.Error("it is not counted")
			}
			_ = first.Close()
			eventually(t, "one has left", func() bool { return h.stats().OpenClients == 1 })
			if status, body := h.get("/"); status != 200 {
				t.Errorf("after one has left: %d %s", status, body)
			}
		})
	}
}

// A proxy in front has many clients on few addresses.
func TestATrustedPeerIsNotOneClient(t *testing.T) {
	s := settings()
	s.ConnectionsPerAddress, s.Trusted = 1, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	h := open(t, s, app(t, "app.1", hello("app.1")))
	defer h.dial().Close()
	eventually(t, "one is there", func() bool { return h.stats().OpenClients == 1 })
	if status, body := h.get("/"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

func TestABodyThatStaysOutIsRefusedByItsRate(t *testing.T) {
	t.Parallel()
	s := settings()
	s.MinRate, s.IdleTimeout = 1000, 0
	h := open(t, s, app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	c := h.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
	_ = c.SetDeadline(time.Now().Add(4 * limit.Window))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Fatalf("%v, %v", resp, err)
	}
}
