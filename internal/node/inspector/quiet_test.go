package inspector

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const said = "before\n" +
	"Debugger listening on ws://127.0.0.1:1/x\nFor help, see: https://nodejs.org/en/docs/inspector\n" +
	"Debug: mine\nDebugger attached.\nDebugger ending on ws://127.0.0.1:1/x\n" +
	"For help, see: https://example.com\nWaiting for the debugger to disconnect...\nno end"

func TestNodesLinesAboutItsInspectorAreDroppedOnceHushed(t *testing.T) {
	const left = "before\nDebug: mine\nFor help, see: https://example.com\nno end"
	for name, from := range map[string]io.Reader{
		"at once": strings.NewReader(said), "by bytes": iotest.OneByteReader(strings.NewReader(said)),
		"with the end": iotest.DataErrReader(strings.NewReader(said)),
	} {
		q := NewQuiet(io.NopCloser(from))
		q.Hush()
		if b, err := io.ReadAll(q); err != nil || string(b) != left {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestAllIsPassedOnBefore(t *testing.T) {
	q := NewQuiet(io.NopCloser(strings.NewReader(said)))
	if b, err := io.ReadAll(q); err != nil || string(b) != said {
		t.Errorf("%q, %v", b, err)
	}
}

// A prompt without a line end must not wait for one.
func TestABegunLineOfTheProgramIsPassedOnAtOnce(t *testing.T) {
	r, w := io.Pipe()
	q := NewQuiet(r)
	q.Hush()
	go w.Write([]byte("password: "))
	b := make([]byte, 64)
	if n, err := q.Read(b); err != nil || string(b[:n]) != "password: " {
		t.Errorf("%q, %v", b[:n], err)
	}
}
