package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// service runs one of testdata/apps as service app of a Compose file, with more
// lines for it (indented by four), and returns its public address.
func service(t *testing.T, name string, lines ...string) (*world, *server, string) {
	t.Helper()
	w := newWorld(t)
	port := freePort(t)
	s := w.up(fmt.Sprintf("name: app\nservices:\n  app:\n    command: [node, %q]\n    ports: [\"127.0.0.1:%s:3000\"]\n%s\n",
		app(t, name), port, strings.Join(lines, "\n")))
	s.says("ready after")
	return w, s, "127.0.0.1:" + port
}

// seen is what forward.js tells about a request.
type seen struct {
	Method, URL       string
	Raw               []string
	Headers, Trailers map[string]string
	Length            int
	SHA256            string
	Connection        int
}

// sees reads an answer of forward.js.
func (c *talk) sees() seen {
	c.t.Helper()
	res, body := c.answer("GET")
	var s seen
	if err := json.Unmarshal([]byte(body), &s); err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("%s %s: %v", res.Status, body, err)
	}
	return s
}

// pattern is what forward.js sends for /bytes.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// TestConnectionsAreKeptAliveOnBothSides: requests of one client, one after the
// other, take one connection to the worker.
func TestConnectionsAreKeptAliveOnBothSides(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js")
	c := dial(t, address)
	c.ask("GET", "/see")
	first := c.sees().Connection
	for range 20 {
		c.ask("GET", "/see")
		if n := c.sees().Connection; n != first {
			t.Fatalf("the worker sees connection %d after %d", n, first)
		}
	}
	c.ask("GET", "/see", "Connection: close")
	if n := c.sees().Connection; n != first {
		t.Errorf("Connection: close of the client went on to the worker")
	}
	c.ended()
	old := dial(t, address)
	old.say("GET /see HTTP/1.0\r\n\r\n")
	if s := old.sees(); s.Headers["host"] != "" && s.Headers["host"] != address {
		t.Errorf("Host of an HTTP/1.0 request: %q", s.Headers["host"])
	}
	old.ended()
}

// TestLargeBodiesPassUnchanged both ways, with a length and chunked.
func TestLargeBodiesPassUnchanged(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	_, _, address := service(t, "forward.js")
	body := pattern(size)
	client := &http.Client{Timeout: patience}
	for _, chunked := range []bool{false, true} {
		var reader io.Reader = bytes.NewReader(body)
		if chunked {
			reader = io.MultiReader(reader) // hides the length
		}
		res, err := client.Post("http://"+address+"/see", "application/octet-stream", reader)
		if err != nil {
			t.Fatal(err)
		}
		var s seen
		err = json.NewDecoder(res.Body).Decode(&s)
		res.Body.Close()
		if err != nil || s.Length != size || s.SHA256 != sum(body) {
			t.Errorf("chunked %v: the worker got %d bytes with %s (%v)", chunked, s.Length, s.SHA256, err)
		}
		if got := s.Headers["transfer-encoding"] == "chunked"; got != chunked || (s.Headers["content-length"] != "") == chunked {
			t.Errorf("chunked %v: framed with %v", chunked, s.Headers)
		}
		query := ""
		if chunked {
			query = "&chunked=1"
		}
		res, err = client.Get("http://" + address + "/bytes?n=" + strconv.Itoa(size) + query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("chunked %v: the client got %d bytes (%v)", chunked, len(got), err)
		}
		if (res.ContentLength < 0) != chunked {
			t.Errorf("chunked %v: the client sees the length %d", chunked, res.ContentLength)
		}
	}
	res, err := client.Post("http://"+address+"/echo", "application/octet-stream", io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, body) {
		t.Errorf("both ways at once: %d bytes came back (%v)", len(got), err)
	}
}

// TestBodiesStream: the worker has the first part before the client has sent the
// second, and the client the first part of the answer.
func TestBodiesStream(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js")
	c := dial(t, address)
	c.ask("POST", "/echo", "Transfer-Encoding: chunked")
	c.say("5\r\nfirst\r\n")
	res := c.head("POST")
	part := make([]byte, 5)
	if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != "first" {
		t.Fatalf("%q, %v", part, err)
	}
	c.say("6;extension=x\r\nsecond\r\n0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "second" {
		t.Fatalf("%q, %v", rest, err)
	}
}

