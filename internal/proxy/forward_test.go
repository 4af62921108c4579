package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// echoHeader answers with the request as the worker got it.
func echoHeader(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s\nHost: %s\n", r.Method, r.RequestURI, r.Host)
	_ = r.Header.Write(w)
}

func (h *house) headerSeen(t *testing.T, request string) string {
	t.Helper()
	return all(t, h.ask(h.dial(), "GET", request))
}

func TestSpoofedOriginIsReplaced(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", echoHeader))
	got := h.headerSeen(t, "GET /x HTTP/1.1\r\nHost: shop.example:8080\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"+
		"X-Forwarded-Host: evil\r\nX_Forwarded_For: 6.6.6.6\r\nx-forwarded_host: evil\r\nX-Forwarded-Prefix: /evil\r\nForwarded: for=6.6.6.6\r\nConnection: X-Forwarded-For, Forwarded, Host, Authorization, Cookie\r\nAuthorization: a\r\nCookie: b=c\r\n\r\n")
	for _, want := range []string{"Host: shop.example:8080\n", "X-Forwarded-For: 127.0.0.1\r", "X-Forwarded-Proto: http\r",
		"X-Forwarded-Host: shop.example:8080\r", "Authorization: a", "Cookie: b=c", "X-Forwarded-Port: "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "6.6.6.6") || strings.Contains(got, "evil") {
		t.Errorf("spoofed:\n%s", got)
	}
}

func TestForwardedCarriesThePeerWithItsPort(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", echoHeader))
	c := h.dial()
	got := all(t, h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: a:1\r\n\r\n"))
	want := fmt.Sprintf("Forwarded: for=%q;host=\"a:1\";proto=http\r\n", c.LocalAddr())
	if !strings.Contains(got, want) {
		t.Fatalf("no %s in\n%s", want, got)
	}
}

func TestForwardedQuotesIPv6(t *testing.T) {
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here:", err)
	}
	h := openOn(t, ln, settings(), app(t, "app.1", echoHeader))
	if got := h.headerSeen(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.Contains(got, `Forwarded: for="[::1]:`) || !strings.Contains(got, "X-Forwarded-For: ::1\r") {
		t.Fatal(got)
	}
}

func TestATrustedPeerIsBelievedAndAppendedTo(t *testing.T) {
	s := settings()
	s.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	h := open(t, s, app(t, "app.1", echoHeader))
	got := h.headerSeen(t, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=9.9.9.9\r\n\r\n")
	for _, want := range []string{"X-Forwarded-For: 9.9.9.9, 127.0.0.1\r", "X-Forwarded-Proto: https\r", `Forwarded: for=9.9.9.9, for="127.0.0.1:`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestHopByHopFieldsStayOnTheirHop(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Proxy-Authenticate", "x")
		echoHeader(w, r)
	}))
	resp := h.ask(h.dial(), "GET", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n"+
		"Proxy-Authorization: p\r\nProxy-Connection: x\r\nTE: trailers, gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Kept: yes\r\n\r\n")
	got := all(t, resp)
	for _, gone := range []string{"X-Mine", "Keep-Alive", "Proxy-", "gzip", "Upgrade", "Http2", "User-Agent", "Via"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s in\n%s", gone, got)
		}
	}
	if !strings.Contains(got, "X-Kept: yes") || !strings.Contains(got, "Te: trailers\r") {
		t.Error(got)
	}
	for _, gone := range []string{"Keep-Alive", "Proxy-Authenticate", "Server", "Via"} {
		if resp.Header.Get(gone) != "" {
			t.Errorf("answer has %s", gone)
		}
	}
}

func TestBodiesAndTrailersPassBothWays(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Trailer", "X-After")
		n, err := io.Copy(w, r.Body)
		w.Header().Set("X-After", fmt.Sprint(n, err, r.Trailer.Get("X-Sum")))
	}))
	big := strings.Repeat("0123456789", 100_000)
	req, _ := http.NewRequest("POST", h.url("/"), io.NopCloser(strings.NewReader(big)))
	req.Trailer = http.Header{"X-Sum": {"42"}}
	resp, err := browser().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if body := all(t, resp); body != big {
		t.Fatalf("%d bytes came back, not %d", len(body), len(big))
	}
	if got := resp.Trailer.Get("X-After"); got != "1000000 <nil>42" {
		t.Fatalf("trailer %q", got)
	}
	req, _ = http.NewRequest("PUT", h.url("/"), strings.NewReader(big))
	if resp, err = browser().Do(req); err != nil || all(t, resp) != big {
		t.Fatal("a body with a length came back different:", err)
	}
}

