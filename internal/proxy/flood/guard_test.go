package flood

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestWhoDownloadsMayOpenWindows(t *testing.T) {
	now := time.Unix(0, 0)
	a := NewAllowance(now)
	for range 100_000 { // a client that opens both windows for every frame of data, however small
		a.Earn(frame{kind: frameData, length: 1}.worth())
		if !a.Spend(2, now) {
			t.Fatal("cut off")
		}
	}
	for range 1000 { // and one that opens them each 4 KB, after a megabyte is under way
		for range 64 {
			a.Earn(frame{kind: frameData, length: 16 << 10}.worth())
		}
		if !a.Spend(2*64*4, now) {
			t.Fatal("cut off")
		}
	}
}

func TestAnAllowanceComesBackWithTime(t *testing.T) {
	now := time.Unix(0, 0)
	a := NewAllowance(now)
	if !a.Spend(Free, now) || a.Spend(1, now) {
		t.Fatal("the allowance is another one")
	}
	a = NewAllowance(now)
	for range 10_000 { // a ping each second for hours
		now = now.Add(time.Second)
		if !a.Spend(1, now) {
			t.Fatal("pings are cut off")
		}
	}
}

// TestFramesAreFoundHoweverTheyAreSplit compares the scanner with itself.
func TestFramesAreFoundHoweverTheyAreSplit(t *testing.T) {
	all := slices.Concat([]byte(clientPreface), sentFrame(0x4, 0, 0, make([]byte, 12)), sentFrame(frameData, flagPadded, 3, []byte{2, 'x', 0, 0}),
		sentFrame(frameData, flagPadded|flagEndStream, 5, nil), sentFrame(frameReset, 0, 1<<31-1, make([]byte, 4)), sentFrame(frameData, 0, 7, bytes.Repeat([]byte("y"), 70000)))
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

// sentFrame is a frame as it is sent.
func sentFrame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}