// TestTrailersPassBothWays.
func TestTrailersPassBothWays(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js")
	c := dial(t, address)
	c.ask("POST", "/trailers", "Transfer-Encoding: chunked", "Trailer: X-Check", "TE: trailers")
	c.say("4\r\nbody\r\n0\r\nX-Check: good\r\n\r\n")
	res, body := c.answer("POST")
	if got := res.Trailer.Get("X-Sum"); body != "body" || got != "saw good" {
		t.Errorf("body %q, trailer %q", body, got)
	}
}

// TestContinueIsForTheWorkerToGive: a client that waits for 100 gets it from the
// worker, or its refusal without having sent a byte.
func TestContinueIsForTheWorkerToGive(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js")
	c := dial(t, address)
	c.ask("POST", "/see", "Expect: 100-continue", "Content-Length: 5", "Authorization: me")
	if res := c.head("POST"); res.StatusCode != http.StatusContinue {
		t.Fatalf("%s instead of 100", res.Status)
	}
	c.say("hello")
	if s := c.sees(); s.Length != 5 || s.SHA256 != sum([]byte("hello")) {
		t.Errorf("the worker got %+v", s)
	}
	c.ask("POST", "/see", "Expect: 100-continue", "Content-Length: 5")
	if res, body := c.answer("POST"); res.StatusCode != http.StatusUnauthorized || body != "who are you?" {
		t.Errorf("%s %q", res.Status, body)
	}
	c.ended() // nobody knows whether the body will come
}

// TestAnswersWithoutABody leave the connection in step.
func TestAnswersWithoutABody(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js")
	c := dial(t, address)
	c.ask("HEAD", "/bytes?n=1000")
	if res, body := c.answer("HEAD"); body != "" || res.ContentLength != 1000 {
		t.Errorf("HEAD: length %d, body %q", res.ContentLength, body)
	}
	for _, code := range []int{204, 304} {
		c.ask("GET", "/status?code="+strconv.Itoa(code))
		if res, body := c.answer("GET"); res.StatusCode != code || body != "" || res.Header.Get("Etag") != `"a"` ||
			len(res.TransferEncoding) > 0 || code == 204 && res.Header.Get("Content-Length") != "" {
			t.Errorf("%d: %s %v %q", code, res.Status, res.Header, body)
		}
	}
	c.ask("GET", "/hints")
	if res := c.head("GET"); res.StatusCode != http.StatusEarlyHints || res.Header.Get("Link") != "</style.css>; rel=preload" {
		t.Errorf("no early hints but %s %v", res.Status, res.Header)
	}
	if _, body := c.answer("GET"); body != "page" {
		t.Errorf("after the hints: %q", body)
	}
}

// TestAnyProtocolCanBeUpgradedTo, and what follows the request at once is not lost.
func TestAnyProtocolCanBeUpgradedTo(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js")
	c := dial(t, address)
	c.ask("GET", "/", "Connection: Upgrade", "Upgrade: tar/2", "Sec-Thing: 1")
	res := c.head("GET")
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != "tar/2" {
		t.Fatalf("%s %v", res.Status, res.Header)
	}
	big := pattern(1 << 20)
	go func() {
		c.conn.Write(big)
		c.conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c.in)
	if want := append([]byte("welcome "), big...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back, want %d (%v)", len(got), len(want), err)
	}
}

// TestWhoAsksCannotBeForged: what a client says about its origin is replaced;
// what it says about its connection stays there.
func TestWhoAsksCannotBeForged(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js")
	c := dialFrom(t, "127.0.0.9", address)
	c.ask("GET", "/hop?x=%2F..%2e&y=a+b", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "Forwarded: for=1.2.3.4",
		"Connection: keep-alive, X-Secret, X-Forwarded-For", "X-Secret: mine", "Keep-Alive: timeout=9", "Proxy-Authorization: x", "TE: gzip", "Cookie: a=b", "X-Other: \tkept ")
	res, body := c.answer("GET")
	var s seen
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"host": "shop.example", "x-forwarded-for": "127.0.0.9", "x-forwarded-proto": "http", "x-forwarded-host": "shop.example",
		"x-secret": "", "keep-alive": "", "proxy-authorization": "", "te": "", "cookie": "a=b", "x-other": "kept",
	} {
		if got := s.Headers[name]; got != want {
			t.Errorf("the worker sees %s: %q, want %q", name, got, want)
		}
	}
	if s.URL != "/hop?x=%2F..%2e&y=a+b" {
		t.Errorf("the target arrived as %q", s.URL)
	}
	if f, told := s.Headers["forwarded"]; told { // the preload has read it
		t.Errorf("Forwarded is %q", f)
	}
	if res.Header.Get("X-Private") != "" || res.Header.Get("Keep-Alive") != "" || res.Header.Get("X-Public") != "for all" {
		t.Errorf("the client sees %v", res.Header)
	}
}

