package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bulsa/internal/balance"
)

// refuses is a worker that cannot be connected to.
type refuses struct{}

func (refuses) Connect(context.Context) (net.Conn, error) {
	return nil, errors.New("connection refused")
}

func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

func readWhole(br *bufio.Reader) (string, error) {
	r, err := http.ReadRequest(br)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// failing are the ways to fail a request before an answer has begun.
var failing = []struct {
	name    string
	worker  func(t *testing.T) *balance.Endpoint
	reached bool // the worker may have seen the request
}{
	{"refuses connections", func(*testing.T) *balance.Endpoint { return endpoint("app.1", refuses{}) }, false},
	{"resets after reading", func(t *testing.T) *balance.Endpoint {
		return wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) { _, _ = readWhole(br); reset(c) })
	}, true},
	{"closes after reading", func(t *testing.T) *balance.Endpoint {
		return wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) { _, _ = readWhole(br) })
	}, true},
	{"breaks off in the head", func(t *testing.T) *balance.Endpoint {
		return wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
			_, _ = readWhole(br)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-")
		})
	}, true},
}

func TestARequestThatAWorkerFailedGoesToAnother(t *testing.T) {
	for _, f := range failing {
		for _, q := range []struct{ method, body string }{
			{"GET", ""}, {"PUT", "body"}, {"PUT", strings.Repeat("x", 60_000)}, {"DELETE", ""}, {"POST", "body"}, {"POST", ""}, {"PATCH", "body"},
		} {
			t.Run(fmt.Sprintf("%s %s with %d bytes", f.name, q.method, len(q.body)), func(t *testing.T) {
				good := app(t, "app.2", func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					fmt.Fprintf(w, "got %d", len(b))
				})
				h := open(t, settings(), f.worker(t), good)
				idempotent := q.method != "POST" && q.method != "PATCH"
				for range 2 { // round robin: one of the two meets the bad worker first
					req, _ := http.NewRequest(q.method, h.url("/x"), strings.NewReader(q.body))
					resp, err := browser().Do(req)
					if err != nil {
						t.Fatal(err)
					}
					body := all(t, resp)
					lost := resp.StatusCode == 502 && strings.HasPrefix(body, "502 app: app.1 ") && f.reached && !idempotent
					if !lost && body != fmt.Sprint("got ", len(q.body)) {
						t.Fatalf("%d %s", resp.StatusCode, body)
					}
				}
				eventually(t, "it is counted", func() bool {
					s, lost := h.stats(), f.reached && !idempotent
					return (s.Requests[502] > 0) == lost && (s.Retries > 0) != lost && s.Workers["app.1"].Errors > 0
				})
			})
		}
	}
}

// Its trailer is declared and sent again, too.
func TestAChunkedBodyIsSentAgain(t *testing.T) {
	h := open(t, settings(), failing[1].worker(t), app(t, "app.2", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, r.Trailer.Get("X-Sum"))
	}))
	for range 2 {
		req, _ := http.NewRequest("PUT", h.url("/"), io.NopCloser(strings.NewReader("in chunks")))
		req.Trailer = http.Header{"X-Sum": {", 42"}}
		resp, err := browser().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, resp); got != "in chunks, 42" {
			t.Fatal(got)
		}
	}
}

func TestABodyTooLargeToRememberIsNotSentTwice(t *testing.T) {
	h := open(t, settings(), failing[2].worker(t), app(t, "app.2", hello("app.2")))
	codes := map[int]int{}
	for range 2 {
		req, _ := http.NewRequest("PUT", h.url("/"), strings.NewReader(strings.Repeat("x", 1<<20)))
		resp, err := browser().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = all(t, resp)
		codes[resp.StatusCode]++
	}
	if codes[200] != 1 || codes[502] != 1 {
		t.Fatal(codes)
	}
}

