package flood

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Types and flags of HTTP/2 frames (RFC 9113, section 6).
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	frameGoAway       = 0x7
	flagEndStream     = 0x1
	flagPadded        = 0x8
	frameHeaderLength = 9

	readAheadBytes = 2048

	enhanceYourCalm = 0xb // RFC 9113, section 7

	clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// ErrCutOff ends a connection whose client sent too many frames for nothing.
var ErrCutOff = errors.New("too many frames that ask for nothing")

// Guard counts the frames of an HTTP/2 connection below the server that speaks
// on it, and cuts the connection off when the client makes the server work
// without asking for anything: rapid reset (CVE-2023-44487), resets provoked from
// the server (CVE-2025-8671), empty CONTINUATION and DATA, PING, SETTINGS,
// PRIORITY and WINDOW_UPDATE. net/http bounds the size of heads and the number of
// requests at a time, but not these.
type Guard struct {
	net.Conn
	flooded func(frames int)
	in      frameScanner
	frames  int    // that have come
	buf     []byte // what was read ahead: net/http asks for each frame's nine bytes first
	ahead   []byte // of buf, what it has not got yet

	mu        sync.Mutex // held while writing: a frame must not be broken
	out       frameScanner
	allowance Allowance
	highest   uint32       // the last stream that the client opened
	known     atomic.Int32 // answers of 400 that are on their way and are not net/http's own
	malformed []uint32     // streams whose request net/http answers with 400
	resets    []byte       // of those that were answered

	ending sync.Once
	closed chan struct{}
}

// NewGuard calls flooded, if it cuts the connection off, with the number of frames
// that had come.
func NewGuard(conn net.Conn, flooded func(frames int)) *Guard {
	return &Guard{
		Conn: conn, flooded: flooded, closed: make(chan struct{}),
		in:        frameScanner{skip: len(clientPreface)},
		buf:       make([]byte, readAheadBytes),
		allowance: NewAllowance(time.Now()),
	}
}

func (g *Guard) Read(p []byte) (int, error) {
	if len(g.ahead) == 0 {
		if len(p) >= len(g.buf) {
			return g.look(p)
		}
		n, err := g.look(g.buf)
		if g.ahead = g.buf[:n]; n == 0 {
			return 0, err
		}
	}
	n := copy(p, g.ahead)
	g.ahead = g.ahead[n:]
	return n, nil
}

// look reads into p and counts the frames.
func (g *Guard) look(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	cheap := 0
	g.in.scan(p[:n], func(f frame, payload []byte) {
		g.frames++
		switch f.kind {
		case frameHeaders:
			g.highest = max(g.highest, f.stream)
		case frameSettings:
			keepLast(payload)
		}
		if f.cheap() {
			cheap++
		}
	})
	if cheap > 0 && !g.spend(cheap) {
		g.cutOff()
		return 0, ErrCutOff
	}
	return n, err
}

func (g *Guard) spend(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.allowance.Spend(n, time.Now())
}

// Write looks at what the server answers: heads and data are what the client
// asked for, a reset is what it provoked.
func (g *Guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	provoked := 0
	g.out.scan(p, func(f frame, payload []byte) {
		g.allowance.Earn(f.worth())
		if f.kind == frameReset || g.endsMalformed(f, payload) {
			provoked++
		}
	})
	if provoked > 0 {
		g.allowance.Spend(provoked, time.Now()) // the next Read looks whether that was too much
	}
	n, err := g.Conn.Write(p)
	if err == nil && len(g.resets) > 0 && g.out.between() {
		_, err = g.Conn.Write(g.resets)
		g.resets = g.resets[:0]
	}
	return n, err
}

// endsMalformed notes a reset for a request with fields that HTTP/2 does not
// allow: net/http answers it with 400, which is allowed, and leaves out the stream
// error, which is not (RFC 9113, section 8.1.1).
func (g *Guard) endsMalformed(f frame, payload []byte) bool {
	const status400, protocolError = 0x8c, 0x1 // RFC 7541, appendix A; RFC 9113, section 7
	if f.kind == frameHeaders && len(payload) > 0 && payload[0] == status400 && g.known.Add(-1) < 0 {
		g.known.Add(1)
		g.malformed = append(g.malformed, f.stream)
	}
	i := slices.Index(g.malformed, f.stream)
	if i < 0 || f.flags&flagEndStream == 0 || f.kind != frameHeaders && f.kind != frameData {
		return false
	}
	g.malformed = slices.Delete(g.malformed, i, i+1)
	g.resets = append(g.resets, 0, 0, 4, frameReset, 0)
	g.resets = binary.BigEndian.AppendUint32(g.resets, f.stream)
	g.resets = binary.BigEndian.AppendUint32(g.resets, protocolError)
	return true
}

// keepLast renames the settings that a later one in the same frame overrides.
// They are processed in their order (RFC 9113, section 6.5.3), so the last counts;
// net/http ends the connection instead. A table size counts each time (RFC 7541,
// section 4.2) and is left alone.
func keepLast(payload []byte) {
	const size, headerTableSize, unused = 6, 0x1, 0xf000
	for i := 0; i+size <= len(payload); i += size {
		id := binary.BigEndian.Uint16(payload[i:])
		for j := i + size; j+size <= len(payload) && id != headerTableSize; j += size {
			if binary.BigEndian.Uint16(payload[j:]) == id {
				binary.BigEndian.PutUint16(payload[i:], unused+uint16(i))
				break
			}
		}
	}
}

