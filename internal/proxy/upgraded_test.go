package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"bulsa/internal/balance"
)

const restarted = "\x88\x02\x03\xf4" // a close frame with 1012, RFC 6455

func TestFramesAreFollowed(t *testing.T) {
	long := strings.Repeat("x", 300)
	stream := "\x81\x02hi" + "\x01\x00" + "\x89\x00" + "\x82\x7e\x01\x2c" + long + "\x82\x7f\x00\x00\x00\x00\x00\x00\x01\x2c" + long + "\x81\x83mask123"
	ends := map[int]bool{0: true}
	for _, n := range []int{4, 2, 2, 4 + 300, 10 + 300, 9} {
		last := 0
		for at := range ends {
			last = max(last, at)
		}
		ends[last+n] = true
	}
	for _, step := range []int{1, 3, len(stream)} {
		var f frames
		for at := 0; at < len(stream); at += step {
			f.pass([]byte(stream[at:min(at+step, len(stream))]))
			if at := min(at+step, len(stream)); f.between() != ends[at] {
				t.Fatalf("after %d bytes, %d at a time: between frames is %v", at, step, f.between())
			}
		}
		if f.closed {
			t.Error("closed without a close frame")
		}
		f.pass([]byte(restarted))
		if !f.closed || !f.between() {
			t.Error("the close frame was not seen")
		}
	}
}

// upgrading is a worker that switches protocols and then does what it is told.
func upgrading(t *testing.T, protocol string, then func(c net.Conn, br *bufio.Reader)) *house {
	t.Helper()
	return open(t, settings(), upgrades(t, protocol, then))
}

func upgrades(t *testing.T, protocol string, then func(c net.Conn, br *bufio.Reader)) *balance.Endpoint {
	t.Helper()
	return wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
		then(c, br)
	})
}

func (h *house) upgrade(protocol string) (net.Conn, *bufio.Reader) {
	h.t.Helper()
	c := h.dial()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatalf("%v, %v", resp, err)
	}
	return c, br
}

func TestAWebSocketWhoseWorkerIsGoneIsToldSo(t *testing.T) {
	for what, c := range map[string]struct {
		protocol, sends string
		end             func(net.Conn)
		want            string
		cut             uint64
	}{
		"reset":                  {"websocket", "\x81\x02hi", reset, "\x81\x02hi" + restarted, 1},
		"closed without a word":  {"websocket", "\x81\x02hi", func(c net.Conn) { c.Close() }, "\x81\x02hi" + restarted, 1},
		"closed as it should be": {"websocket", "\x88\x02\x03\xe8", func(c net.Conn) { c.Close() }, "\x88\x02\x03\xe8", 0},
		"gone inside of a frame": {"websocket", "\x81\x05hi", func(c net.Conn) { c.Close() }, "\x81\x05hi", 1},
		"another protocol":       {"chat", "hi", func(c net.Conn) { c.Close() }, "hi", 0},
	} {
		t.Run(what, func(t *testing.T) {
			seen := make(chan struct{})
			h := upgrading(t, c.protocol, func(conn net.Conn, _ *bufio.Reader) {
				_, _ = io.WriteString(conn, c.sends)
				<-seen
				c.end(conn)
			})
			client, br := h.upgrade(c.protocol)
			first := make([]byte, len(c.sends))
			_, _ = io.ReadFull(br, first)
			close(seen)
			rest, _ := io.ReadAll(br)
			_ = client.Close()
			if got := string(first) + string(rest); got != c.want {
				t.Errorf("the client got %q, want %q", got, c.want)
			}
			eventually(t, "it is over and counted", func() bool { s := h.stats(); return s.Tunnels == 0 && s.Cut == c.cut })
		})
	}
}

func TestAClientThatLeavesIsNotCut(t *testing.T) {
	h := upgrading(t, "websocket", func(_ net.Conn, br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) })
	c, _ := h.upgrade("websocket")
	_ = c.Close()
	eventually(t, "it is over", func() bool { return h.stats().Tunnels == 0 })
	if n := h.stats().Cut; n != 0 {
		t.Errorf("%d were cut", n)
	}
}

// An upgraded connection lives until the deadline of the drain, and then hears
// why it ends.
func TestTheDrainEndsWebSocketsAtItsDeadline(t *testing.T) {
	patient := settings()
	patient.WebSockets = 1000 * time.Hour
	h := open(t, patient, upgrades(t, "websocket", func(c net.Conn, br *bufio.Reader) { _, _ = io.Copy(c, br) }))
	c, br := h.upgrade("websocket")
	drain, deadline := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- h.server.Shutdown(drain) }()
	eventually(t, "it shuts down", h.server.closing.Load)
	_, _ = io.WriteString(c, "\x81\x02hi")
	echo := make([]byte, 4)
	if _, err := io.ReadFull(br, echo); err != nil || string(echo) != "\x81\x02hi" {
		t.Fatalf("during the drain: %q, %v", echo, err)
	}
	deadline()
	if rest, _ := io.ReadAll(br); string(rest) != restarted {
		t.Errorf("at the deadline the client got %q", rest)
	}
	_ = c.Close()
	if err, ok := errors.AsType[*CutOff](<-over); !ok || !errors.Is(err, context.Canceled) || err.Requests != 0 || err.Upgraded != 1 {
		t.Error(err)
	}
	if n := h.stats().Cut; n != 1 {
		t.Errorf("%d were cut, want 1", n)
	}
}

