package proxy

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// frameFlood is a client that makes a server work for nothing. frames returns what it
// sends in the nth round.
type frameFlood struct {
	name   string
	frames func(n int) []byte
}

func floods() []frameFlood {
	request := func(n int, flags byte) []byte {
		return rawFrame(frameHeaders, flags, uint32(2*n+1), literally([]string{":method", "POST", ":path", "/slow", ":scheme", "http", ":authority", "a"}))
	}
	always := func(b []byte) func(int) []byte { return func(int) []byte { return b } }
	afterHead := func(flags byte, next []byte) func(int) []byte {
		return func(n int) []byte {
			if n == 0 {
				return slices.Concat(request(0, flags), next)
			}
			return next
		}
	}
	return []frameFlood{
		{"rapid reset", func(n int) []byte {
			return slices.Concat(request(n, 0x5), rawFrame(frameReset, 0, uint32(2*n+1), []byte{0, 0, 0, 8}))
		}},
		{"provoked resets", func(n int) []byte {
			return slices.Concat(request(n, 0x5), rawFrame(0x8, 0, uint32(2*n+1), []byte{0, 0, 0, 0}))
		}},
		{"CONTINUATION", afterHead(0x1, rawFrame(0x9, 0, 1, literally([]string{"x-field", strings.Repeat("x", 100)})))},
		{"empty CONTINUATION", afterHead(0x1, rawFrame(0x9, 0, 1, nil))},
		{"PING", always(rawFrame(0x6, 0, 0, make([]byte, 8)))},
		{"SETTINGS", always(rawFrame(0x4, 0, 0, nil))},
		{"PRIORITY", always(rawFrame(0x2, 0, 1, []byte{0, 0, 0, 0, 16}))},
		{"empty DATA", afterHead(0x4, rawFrame(frameData, 0, 1, nil))},
		{"DATA of padding", afterHead(0x4, rawFrame(frameData, flagPadded, 1, []byte{2, 0, 0}))},
		{"WINDOW_UPDATE", always(rawFrame(0x8, 0, 0, []byte{0, 0, 0, 1}))},
		{"unknown frames", always(rawFrame(0xfa, 0, 0, []byte("x")))},
	}
}

// TestFloodsOfHTTP2AreCut within a thousand frames.
func TestFloodsOfHTTP2AreCut(t *testing.T) {
	if goroutines {
		return // has been seen: its clients are on goroutines anyway
	}
	for _, f := range floods() {
		t.Run(f.name, func(t *testing.T) {
			h := open(t, settings(), app(t, "app.1", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
			calm := drown(t, h, f)
			eventually(t, "nothing is left of it", func() bool { s := h.stats(); return s.OpenClients == 0 && s.InFlight == 0 })
			_, after, cut := strings.Cut(h.log.String(), "frames=")
			number, _, _ := strings.Cut(after, "\n")
			if frames, _ := strconv.Atoi(number); cut && frames > 1000 || !cut && f.name != "CONTINUATION" { // heads are bounded before
				t.Fatalf("cut after %q frames", number)
			}
			t.Logf("cut after %q frames; GOAWAY ENHANCE_YOUR_CALM arrived: %v", number, calm)
		})
	}
}

// drown sends the flood in small pieces until the server ends the connection. It
// says whether the server told the client to calm down.
func drown(t *testing.T, h *house, f frameFlood) (calm bool) {
	c := h.dial()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			f, payload, err := readFrame(c)
			if err != nil {
				return
			}
			calm = calm || f.kind == frameGoAway && len(payload) >= 8 && payload[7] == enhanceYourCalm
		}
	}()
	write := func(b []byte) bool {
		_, err := c.Write(b)
		select {
		case <-ended:
			return false
		default:
			return err == nil
		}
	}
	if write(append([]byte(clientPreface), rawFrame(0x4, 0, 0, nil)...)) {
		for n := 0; n < 200_000; n++ {
			if !write(f.frames(n)) {
				break
			}
		}
	}
	<-ended
	return calm
}

func TestAFlooderThatComesBackIsToldToCalmDown(t *testing.T) {
	h := open(t, settings(), app(t, "app.1", hello("app.1")))
	drown(t, h, floods()[0])
	client, now := netip.MustParseAddr("127.0.0.1"), time.Now()
	eventually(t, "it is counted", func() bool { return strings.Contains(h.log.String(), "HTTP/2 client cut off") })
	for range 30 { // for long enough, on any machine
		h.server.flooders.Cut(client, now)
	}
	c := h.dial()
	if _, err := c.Write([]byte(clientPreface)); err != nil {
		t.Fatal(err)
	}
	if f, _, err := readFrame(c); err != nil || f.kind != frameSettings {
		t.Fatalf("first came %v, %v", f, err)
	}
	if f, payload, err := readFrame(c); err != nil || f.kind != frameGoAway || payload[7] != enhanceYourCalm {
		t.Errorf("then came %v with %v, %v", f, payload, err)
	}
	if status, _ := h.get("/"); status != 200 {
		t.Errorf("its neighbours of HTTP/1.1 got %d", status)
	}
	if n := h.stats().TurnedAway; n != 1 {
		t.Errorf("%d were counted as turned away", n)
	}
}