// A worker that answers once on each connection, and on the second request
// closes or resets it: what Node does to a connection it thinks idle.
func TestAConnectionThatDiesWhenReusedLosesNoIdempotentRequest(t *testing.T) {
	for _, end := range []struct {
		name string
		do   func(c net.Conn, br *bufio.Reader)
	}{
		{"resets before reading", func(c net.Conn, br *bufio.Reader) { _, _ = br.Peek(1); reset(c) }},
		{"reads, then closes", func(c net.Conn, br *bufio.Reader) { _, _ = readWhole(br) }},
	} {
		for _, method := range []string{"GET", "PUT"} {
			t.Run(end.name+" "+method, func(t *testing.T) {
				h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
					body, err := readWhole(br)
					if err != nil {
						return
					}
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
					end.do(c, br)
				}))
				c := browser()
				for range 20 {
					req, _ := http.NewRequest(method, h.url("/"), strings.NewReader("body"))
					resp, err := c.Do(req)
					if err != nil || resp.StatusCode != 200 || all(t, resp) != "body" {
						t.Fatal(err, resp)
					}
				}
			})
		}
	}
}

func TestAConnectionThatTheWorkerClosedWhileIdleIsNotReused(t *testing.T) {
	closed := make(chan struct{}, 100)
	h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		_, _ = readWhole(br)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_ = c.Close()
		closed <- struct{}{}
	}))
	for range 5 {
		resp, err := browser().Post(h.url("/"), "text/plain", strings.NewReader("once"))
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(err, resp)
		}
		_ = resp.Body.Close()
		<-closed
	}
	if s := h.stats(); s.Retries != 0 {
		t.Fatalf("%d retries", s.Retries)
	}
}

// brokenAnswers are answers that end too early.
var brokenAnswers = map[string]string{
	"length":  "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part",
	"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly a part",
	"close":   "HTTP/1.1 200 OK\r\n\r\nonly a part",
}

func TestAnAnswerThatBreaksOffIsNeverTakenForWhole(t *testing.T) {
	for name, part := range brokenAnswers {
		for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
			t.Run(name+" to "+version, func(t *testing.T) {
				flushed := make(chan struct{})
				h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
					_, _ = readWhole(br)
					_, _ = io.WriteString(c, part)
					<-flushed
					reset(c)
				}))
				c := h.dial()
				_, _ = io.WriteString(c, "GET / "+version+"\r\nHost: a\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || resp.StatusCode != 200 {
					t.Fatal(err)
				}
				close(flushed)
				if b, err := io.ReadAll(resp.Body); err == nil {
					t.Fatalf("%q was taken for whole", b)
				}
				eventually(t, "it is counted as the worker's error", func() bool { return h.stats().Workers["app.1"].Errors == 1 })
				if s := h.stats(); s.Retries != 0 {
					t.Fatal("an answer that had begun was asked for again")
				}
				if !strings.Contains(h.log.String(), "answer broken off") {
					t.Fatal("not logged")
				}
			})
		}
	}
}

func TestRequestsAreHeldUntilAWorkerIsReady(t *testing.T) {
	h := open(t, settings())
	type result struct {
		body string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		resp, err := browser().Get(h.url("/"))
		if err != nil {
			got <- result{err: err}
			return
		}
		b, err := io.ReadAll(resp.Body)
		got <- result{string(b), err}
	}()
	eventually(t, "the client is there", func() bool { return h.stats().OpenClients == 1 })
	h.pool.Publish([]*balance.Endpoint{app(t, "app.1", hello("app.1"))})
	if r := <-got; r.err != nil || r.body != "hello from app.1" {
		t.Fatal(r)
	}
}

