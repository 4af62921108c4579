package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// frame is one of HTTP/2 (RFC 9113, section 4.1).
func h2frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// h2head is a request for path with a cookie of so many bytes, written literally (RFC
// 7541, section 6.2.2).
func h2head(path string, cookie int) []byte {
	var b []byte
	field := func(name, value string) {
		b = append(append(b, 0, byte(len(name))), name...)
		b = append(append(b, byte(len(value))), value...)
	}
	field(":method", "GET")
	field(":scheme", "http")
	field(":path", path)
	field(":authority", "x")
	for ; cookie > 0; cookie -= 100 {
		field("cookie", strings.Repeat("c", 100))
	}
	return b
}

// flood resets what it asks for until it is cut off. It reads nothing but the end.
func flood(from, address string, requests []byte) error {
	local, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(from, "0"))
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{LocalAddr: local, Timeout: patience}).Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write(requests); err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
	return nil
}

func floodOf(path string, cookie, streams int) []byte {
	const headers, reset, settings, endStream, endHeaders = 1, 3, 4, 1, 4
	b := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), h2frame(settings, 0, 0, nil)...)
	head := h2head(path, cookie)
	for i := range streams {
		id := uint32(2*i + 1)
		b = append(b, h2frame(headers, endStream|endHeaders, id, head)...)
		b = append(b, h2frame(reset, 0, id, []byte{0, 0, 0, 8})...)
	}
	return b
}

// Clients that reset what they ask for, are cut off and come back, 23 times a second,
// take no memory that would be missed, from one address or from many, and none for long.
func TestFloodersThatComeBackFillNoMemory(t *testing.T) { floodAndComeBack(t) }

func TestSoakFloodersThatComeBackFillNoMemory(t *testing.T) { floodAndComeBack(t) }

func floodAndComeBack(t *testing.T) {
	t.Helper()
	for name, from := range map[string]func(n int) string{
		"from one address":    func(int) string { return "127.0.0.1" },
		"from many addresses": func(n int) string { return fmt.Sprintf("127.1.%d.%d", n>>8&0xff, n&0xff) },
	} {
		t.Run(name, func(t *testing.T) {
			span := 5 * time.Second
			if soaks(t) && name == "from one address" { // many together fill more in that time: SECURITY.md
				span = 75 * time.Second
			}
			w := newWorld(t)
			address := "127.0.0.1:" + freePort(t)
			s := w.ready("run", "--name", "app", "-w", "2", "-p", address, "--admin", "off", build(t, filepath.Join("testdata", "portserver")))
			before := s.footprint().kilobytes >> 10
			ctx, stop := context.WithTimeout(t.Context(), span)
			defer stop()
			end := floodAgain(ctx, address, from)
			most, p99 := underFlood(ctx, t, s, address)
			floods := end()
			t.Logf("%d floods: %d MiB before, %d at most; neighbours' p99 %s", floods, before, most, p99)
			if enough := 256; most > enough {
				t.Errorf("%d MiB are taken, want at most %d", most, enough)
			}
			eventually(t, "the memory goes back", func() bool { return s.footprint().kilobytes>>10 < before+64 })
		})
	}
}

// floodAgain begins a flood 23 times a second until ctx ends. end says how many there were.
func floodAgain(ctx context.Context, address string, from func(n int) string) (end func() int64) {
	requests := floodOf("/", 8000, 2000)
	var floods sync.WaitGroup
	var count atomic.Int64
	floods.Go(func() {
		tick := time.NewTicker(time.Second / 23)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			floods.Go(func() {
				if flood(from(n), address, requests) == nil {
					count.Add(1)
				}
			})
			<-tick.C
		}
	})
	return func() int64 {
		floods.Wait()
		return count.Load()
	}
}

// underFlood is what a neighbour sees until ctx ends: the most memory, in MiB, and the
// 99th percentile of its answers.
func underFlood(ctx context.Context, t *testing.T, s *server, address string) (most int, p99 time.Duration) {
	t.Helper()
	var took []time.Duration
	for ctx.Err() == nil {
		began := time.Now()
		if status, _ := get(t, "http://"+address+"/"); status != 200 {
			t.Fatalf("a neighbour got %d", status)
		}
		took = append(took, time.Since(began))
		most = max(most, s.footprint().kilobytes>>10)
		time.Sleep(10 * time.Millisecond) // a client's own pace
	}
	slices.Sort(took)
	return most, took[len(took)*99/100]
}