// TestATrustedProxyIsBelieved and added to; everybody else is not.
func TestATrustedProxyIsBelieved(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js", `    x-bulsa: {trusted_proxies: ["127.0.0.7/32"]}`)
	said := []string{"X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https", "X-Forwarded-Host: www.example", "Forwarded: for=203.0.113.5;proto=https"}
	c := dialFrom(t, "127.0.0.7", address)
	c.ask("GET", "/see", said...)
	s := c.sees()
	for name, want := range map[string]string{
		"x-forwarded-for": "203.0.113.5, 127.0.0.7", "x-forwarded-proto": "https", "x-forwarded-host": "www.example", "host": "shop.example",
	} {
		if got := s.Headers[name]; got != want {
			t.Errorf("behind a trusted proxy, %s is %q, want %q", name, got, want)
		}
	}
	if f := s.Headers["forwarded"]; f != "for=203.0.113.5;proto=https" {
		t.Errorf("behind a trusted proxy, Forwarded is %q", f)
	}
	c = dialFrom(t, "127.0.0.8", address)
	c.ask("GET", "/see", said...)
	if s := c.sees(); s.Headers["x-forwarded-for"] != "127.0.0.8" || s.Headers["x-forwarded-proto"] != "http" {
		t.Errorf("somebody else is believed: %v", s.Headers)
	}
}

// TestSlowAndSilentSides meet a time-out, each with its own answer.
func TestSlowAndSilentSides(t *testing.T) {
	t.Parallel()
	_, s, address := service(t, "forward.js", `    x-bulsa: {timeouts: {header: 300ms, idle: 500ms, answer: 400ms, connect: 300ms}, hold: 0s}`)
	within := func(what string, least time.Duration, do func()) {
		t.Helper()
		began := time.Now()
		do()
		if took := time.Since(began); took < least || took > least+10*time.Second {
			t.Errorf("%s took %s, want %s", what, took, least)
		}
	}
	within("a head that does not end", 300*time.Millisecond, func() {
		c := dial(t, address)
		c.say("GET / HTTP/1.1\r\nHost: x\r\nX-Slow:")
		c.refused(http.StatusRequestTimeout, "head")
		c.ended()
	})
	within("a client that asks no more", 500*time.Millisecond, func() {
		c := dial(t, address)
		c.ask("GET", "/see")
		c.sees()
		c.ended()
	})
	within("a body that stops", 500*time.Millisecond, func() {
		c := dial(t, address)
		c.ask("POST", "/see", "Content-Length: 100")
		c.say("a part")
		c.refused(http.StatusRequestTimeout, "body")
		c.ended()
	})
	within("a worker without an answer", 400*time.Millisecond, func() {
		c := dial(t, address)
		c.ask("GET", "/never")
		c.refused(http.StatusGatewayTimeout, "app.1 did not answer within 400ms")
		c.ask("GET", "/see") // the connection goes on
		c.sees()
	})
	s.says("did not answer within 400ms")
}

// TestAStoppedWorkerIsNotWaitedForLongerThanConnect.
func TestAStoppedWorkerIsNotWaitedForLongerThanConnect(t *testing.T) {
	t.Parallel()
	w, s, address := service(t, "forward.js", `    x-bulsa: {timeouts: {connect: 300ms}, hold: 0s}`)
	pid := w.worker("app.1").PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGCONT)
	c := dial(t, address)
	c.ask("POST", "/see", "Content-Length: 2")
	c.say("ab")
	c.refused(http.StatusServiceUnavailable, "app.1 cannot be reached") // nobody has begun it
	s.says("app.1 cannot be reached")
}

// TestLimitsOfSize refuse what is too large, and only that.
func TestLimitsOfSize(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js", `    x-bulsa: {limits: {body: 1000, header: 2000}}`)
	c := dial(t, address)
	c.ask("POST", "/see", "Content-Length: 1000")
	c.say(strings.Repeat("x", 1000))
	if n := c.sees().Length; n != 1000 {
		t.Errorf("%d bytes arrived", n)
	}
	c.ask("POST", "/see", "Content-Length: 1001")
	c.refused(http.StatusRequestEntityTooLarge, "1000 bytes")
	c.ended()
	c = dial(t, address)
	c.ask("POST", "/see", "Transfer-Encoding: chunked")
	c.say("3e9\r\n" + strings.Repeat("x", 1001) + "\r\n0\r\n\r\n")
	c.refused(http.StatusRequestEntityTooLarge, "1000 bytes")
	c.ended()
	c = dial(t, address)
	c.ask("GET", "/see", "X-Large: "+strings.Repeat("x", 2000))
	c.refused(http.StatusRequestHeaderFieldsTooLarge, "2000 bytes")
	c.ended()
}

