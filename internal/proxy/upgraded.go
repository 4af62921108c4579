package proxy

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/internal/balance"
)

// upgraded carries the bytes of an upgraded connection both ways until both
// directions have ended, or it is cut.
type upgraded struct {
	client, worker side
	frames         *frames // of what the client gets, where it is a WebSocket; else nil
	sent           int64   // bytes to the client
	endpoint       *balance.Endpoint
	told           bool // its worker's drain will end it; guarded by client.mu
	leave          atomic.Bool
	left           atomic.Bool
	cutting        atomic.Bool
	wasCut         bool // it ended before either side ended it
}

// run returns when all is over and both ends are closed.
func (t *upgraded) run() {
	var both sync.WaitGroup
	both.Go(func() { t.toWorker() })
	both.Go(func() { t.toClient() })
	both.Wait()
	_ = t.client.conn.Close()
	_ = t.worker.conn.Close()
}

// cut ends it soon, from any goroutine.
func (t *upgraded) cut() {
	const lastWrite = time.Second
	t.cutting.Store(true)
	_ = t.client.conn.SetWriteDeadline(time.Now().Add(lastWrite))
	_ = t.worker.conn.SetReadDeadline(past())
}

// close ends a WebSocket where its next frame could begin, from any goroutine.
func (t *upgraded) close() {
	t.leave.Store(true)
	_ = t.worker.conn.SetReadDeadline(past())
}

// leaves: it is to end, and may here.
func (t *upgraded) leaves() bool {
	return t.leave.Load() && t.frames != nil && t.frames.between()
}

// toWorker ends when the client ends its direction, or the worker takes no more:
// then it is toClient that learns whether the worker is gone.
func (t *upgraded) toWorker() {
	readErr, writeErr := t.carry(t.worker.conn, t.client, nil)
	if writeErr != nil {
		return
	}
	t.left.Store(true)
	if readErr == nil && closeWrite(t.worker.conn) == nil {
		return
	}
	_ = t.worker.conn.Close()
	_ = t.client.conn.Close()
}

// toClient ends with what the worker says last. A WebSocket whose worker is gone
// without a word is told to come again later.
func (t *upgraded) toClient() {
	passed := func(p []byte) {
		t.sent += int64(len(p))
		if t.frames != nil {
			t.frames.pass(p)
		}
	}
	readErr, writeErr := t.carry(t.client.conn, t.worker, passed)
	for t.leave.Load() && errors.Is(readErr, os.ErrDeadlineExceeded) && !t.leaves() && !t.cutting.Load() { // within a frame
		_ = t.worker.conn.SetReadDeadline(time.Time{})
		readErr, writeErr = t.carry(t.client.conn, side{conn: t.worker.conn}, passed)
	}
	clean := readErr == nil && (t.frames == nil || t.frames.closed)
	if !clean && !t.left.Load() && (writeErr == nil || t.cutting.Load()) {
		t.wasCut = true
		if t.sayRestart() {
			return
		}
	} else if readErr == nil && writeErr == nil && closeWrite(t.client.conn) == nil {
		return
	}
	_ = t.worker.conn.Close()
	_ = t.client.conn.Close()
}

// carry copies what was read of src and then what comes, until its end or an
// error. passed sees what has arrived.
func (t *upgraded) carry(dst net.Conn, src side, passed func([]byte)) (readErr, writeErr error) {
	buf := src.read
	if buf == nil {
		buf = make([]byte, 16<<10)
	}
	n := len(src.read)
	for {
		if n > 0 {
			wrote, err := dst.Write(buf[:n])
			if passed != nil {
				passed(buf[:wrote])
			}
			switch {
			case err != nil:
				return nil, err
			case passed != nil && t.leaves():
				return os.ErrDeadlineExceeded, nil
			}
		}
		if len(buf) < 16<<10 {
			buf = make([]byte, 16<<10)
		}
		if n, readErr = src.conn.Read(buf); readErr != nil && n == 0 {
			if readErr == io.EOF {
				readErr = nil
			}
			return readErr, nil
		}
	}
}

// sayRestart closes a WebSocket with 1012, service restart, where a frame may
// stand (RFC 6455, sections 5.4, 5.5.1 and 7.4.2), and gives the client a moment
// to read it, at whose end toWorker closes both sides; false when it cannot.
func (t *upgraded) sayRestart() bool {
	const serviceRestart, atMost = 1012, 500 * time.Millisecond
	if t.frames == nil || !t.frames.between() || t.frames.closed {
		return false
	}
	_ = t.client.conn.SetWriteDeadline(time.Now().Add(atMost))
	if _, err := t.client.conn.Write(binary.BigEndian.AppendUint16([]byte{0x80 | opClose, 2}, serviceRestart)); err != nil || closeWrite(t.client.conn) != nil {
		return false
	}
	_ = t.client.conn.SetReadDeadline(time.Now().Add(atMost))
	return true
}

const opClose = 8

// frames follows the frames of a WebSocket's one direction.
type frames struct {
	head   [14]byte // of the frame that has begun
	have   int      // bytes of it
	left   uint64   // bytes of its payload that are to come
	closed bool     // a close frame went through
}

// between says whether a frame of ours may stand here.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, uint64(len(p)))
			f.left -= n
			p = p[n:]
			continue
		}
		f.head[f.have] = p[0]
		f.have++
		p = p[1:]
		if f.have >= f.headLength() {
			f.begin()
		}
	}
}

// headLength is RFC 6455, section 5.2, as far as the head is known.
func (f *frames) headLength() int {
	if f.have < 2 {
		return 2
	}
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4 // a mask
	}
	return n
}

func (f *frames) begin() {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		f.left = binary.BigEndian.Uint64(f.head[2:])
	default:
		f.left = uint64(n)
	}
	f.closed = f.closed || f.head[0]&0x0f == opClose
	f.have = 0
}

// closeWebSockets has the WebSockets of workers that drain be closed, of all workers
// when the server shuts down, one after the other within the time that is given for
// it: their clients come back to others, or later.
func (s *Server) closeWebSockets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.closeWebSocket()
	}
}

func (c *client) closeWebSocket() {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tunnel
	if t == nil || t.told || t.frames == nil || !t.endpoint.Draining() && !c.server.closing.Load() {
		return
	}
	t.told = true
	time.AfterFunc(time.Duration(rand.Float64()*float64(c.sockets)), t.close)
}