func TestTheHoldEndsWith503(t *testing.T) {
	s := settings()
	s.Hold = 20 * time.Millisecond
	h := open(t, s)
	resp, err := browser().Get(h.url("/x"))
	if err != nil {
		t.Fatal(err)
	}
	body := all(t, resp)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || body != "503 app: no worker is ready; waited 20ms (GET /x)\n" {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if !strings.Contains(h.log.String(), "no worker is ready") {
		t.Fatal("not logged")
	}
}

func TestWhenAllTriesFailTheAnswerSaysWhoAndWhy(t *testing.T) {
	s := settings()
	s.Hold = 50 * time.Millisecond
	h := open(t, s, endpoint("app.1", refuses{}), endpoint("app.2", refuses{}))
	status, body := h.get("/x")
	if status != 503 || !strings.HasSuffix(body, "cannot be reached: connection refused (GET /x)\n") || !strings.Contains(body, "waited 50ms; before, app.") {
		t.Fatalf("%d %s", status, body)
	}
}

// A worker that lives and ends the connection in place of an answer may do so because
// of the request.
func TestALivingWorkerThatClosesInPlaceOfAnAnswerIsAskedTwiceAtMost(t *testing.T) {
	for _, c := range []struct {
		name, head string
		asked      int32
	}{
		{"GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2},
		{"upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 1},
		{"POST", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 1},
	} {
		for _, used := range []string{"new connections", "connections in use"} {
			t.Run(c.name+" over "+used, func(t *testing.T) {
				var asked atomic.Int32
				var workers []*balance.Endpoint
				for i := range 3 {
					worker := wire(t, fmt.Sprintf("app.%d", i+1), func(_ int, c net.Conn, br *bufio.Reader) {
						for {
							req, err := http.ReadRequest(br)
							if err != nil {
								return
							}
							if req.URL.Path == "/" {
								asked.Add(1)
								return
							}
							_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						}
					})
					workers = append(workers, endpoint(worker.Config().Worker, living{worker.Config().Connector.(dialer)}))
				}
				h := open(t, settings(), workers...)
				if used == "connections in use" {
					for range 3 {
						h.get("/warm")
					}
				}
				conn := h.dial()
				resp := h.ask(conn, "GET", c.head)
				if body := all(t, resp); resp.StatusCode != 502 || asked.Load() != c.asked {
					t.Errorf("%d after %d workers: %s", resp.StatusCode, asked.Load(), body)
				}
			})
		}
	}
}

// living is the address of a worker that is known to live.
type living struct{ dialer }

func (d living) Connect(ctx context.Context) (net.Conn, error) {
	c, err := d.dialer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return lives{c.(*net.TCPConn)}, nil
}

type lives struct{ *net.TCPConn }

func (lives) Died() bool { return false }

// TestWhatKillsWorkersIsGivenToTwoAndThenToOne where requests are the same, and where
// they share only their path after four deaths.
func TestWhatKillsWorkersIsGivenToTwoAndThenToOne(t *testing.T) {
	for _, c := range []struct {
		alike bool
		dead  []int // after each request
	}{{true, []int{2, 3, 4}}, {false, []int{2, 4, 5}}} {
		giveWhatKills(t, c.alike, c.dead)
	}
}

func giveWhatKills(t *testing.T, alike bool, deaths []int) {
	t.Helper()
	h := open(t, settings())
	f := &fleet{t: t, pool: h.pool}
	for i := range 6 {
		f.live = append(f.live, newMortal(t, fmt.Sprintf("app.%d", i+1)))
	}
	f.publish()
	for n, want := range deaths {
		query := 0
		if !alike {
			query = n
		}
		if status, body := h.get("/crash?n=" + fmt.Sprint(query)); status != 502 || !strings.Contains(body, "so no other gets it") {
			t.Errorf("%d %s", status, body)
		}
		dead := 0
		for _, m := range f.live {
			if m.isDead() {
				dead++
			}
		}
		if dead != want {
			t.Errorf("after %d such requests %d workers are dead, want %d", n+1, dead, want)
		}
	}
	if status, body := h.get("/"); status != 200 {
		t.Errorf("another request: %d %s", status, body)
	}
}

func TestASilentWorkerIs504(t *testing.T) {
	s := settings()
	s.AnswerTimeout = 50 * time.Millisecond
	h := open(t, s, wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) }))
	status, body := h.get("/x")
	if status != 504 || body != "504 app: app.1 did not answer within 50ms (GET /x)\n" {
		t.Fatalf("%d %s", status, body)
	}
}

func TestAnAnswerThatIsNotHTTPIs502(t *testing.T) {
	for _, answer := range []string{"SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n"} {
		h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
			_, _ = readWhole(br)
			_, _ = io.WriteString(c, answer)
		}))
		if status, body := h.get("/"); status != 502 || !strings.Contains(body, "a malformed answer") {
			t.Fatalf("%d %s", status, body)
		}
	}
}