// TestARequestWaitsForAWorker: while none lives, requests are held; the next
// worker answers them.
func TestARequestWaitsForAWorker(t *testing.T) {
	t.Parallel()
	w, _, address := service(t, "forward.js", "    deploy: {replicas: 2}", `    x-bulsa: {restart: {delay: 1s, jitter: 0}}`)
	idle := dial(t, address)
	idle.ask("GET", "/see")
	idle.sees()
	for _, r := range w.ps("") {
		syscall.Kill(r.PID, syscall.SIGKILL)
	}
	var waiting []*talk
	for range 10 {
		c := dial(t, address)
		c.ask("GET", "/see")
		waiting = append(waiting, c)
	}
	idle.ask("POST", "/see", "Content-Length: 4")
	idle.say("body")
	began := time.Now()
	for _, c := range append(waiting, idle) {
		c.sees()
	}
	t.Logf("answered after %s", time.Since(began).Round(time.Millisecond))
}

// TestWithoutHoldTheRefusalIsInstant and says when to come back.
func TestWithoutHoldTheRefusalIsInstant(t *testing.T) {
	t.Parallel()
	w, s, address := service(t, "forward.js", `    x-bulsa: {hold: 0s, restart: {delay: 30s, max_delay: 30s}}`)
	c := dial(t, address)
	c.ask("GET", "/see")
	c.sees()
	syscall.Kill(w.worker("app.1").PID, syscall.SIGKILL)
	w.becomes("app.1", "backoff")
	for _, c := range []*talk{c, dial(t, address)} {
		began := time.Now()
		c.ask("GET", "/see")
		res, body := c.answer("GET")
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" || !strings.HasPrefix(body, "503 app: no worker is ready") {
			t.Errorf("%s %v %q", res.Status, res.Header, body)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("refused after %s", took)
		}
	}
	s.says("no worker is ready")
}

// TestWhatCanBeReadInTwoWaysIsRefused with 400, and the connection ends.
func TestWhatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	t.Parallel()
	_, _, address := service(t, "forward.js")
	head := "POST /see HTTP/1.1\r\nHost: x\r\n"
	for name, text := range map[string]string{
		"length and chunked":    head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":           head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"two equal lengths":     head + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"a list of lengths":     head + "Content-Length: 5, 5\r\n\r\nhello",
		"a signed length":       head + "Content-Length: +5\r\n\r\nhello",
		"a folded line":         head + "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"bare line feeds":       "POST /see HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
		"one bare line feed":    head + "X-A: b\nContent-Length: 0\r\n\r\n",
		"a bare CR":             head + "X-A: b\rX-B: c\r\n\r\n",
		"a zero byte":           head + "X-A: \x00\r\n\r\n",
		"space before colon":    head + "Content-Length : 5\r\n\r\nhello",
		"two hosts":             head + "Host: y\r\n\r\n",
		"no host":               "GET /see HTTP/1.1\r\n\r\n",
		"a chunk with a sign":   head + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
		"a chunk that spills":   head + "Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
		"an upgrade and a body": head + "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, address)
			c.say(text + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
			c.refused(http.StatusBadRequest, "")
			c.ended()
		})
	}
	c := dial(t, address)
	c.say(head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")
	c.refused(http.StatusNotImplemented, "chunked")
	c.ended()
}

// TestAClientThatLeavesEndsItsRequest: the worker is not kept busy for nobody.
func TestAClientThatLeavesEndsItsRequest(t *testing.T) {
	t.Parallel()
	w, _, address := service(t, "forward.js")
	var gone []*talk
	for range 5 {
		a, b := dial(t, address), dial(t, address)
		a.ask("GET", "/never")
		b.ask("GET", "/half")
		b.head("GET")
		gone = append(gone, a, b)
	}
	eventually(t, "ten requests are in flight", func() bool { return w.inFlight() == 10 })
	for _, c := range gone {
		c.conn.Close()
	}
	eventually(t, "none is in flight", func() bool { return w.inFlight() == 0 })
	if states := w.states(""); states != "app.1 ready" {
		t.Error(states)
	}
}

// inFlight is the number of requests that the project's workers have.
func (w *world) inFlight() int {
	w.t.Helper()
	n := 0
	for _, r := range w.ps("") {
		n += r.InFlight
	}
	return n
}