func TestAnIdleClientMayAskOnceMoreWhileTheServerShutsDown(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	c := h.dial()
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	if resp := h.ask(c, "GET", request); resp.Close || all(t, resp) == "" {
		t.Fatalf("%v", resp)
	}
	over := make(chan error, 1)
	go func() { over <- h.server.Shutdown(context.Background()) }()
	eventually(t, "it shuts down", h.server.closing.Load)
	if resp := h.ask(c, "GET", request); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%v", resp)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// A listener that is gone answers those who are still connected once more.
func TestAClientOfAClosedListenerIsToldSoWithItsNextAnswer(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	c := h.dial()
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	all(t, h.ask(c, "GET", request))
	h.server.SetTable(Table{})
	if resp := h.ask(c, "GET", request); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%v", resp)
	}
	h.pool.Publish(nil)
	d := h.dial()
	_ = d.SetReadDeadline(time.Now().Add(5 * time.Second))
	if rest, err := io.ReadAll(d); err != nil || len(rest) > 0 {
		t.Errorf("a new client of a closed listener got %q, %v", rest, err)
	}
}

// drains takes the workers out as a restart does.
func (h *house) drains() {
	endpoints := h.pool.Endpoints()
	for _, ep := range endpoints {
		ep.Drain()
	}
	h.pool.Publish(nil)
}

// A worker that drains has its WebSockets closed, so that clients come back to
// another, and hears what they say to it.
func TestAWebSocketIsClosedWhenItsWorkerDrains(t *testing.T) {
	heard := make(chan string, 1)
	h := upgrading(t, "websocket", func(_ net.Conn, br *bufio.Reader) {
		all, _ := io.ReadAll(br)
		heard <- string(all)
	})
	c, br := h.upgrade("websocket")
	eventually(t, "it is a WebSocket", func() bool { return h.stats().Tunnels == 1 })
	h.drains()
	got := make([]byte, len(restarted))
	if _, err := io.ReadFull(br, got); err != nil || string(got) != restarted {
		t.Fatalf("the client got %q, %v", got, err)
	}
	const answer = "\x88\x82\x00\x00\x00\x00\x03\xf4"
	_, _ = io.WriteString(c, answer)
	_ = c.Close()
	if got := <-heard; got != answer {
		t.Errorf("the worker heard %q", got)
	}
	eventually(t, "it is over", func() bool { return h.stats().Tunnels == 0 })
}

func TestAWebSocketIsClosedBetweenTwoFrames(t *testing.T) {
	more := make(chan struct{})
	h := upgrading(t, "websocket", func(c net.Conn, br *bufio.Reader) {
		_, _ = io.WriteString(c, "\x81\x04fr")
		<-more
		_, _ = io.WriteString(c, "am")
		_, _ = io.Copy(io.Discard, br)
	})
	c, br := h.upgrade("websocket")
	begun := make([]byte, 4)
	if _, err := io.ReadFull(br, begun); err != nil {
		t.Fatal(err)
	}
	h.drains()
	eventually(t, "it is to end", func() bool {
		h.server.mu.Lock()
		defer h.server.mu.Unlock()
		for client := range h.server.clients {
			client.mu.Lock()
			defer client.mu.Unlock()
			return client.tunnel != nil && client.tunnel.leave.Load()
		}
		return false
	})
	close(more)
	rest := make([]byte, 2+len(restarted))
	if _, err := io.ReadFull(br, rest); err != nil || string(rest) != "am"+restarted {
		t.Errorf("the client got %q, %v", rest, err)
	}
	_ = c.Close()
}

// Other upgrades have no word for it: they live until the drain's deadline.
func TestOtherUpgradesOutliveTheDrainsBegin(t *testing.T) {
	h := upgrading(t, "other", func(c net.Conn, br *bufio.Reader) { _, _ = io.Copy(c, br) })
	c, br := h.upgrade("other")
	h.drains()
	h.server.closeWebSockets()
	_, _ = io.WriteString(c, "still here\n")
	if line, err := br.ReadString('\n'); err != nil || line != "still here\n" {
		t.Errorf("heard %q, %v", line, err)
	}
}

// A worker whose event loop turns waits for others: its answer may be as late as it likes,
// unless somebody has said how late.
func TestALateAnswerOfATurningLoopIsAwaited(t *testing.T) {
	const limit = 20 * time.Millisecond
	for name, c := range map[string]struct {
		patient, turns bool
		status         int
	}{
		"it turns": {true, true, 200}, "it turns, but a limit is given": {false, true, 504}, "nobody knows": {true, false, 504},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			s.AnswerTimeout, s.Patient = limit, c.patient
			ep := app(t, "app.1", func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(10 * limit)
				fmt.Fprint(w, "late")
			})
			if c.turns {
				ep.SetLoop(balance.Loop{})
			}
			h := open(t, s, ep)
			if status, _ := h.get("/"); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
		})
	}
}