// cutOff says GOAWAY if that can be said at once, and closes.
func (g *Guard) cutOff() {
	if g.mu.TryLock() {
		if g.out.between() {
			_ = g.Conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			_, _ = g.Conn.Write(goAway(g.highest, enhanceYourCalm))
		}
		g.mu.Unlock()
	}
	g.flooded(g.frames)
	_ = g.Close()
}

func goAway(last, code uint32) []byte {
	b := []byte{0, 0, 8, frameGoAway, 0, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, last)
	return binary.BigEndian.AppendUint32(b, code)
}

// TurnedAway is what a client is told that is not taken: settings, with which a
// server begins, and GOAWAY.
func TurnedAway() []byte {
	return append([]byte{0, 0, 0, frameSettings, 0, 0, 0, 0, 0}, goAway(0, enhanceYourCalm)...)
}

// Expect400 says that an answer of 400 is on its way that is not net/http's own.
func (g *Guard) Expect400() { g.known.Add(1) }

// Closed is closed with the connection.
func (g *Guard) Closed() <-chan struct{} { return g.closed }

func (g *Guard) Close() error {
	err := g.Conn.Close()
	g.ending.Do(func() { close(g.closed) })
	return err
}

const (
	// Free is how many frames a client may send for nothing, at once and
	// over time again. Two for each request that is reset make 600 frames.
	Free            = 300
	freePerSecond   = 20
	mostFreeFrames  = 4096 // that a client can have earned
	bytesPerWindow  = 2048 // of an answer's data that may cost one WINDOW_UPDATE; clients are known to send one for 4 KB
	windowsPerFrame = 2    // for the stream and the connection, however small the frame
)

// Allowance is how many frames a client may still send for nothing. What the
// server sends for it earns some: who downloads must open windows.
type Allowance struct {
	left float64
	at   time.Time // of the last look
}

// NewAllowance is that of a new connection.
func NewAllowance(now time.Time) Allowance { return Allowance{left: Free, at: now} }

// Spend takes n; false when that is more than was left.
func (a *Allowance) Spend(n int, now time.Time) bool {
	if a.left < Free {
		a.left = min(Free, a.left+freePerSecond*now.Sub(a.at).Seconds())
	}
	a.at = now
	a.left -= float64(n)
	return a.left >= 0
}

func (a *Allowance) Earn(n int) { a.left = min(mostFreeFrames, max(a.left, 0)+float64(n)) }

// frame is the header of an HTTP/2 frame.
type frame struct {
	length int // without padding
	kind   byte
	flags  byte
	stream uint32
}

// cheap: from a client, the frame asks for nothing and brings nothing.
func (f frame) cheap() bool {
	switch f.kind {
	case frameHeaders:
		return false
	case frameData:
		return f.length == 0 && f.flags&flagEndStream == 0
	}
	return true
}

// worth is how many cheap frames a frame of the server answers for.
func (f frame) worth() int {
	switch f.kind {
	case frameHeaders:
		return windowsPerFrame
	case frameData:
		return windowsPerFrame + f.length/bytesPerWindow
	}
	return 0
}

// frameScanner finds the frames in a stream of bytes that comes in any pieces.
type frameScanner struct {
	skip  int // bytes until the next frame's header
	head  [frameHeaderLength + 1]byte
	taken int
}

// between: the last byte was the end of a frame.
func (s *frameScanner) between() bool { return s.skip == 0 && s.taken == 0 }

// scan calls each with the payload, where all of it is in p, or else with less.
func (s *frameScanner) scan(p []byte, each func(f frame, payload []byte)) {
	for {
		n := min(s.skip, len(p))
		s.skip -= n
		p = p[n:]
		if len(p) == 0 {
			return
		}
		n = copy(s.head[s.taken:s.wanted()], p)
		s.taken += n
		p = p[n:]
		if s.taken < s.wanted() {
			continue
		}
		f := s.parsed()
		s.skip = s.payload() - (s.taken - frameHeaderLength)
		s.taken = 0
		each(f, p[:min(s.skip, len(p))])
	}
}

// wanted is how much of the frame must be known: its header, and of padded data
// how long the padding is.
func (s *frameScanner) wanted() int {
	if s.taken >= frameHeaderLength && s.head[3] == frameData && s.head[4]&flagPadded != 0 && s.payload() > 0 {
		return frameHeaderLength + 1
	}
	return frameHeaderLength
}

func (s *frameScanner) payload() int {
	return int(s.head[0])<<16 | int(s.head[1])<<8 | int(s.head[2])
}

func (s *frameScanner) parsed() frame {
	f := frame{length: s.payload(), kind: s.head[3], flags: s.head[4], stream: binary.BigEndian.Uint32(s.head[5:]) &^ (1 << 31)}
	if s.taken > frameHeaderLength {
		f.length = max(0, f.length-1-int(s.head[frameHeaderLength]))
	}
	return f
}