func TestStreamsFlowBothWaysAtOnce(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		br := bufio.NewReader(r.Body)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "echo "+line)
			_ = rc.Flush()
		}
	}))
	pr, pw := io.Pipe()
	req, _ := http.NewRequest("POST", h.url("/"), pr)
	go func() { _, _ = io.WriteString(pw, "one\n") }()
	resp, err := browser().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	br := bufio.NewReader(resp.Body)
	for i, next := range []string{"two\n", "three\n", ""} {
		line, err := br.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "echo ") {
			t.Fatal(i, line, err)
		}
		go func() { _, _ = io.WriteString(pw, next) }()
	}
	_ = pw.Close()
}

func TestEventsArriveBeforeTheEnd(t *testing.T) {
	finish := make(chan struct{})
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-finish
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-finish
	}))
	resp, err := browser().Get(h.url("/")) // returns with the head alone
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	finish <- struct{}{}
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != "data: 1\n" {
		t.Fatal(line, err)
	}
	close(finish)
}

func TestAnswersWithoutBody(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "12345")
		}
	}))
	c := h.dial()
	for _, q := range []struct {
		method, path string
		status       int
		length       int64
	}{{"HEAD", "/", 200, 12345}, {"GET", "/204", 204, 0}, {"GET", "/304", 304, 0}, {"HEAD", "/", 200, 12345}} {
		resp := h.ask(c, q.method, q.method+" "+q.path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if body := all(t, resp); resp.StatusCode != q.status || body != "" || resp.ContentLength != q.length {
			t.Errorf("%v: %d %q %d", q, resp.StatusCode, body, resp.ContentLength)
		}
	}
}

func TestEarlyHintsPass(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		w.WriteHeader(200)
	}))
	var hints []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprintf("%d %s", code, h.Get("Link")))
		return nil
	}}
	req, _ := http.NewRequest("GET", h.url("/"), nil)
	resp, err := browser().Do(req.WithContext(httptrace.WithClientTrace(t.Context(), trace)))
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(err)
	}
	_ = all(t, resp)
	if len(hints) != 1 || hints[0] != "103 </a.css>; rel=preload" {
		t.Fatal(hints)
	}
}

func TestContinueIsTheWorkersToGive(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(401)
			return
		}
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "got %s", b)
	}))
	c := h.dial()
	br := bufio.NewReader(c)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatal(line, err)
	}
	_, _ = br.ReadString('\n')
	_, _ = io.WriteString(c, "body")
	resp, err := http.ReadResponse(br, nil)
	if err != nil || all(t, resp) != "got body" {
		t.Fatal(err)
	}
	resp = h.ask(h.dial(), "POST", "POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if resp.StatusCode != 401 || !resp.Close {
		t.Fatalf("%d, close %v", resp.StatusCode, resp.Close)
	}
	if resp := h.ask(h.dial(), "POST", "POST / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 0\r\n\r\n"); resp.StatusCode != 417 {
		t.Fatal(resp.StatusCode)
	}
}

func TestContinueIsGivenForAWorkerThatDoesNot(t *testing.T) {
	h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	}))
	c := h.dial()
	br := bufio.NewReader(c)
	_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatal(line, err)
	}
	_, _ = br.ReadString('\n')
	_, _ = io.WriteString(c, "body")
	if resp, err := http.ReadResponse(br, nil); err != nil || all(t, resp) != "body" {
		t.Fatal(err)
	}
}

func TestHTTP10GetsAnAnswerThatItCanRead(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "part ")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "whole")
	}))
	got, err := h.say("GET / HTTP/1.0\r\n\r\n")
	if err != nil || !strings.HasSuffix(got, "\r\n\r\npart whole") || strings.Contains(got, "chunked") {
		t.Fatalf("%q %v", got, err)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	got, err := h.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if err != nil || strings.Count(got, "HTTP/1.1 200") != 3 || !strings.HasSuffix(got, "/3") {
		t.Fatalf("%q %v", got, err)
	}
}

func TestConnectionsAreKeptAliveOnBothSides(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }))
	conns := map[string]bool{}
	c := h.dial()
	for range 5 {
		conns[all(t, h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"))] = true
	}
	if len(conns) != 1 {
		t.Fatalf("%d upstream connections", len(conns))
	}
	if n := h.stats().OpenClients; n != 1 {
		t.Fatalf("%d clients", n)
	}
}

func TestWebSocketsPassAndCountAsInFlight(t *testing.T) {
	ep := app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		c, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, p, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, p) != nil {
				return
			}
		}
	})
	h := open(t, settings(), ep)
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+h.addr+"/chat", nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatal(err)
	}
	for _, text := range []string{"hello", strings.Repeat("x", 200_000)} {
		if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, p, err := c.ReadMessage(); err != nil || string(p) != text {
			t.Fatal(len(p), err)
		}
	}
	if s := h.stats(); s.Tunnels != 1 || s.InFlight != 1 || ep.InFlight() != 1 || s.Requests[101] != 1 {
		t.Fatalf("%+v", s)
	}
	_ = c.Close()
	eventually(t, "the tunnel ends", func() bool { s := h.stats(); return s.Tunnels == 0 && s.InFlight == 0 && ep.InFlight() == 0 })
}

