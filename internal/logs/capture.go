package logs

import (
	"bytes"
	"io"
	"sync"
	"unicode/utf8"
)

// maxLine is the longest piece that is kept as one line, in bytes, and the
// largest buffer of a capture.
const maxLine = 64 << 10

// firstBuffer is where a capture's buffer starts; most workers never fill it.
const firstBuffer = 4 << 10

// capture cuts one stream into lines. Its goroutine reads without pause.
type capture struct {
	sink   *sink
	run    *run
	stream string
	r      io.ReadCloser
	done   chan struct{}

	mu     sync.Mutex
	buf    []byte // what was read; a partial line at the front stays
	n      int    // length of that partial line
	closed bool   // the store is closed: read on and forget
}

// copy reads until EOF or an error, which for a pipe is the same.
func (c *capture) copy() {
	defer c.r.Close()
	c.buf = make([]byte, firstBuffer)
	for {
		m, err := c.r.Read(c.buf[c.n:])
		c.take(m)
		if err != nil {
			c.end()
			return
		}
	}
}

// take cuts the lines out of the buffer, of which m bytes are new.
func (c *capture) take(m int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		c.n = 0
		return
	}
	full := c.n + m
	rest := c.buf[:full]
	if i := bytes.LastIndexByte(c.buf[c.n:full], '\n'); i >= 0 {
		whole := c.buf[:c.n+i+1]
		c.sink.append(c.run, c.stream, whole, false)
		rest = c.buf[len(whole):full]
	}
	if len(rest) == maxLine {
		piece := rest[:runeBoundary(rest, maxLine)]
		c.sink.append(c.run, c.stream, piece, true)
		rest = rest[len(piece):]
	}
	c.n = copy(c.buf, rest)
	c.makeRoom(full)
}

// makeRoom lets a stream that fills its buffer read more at once.
func (c *capture) makeRoom(filled int) {
	if filled < len(c.buf) || len(c.buf) == maxLine {
		return
	}
	grown := make([]byte, min(4*len(c.buf), maxLine))
	copy(grown, c.buf[:c.n])
	c.buf = grown
}

// end keeps a last line without its end, and forgets all that comes later.
func (c *capture) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && c.n > 0 {
		c.sink.append(c.run, c.stream, c.buf[:c.n], false)
	}
	c.closed = true
}

// runeBoundary returns the largest cut <= at that splits no UTF-8 character;
// at itself where the bytes are no UTF-8.
func runeBoundary(b []byte, at int) int {
	if at >= len(b) {
		at = len(b)
	}
	for i := at - 1; i >= 0 && i > at-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:at]) {
				return i
			}
			break
		}
	}
	return at
}
