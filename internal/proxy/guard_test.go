package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// flood is a client that makes a server work for nothing. frames returns what it
// sends in the nth round.
type flood struct {
	name   string
	frames func(n int) []byte
}

func floods() []flood {
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
	return []flood{
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
func drown(t *testing.T, h *house, f flood) (calm bool) {
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

func TestWhoDownloadsMayOpenWindows(t *testing.T) {
	now := time.Unix(0, 0)
	a := allowance{left: freeFrames, at: now}
	for range 100_000 { // a client that opens both windows for every frame of data, however small
		a.earn(frame{kind: frameData, length: 1}.worth())
		if !a.spend(2, now) {
			t.Fatal("cut off")
		}
	}
	for range 1000 { // and one that opens them each 4 KB, after a megabyte is under way
		for range 64 {
			a.earn(frame{kind: frameData, length: 16 << 10}.worth())
		}
		if !a.spend(2*64*4, now) {
			t.Fatal("cut off")
		}
	}
}

func TestAnAllowanceComesBackWithTime(t *testing.T) {
	now := time.Unix(0, 0)
	a := allowance{left: freeFrames, at: now}
	if !a.spend(freeFrames, now) || a.spend(1, now) {
		t.Fatal("the allowance is another one")
	}
	a = allowance{left: freeFrames, at: now}
	for range 10_000 { // a ping each second for hours
		now = now.Add(time.Second)
		if !a.spend(1, now) {
			t.Fatal("pings are cut off")
		}
	}
}

// TestFramesAreFoundHoweverTheyAreSplit compares the scanner with itself.
func TestFramesAreFoundHoweverTheyAreSplit(t *testing.T) {
	all := slices.Concat([]byte(clientPreface), rawFrame(0x4, 0, 0, make([]byte, 12)), rawFrame(frameData, flagPadded, 3, []byte{2, 'x', 0, 0}),
		rawFrame(frameData, flagPadded|flagEndStream, 5, nil), rawFrame(frameReset, 0, 1<<31-1, make([]byte, 4)), rawFrame(frameData, 0, 7, bytes.Repeat([]byte("y"), 70000)))
	want := "[{12 4 0 0} {1 0 8 3} {0 0 9 5} {4 3 0 2147483647} {70000 0 0 7}]"
	for size := 1; size < 60; size++ {
		s := frameScanner{skip: len(clientPreface)}
		var got []frame
		for piece := range slices.Chunk(all, size) {
			s.scan(piece, func(f frame, _ []byte) { got = append(got, f) })
		}
		if text := fmt.Sprint(got); text != want || !s.between() {
			t.Fatalf("in pieces of %d: %s", size, text)
		}
	}
}
