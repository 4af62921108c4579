package inspector

import (
	"bytes"
	"io"
	"sync/atomic"
)

// Quiet is a program's standard error without what Node says there about its
// inspector. It passes everything on until Hush: an inspector that the
// application opens by itself is its user's.
type Quiet struct {
	from   io.ReadCloser
	hushed atomic.Bool
	kept   []byte // passed on next; owned by the reader
	part   []byte // begin of a line that may have to go; owned by the reader
	err    error  // of from, after everything kept
}

// NewQuiet reads from r, and closes it with itself.
func NewQuiet(r io.ReadCloser) *Quiet { return &Quiet{from: r} }

// Hush drops Node's lines from now on, for good: an inspector that was closed
// while the loop was blocked opens and closes once more when it turns again.
func (q *Quiet) Hush() { q.hushed.Store(true) }

// Close ends the reading.
func (q *Quiet) Close() error { return q.from.Close() }

// Read implements io.Reader.
func (q *Quiet) Read(b []byte) (int, error) {
	for {
		if len(q.kept) > 0 {
			n := copy(b, q.kept)
			q.kept = q.kept[n:]
			return n, nil
		}
		if q.err != nil {
			return 0, q.err
		}
		n, err := q.from.Read(b)
		if err == nil && !q.hushed.Load() {
			return n, nil
		}
		q.filter(b[:n], err)
	}
}

// filter takes whole lines of Node's out. The begin of what may become one waits
// for the rest; anything else is passed on at once.
func (q *Quiet) filter(b []byte, err error) {
	text := append(q.part, b...)
	q.part, q.err, q.kept = nil, err, q.kept[:0]
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n') + 1
		if end == 0 {
			if err == nil && maybeNode(text) {
				q.part = text
				return
			}
			end = len(text)
		}
		if !isNode(text[:end]) {
			q.kept = append(q.kept, text[:end]...)
		}
		text = text[end:]
	}
}

// prefixes are how Node's lines about its inspector begin (src/inspector_io.cc,
// src/inspector_socket_server.cc, 18 to 26).
func prefixes() [5]string {
	return [5]string{
		"Debugger listening on ws://", "Debugger ending on ws://", "Debugger attached.",
		"For help, see: https://nodejs.org/", "Waiting for the debugger to disconnect...",
	}
}

func isNode(line []byte) bool {
	for _, p := range prefixes() {
		if bytes.HasPrefix(line, []byte(p)) {
			return true
		}
	}
	return false
}

// maybeNode reports whether a line that is not whole yet begins like one of Node's.
func maybeNode(begin []byte) bool {
	for _, p := range prefixes() {
		n := min(len(p), len(begin))
		if string(begin[:n]) == p[:n] {
			return true
		}
	}
	return false
}