func TestUpgradesKeepHalfClosedDirections(t *testing.T) {
	h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nfirst ")
		b, _ := io.ReadAll(br) // until the client has closed its side
		fmt.Fprintf(c, "all of %s", b)
	}))
	c := h.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\nearly ")
	_, _ = io.WriteString(c, "late")
	_ = c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(b), "first all of early late") {
		t.Fatalf("%q %v", b, err)
	}
}

func TestAStickyClientStaysWithItsWorker(t *testing.T) {
	s := settings()
	s.Sticky = "bulsa"
	h := open(t, s, app(t, "app.1", hello("app.1")), app(t, "app.2", hello("app.2")), app(t, "app.3", hello("app.3")))
	resp, err := browser().Get(h.url("/"))
	if err != nil || len(resp.Cookies()) != 1 || !strings.Contains(resp.Header.Get("Set-Cookie"), "; Path=/; HttpOnly; SameSite=Lax") {
		t.Fatal(err, resp)
	}
	first := all(t, resp)
	for range 6 {
		req, _ := http.NewRequest("GET", h.url("/"), nil)
		req.AddCookie(resp.Cookies()[0])
		again, err := browser().Do(req)
		if err != nil || len(again.Cookies()) != 0 {
			t.Fatal(err, again)
		}
		if body := all(t, again); body != first {
			t.Fatalf("%q after %q", body, first)
		}
	}
}

func TestClientsOnUnixSockets(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	h := openOn(t, ln, settings(), app(t, "app.1", echoHeader))
	c, err := net.Dial("unix", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := all(t, h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"))
	if !strings.Contains(got, "Forwarded: for=unknown;host=a;proto=http") || strings.Contains(got, "X-Forwarded-For") {
		t.Fatal(got)
	}
}

func TestManyAnswersOfManyShapes(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		n := len(r.URL.Path) * 997
		if n%2 == 0 {
			_ = http.NewResponseController(w).Flush()
		}
		for ; n > 0; n -= 333 {
			_, _ = w.Write([]byte(strings.Repeat("x", min(n, 333))))
		}
	}))
	c := browser()
	for n := range 100 {
		path := "/" + strings.Repeat("p", n)
		resp, err := c.Get(h.url(path))
		if err != nil {
			t.Fatal(err)
		}
		if body := all(t, resp); len(body) != len(path)*997 {
			t.Fatalf("%d: %d bytes", n, len(body))
		}
	}
	if d := h.stats().Duration.Quantile(0.99); d <= 0 || d > 5*time.Second {
		t.Fatal(d)
	}
}

// Long bodies take other ways through the proxy than short ones, and other ones
// again while a side is slow. Signals cut its system calls short.
func TestLongBodiesPassUnchanged(t *testing.T) {
	defer signals()()
	const size = 5<<20 + 12345
	body := make([]byte, size)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range body {
		body[i] = byte(random.Uint32())
	}
	worker := app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(slowly(r.Body))
		if err != nil || !bytes.Equal(got, body) {
			http.Error(w, fmt.Sprint(len(got), err), http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(body)
	})
	h := open(t, settings(), worker)
	client := browser()
	for _, method := range []string{"POST", "PUT"} {
		for range 2 { // the connections are used again
			req, _ := http.NewRequest(method, h.url("/"), bytes.NewReader(body))
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(slowly(resp.Body))
			_ = resp.Body.Close()
			if err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%s: %d, %d bytes of %d came back, %v", method, resp.StatusCode, len(got), size, err)
			}
		}
	}
}

// signals sends the process many that the runtime ignores, until it is told to stop.
func signals() (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Microsecond):
				_ = syscall.Kill(syscall.Getpid(), syscall.SIGURG)
			}
		}
	}()
	return func() { close(done) }
}

func TestAConnectionIsUsedAgainAfterALongAnswer(t *testing.T) {
	body := make([]byte, 1<<20)
	var opened atomic.Int32
	worker := wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		opened.Add(1)
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body))
			_, _ = c.Write(body)
		}
	})
	h := open(t, settings(), worker)
	client := browser()
	for range 5 {
		resp, err := client.Get(h.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, resp); len(got) != len(body) {
			t.Fatalf("%d bytes", len(got))
		}
	}
	if n := opened.Load(); n != 1 {
		t.Fatalf("%d connections for 5 requests, one after another", n)
	}
}

// slowly reads with a pause now and then, so that the other side has to wait.
func slowly(r io.Reader) io.Reader { return &pausing{r: r} }

type pausing struct {
	r io.Reader
	n int
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.n++; p.n%64 == 1 {
		time.Sleep(2 * time.Millisecond)
	}
	return p.r.Read(b)
}