func TestAClientThatLeavesIsNotTheWorkersFault(t *testing.T) {
	cancelled := make(chan struct{})
	ep := app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(cancelled) })
	h := open(t, settings(), ep)
	c := h.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "the worker has it", func() bool { return ep.InFlight() == 1 })
	_ = c.Close()
	<-cancelled
	eventually(t, "it is counted", func() bool { return h.stats().Requests[499] == 1 && h.stats().InFlight == 0 && ep.InFlight() == 0 })
	if n := h.stats().Workers["app.1"].Errors; n != 0 {
		t.Fatalf("%d errors", n)
	}
}

func TestAClientThatLeavesAStreamEndsIt(t *testing.T) {
	cancelled := make(chan struct{})
	h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(cancelled)
	}))
	c := h.dial()
	_ = h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.Close()
	<-cancelled
}

func TestIdleConnectionsOfAnEndpointThatLeftAreClosed(t *testing.T) {
	for name, leave := range map[string]func(h *house){
		"its pool": func(h *house) { h.pool.Publish(nil) },
		"with its service, which nobody asks for any more": func(h *house) { h.server.SetTable(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{})
			h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
				_, _ = readWhole(br)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				_, _ = br.ReadByte()
				close(closed)
			}))
			h.get("/")
			leave(h)
			<-closed
			eventually(t, "the endpoint is forgotten", func() bool {
				known := 0
				h.server.pools.byEndpoint.Range(func(any, any) bool { known++; return true })
				return known == 0
			})
		})
	}
}

// fleet is a service whose workers are killed and replaced all the time.
type fleet struct {
	t    *testing.T
	pool *balance.Pool
	live []*mortal
}

// mortal is a worker that can be killed: everything it holds is reset.
type mortal struct {
	ln    net.Listener
	ep    *balance.Endpoint
	mu    sync.Mutex
	conns map[net.Conn]bool
	dead  bool
}

func newMortal(t *testing.T, name string) *mortal {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mortal{ln: ln, conns: make(map[net.Conn]bool)}
	m.ep = endpoint(name, m)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	return m
}

// Connect gives connections that tell of the worker's death.
func (m *mortal) Connect(ctx context.Context) (net.Conn, error) {
	c, err := dialer{"tcp", m.ln.Addr().String()}.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return mortalConn{c.(*net.TCPConn), m}, nil
}

type mortalConn struct {
	*net.TCPConn
	worker *mortal
}

func (c mortalConn) Died() bool { return c.worker.isDead() }

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

func (m *mortal) serve(c net.Conn) {
	m.mu.Lock()
	m.conns[c] = true
	dead := m.dead
	m.mu.Unlock()
	if dead {
		reset(c)
		return
	}
	br := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if req.URL.Path == "/crash" {
			m.kill()
			return
		}
		// one write, so that an answer is either begun and whole or not begun
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalive"); err != nil {
			return
		}
	}
}

func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	_ = m.ln.Close()
	for c := range m.conns {
		reset(c)
	}
}

func (f *fleet) publish() {
	var list []*balance.Endpoint
	for _, m := range f.live {
		list = append(list, m.ep)
	}
	f.pool.Publish(list)
}

// replace kills one worker and respawns it a moment later.
func (f *fleet) replace(i int) {
	f.live[i].kill()
	f.publish() // the dead one is still listed for a while, as in life
	f.live[i] = newMortal(f.t, fmt.Sprintf("app.%d", i+1))
	f.publish()
}

func TestNoGETIsLostWhileWorkersAreKilled(t *testing.T) {
	h := open(t, settings())
	f := &fleet{t: t, pool: h.pool}
	for i := range 4 {
		f.live = append(f.live, newMortal(t, fmt.Sprintf("app.%d", i+1)))
	}
	f.publish()
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var done, lost atomic.Int64
	for range 64 {
		c := h.dial()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		clients.Go(func() {
			br := bufio.NewReader(c)
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					lost.Add(1)
					t.Error(err)
					return
				}
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "alive" {
					lost.Add(1)
					t.Error(resp.StatusCode, string(b), err)
				}
				done.Add(1)
			}
		})
	}
	for n := range 40 { // each after two rounds of the clients
		enough := done.Load() + 128
		eventually(t, "they are answered", func() bool { return done.Load() >= enough })
		f.replace(n % 4)
	}
	close(stop)
	clients.Wait()
	for _, m := range f.live {
		m.kill()
	}
	t.Logf("%d requests, %d lost, %d retries, p99 %v", done.Load(), lost.Load(), h.stats().Retries, h.stats().Duration.Quantile(0.99))
}

