package node

import (
	"bytes"
	"strings"
	"testing"
)

func decodeAll(t *testing.T, d *decoder, pieces ...[]byte) []string {
	t.Helper()
	var frames []string
	for _, p := range pieces {
		if err := d.feed(p, func(f []byte) { frames = append(frames, string(f)) }); err != nil {
			t.Fatal(err)
		}
	}
	return frames
}

func TestFramesArriveInPieces(t *testing.T) {
	d := &decoder{max: 100}
	got := decodeAll(t, d, []byte(`{"a"`), []byte(`:1}`), []byte("\n\n{}\n["), []byte("]\n"))
	if strings.Join(got, "|") != `{"a":1}|{}|[]` {
		t.Errorf("frames %q", got)
	}
}

func TestTooLongFrameIsAnError(t *testing.T) {
	for _, piece := range []string{strings.Repeat("x", 11), strings.Repeat("x", 11) + "\n"} {
		d := &decoder{max: 10}
		if err := d.feed([]byte(piece), func([]byte) { t.Error("a frame came out") }); err == nil {
			t.Error("no error")
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("{\"cmd\":\"NODE_CLUSTER\",\"act\":\"online\",\"seq\":0}\n"), 3)
	f.Add([]byte("{\"cmd\":\"NODE_HANDLE\",\"msg\":{\"cmd\":\"NODE_HANDLE\",\"msg\":{}}}\n\n\n"), 1)
	f.Add([]byte("{\"cmd\":\"NODE_CLUSTER\",\"act\":\"queryServer\",\"port\":70000,\"addressType\":{},\"data\":[1]}\n[1\n"), 1000)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		if step < 1 {
			step = 1
		}
		const limit = 1 << 10
		var want [][]byte
		tooLong := false
		lines := bytes.Split(stream, []byte("\n"))
		for i, line := range lines {
			if tooLong = len(line) > limit; tooLong {
				break
			}
			if len(line) > 0 && i < len(lines)-1 {
				want = append(want, line)
			}
		}
		d := &decoder{max: limit}
		c := testChannel(t)
		var err error
		for rest := stream; len(rest) > 0 && err == nil; {
			n := min(step, len(rest))
			err = d.feed(rest[:n], func(frame []byte) {
				if len(want) == 0 || !bytes.Equal(frame, want[0]) {
					t.Fatalf("frame %q, want %q", frame, want)
				}
				want = want[1:]
				c.receive(frame)
			})
			rest = rest[n:]
		}
		if (err != nil) != tooLong || len(want) > 0 {
			t.Fatalf("error %v, too long %v, missing %q", err, tooLong, want)
		}
	})
}