// deaf is a worker that takes connections and requests, and closes them unread.
type deaf struct{ knows, promises bool }

func (d deaf) Connect(context.Context) (net.Conn, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	go func() {
		_ = socketEar{rawConn(theirs)}.awaitSome()
		_ = theirs.Close()
	}()
	switch {
	case d.promises:
		return greeter{deafConn{ours}, true}, nil
	case d.knows:
		return deafConn{ours}, nil
	}
	return ours, nil
}

func socketpair() (a, b *net.UnixConn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			return nil, nil, err
		}
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1], nil
}

// deafConn is a connection whose end tells what was left unread.
type deafConn struct{ *net.UnixConn }

func (deafConn) LeftUnread(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// greeter is one whose worker may say first that it tells what it begins.
type greeter struct {
	deafConn
	promised bool
}

const greetingLine = "hello, I tell\n"

func (greeter) Greeting() string { return greetingLine }
func (greeter) CutOff() bool     { return false }
func (g greeter) WillTell() bool { return g.promised }

func TestWhatAWorkerLeftUnreadGoesToAnotherWhateverTheMethod(t *testing.T) {
	for _, c := range []struct {
		knows, promises bool
		size            int
		want            int
	}{
		{true, false, 10, 200}, {true, false, 0, 200}, {true, false, 40_000, 502}, {false, false, 10, 502}, // 40,000 are more than one piece
		{true, true, 40_000, 200}, {true, true, 4 << 20, 200},
	} {
		takes := func(_ http.ResponseWriter, r *http.Request) {
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != int64(c.size) {
				t.Errorf("%+v: app.2 got %d bytes, %v", c, n, err)
			}
		}
		h := open(t, settings(), endpoint("app.1", deaf{c.knows, c.promises}), app(t, "app.2", takes))
		resp, err := browser().Post(h.url("/"), "text/plain", strings.NewReader(strings.Repeat("x", c.size)))
		if err != nil {
			t.Fatal(err)
		}
		if body := all(t, resp); resp.StatusCode != c.want {
			t.Errorf("%+v: %d %s", c, resp.StatusCode, body)
		}
	}
}

func TestAShortBodyRightBehindItsHeadIsSentWithIt(t *testing.T) {
	h := open(t, settings(), endpoint("app.1", deaf{knows: true}), app(t, "app.2", hello("app.2")))
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
	_, _ = io.WriteString(c, "body")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(err, resp)
	}
}

// telling is a worker's address on whose connections balance.Begun is given.
type telling struct{ dialer }

func (d telling) Connect(ctx context.Context) (net.Conn, error) {
	c, err := d.dialer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return tells{c.(*net.TCPConn)}, nil
}

type tells struct{ *net.TCPConn }

func (tells) Tells() bool { return true }
func (tells) Died() bool  { return false }

func TestARequestThatAWorkerHasReadButNotBegunGoesToAnother(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		begins bool
		want   int
	}{
		"never begun": {"POST", false, 200}, "begun": {"POST", true, 502}, "begun, but may happen twice": {"PUT", true, 200},
	} {
		t.Run(name, func(t *testing.T) {
			worker := wire(t, "app.1", func(n int, conn net.Conn, br *bufio.Reader) {
				_, _ = readWhole(br)
				if n == 1 && !c.begins {
					return
				}
				_, _ = io.WriteString(conn, balance.Begun)
				if n > 1 {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
				}
			})
			h := open(t, settings(), endpoint("app.1", telling{worker.Config().Connector.(dialer)}))
			req, _ := http.NewRequest(c.method, h.url("/"), io.NopCloser(strings.NewReader("body")))
			resp, err := browser().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if body := all(t, resp); resp.StatusCode != c.want {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
}
