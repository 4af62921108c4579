package accesslog

import "sync/atomic"

// ring carries lines from any number of goroutines to one, in a fixed piece of
// memory and without a lock. Positions only grow; a line lies in one piece, at a
// multiple of ringStep.
type ring struct {
	bytes []byte
	ready []atomic.Uint32 // by position / ringStep: 1 + the length of the line there, or ringSkip; 0: not written yet
	head  atomic.Uint64   // up to here all was taken
	_     [56]byte        // writers and the reader do not share a cache line
	tail  atomic.Uint64   // up to here all is given away
}

const (
	ringStep = 8
	ringSkip = 1<<32 - 1 // the rest up to the ring's end is unused
)

// newRing makes a ring of size bytes, a power of two.
func newRing(size int) *ring {
	return &ring{bytes: make([]byte, size), ready: make([]atomic.Uint32, size/ringStep)}
}

// put is false when there is no room.
func (r *ring) put(line []byte) bool {
	size := uint64(len(r.bytes))
	need := (uint64(len(line)) + ringStep) &^ (ringStep - 1)
	for {
		head := r.head.Load() // before tail: it must not seem to lie ahead of it
		tail := r.tail.Load()
		at := tail % size
		skip := uint64(0)
		if at+need > size {
			skip = size - at
		}
		if tail+skip+need-head > size {
			return false
		}
		if !r.tail.CompareAndSwap(tail, tail+skip+need) {
			continue
		}
		if skip > 0 {
			r.ready[at/ringStep].Store(ringSkip)
			at = 0
		}
		copy(r.bytes[at:], line)
		r.ready[at/ringStep].Store(uint32(len(line)) + 1)
		return true
	}
}

// take appends lines to b until most bytes are in it or no further line is
// there. Only one goroutine may call it.
func (r *ring) take(b []byte, most int) (_ []byte, lines int) {
	size := uint64(len(r.bytes))
	for len(b) < most {
		head := r.head.Load()
		at := head % size
		switch n := r.ready[at/ringStep].Load(); n {
		case 0:
			return b, lines
		case ringSkip:
			r.ready[at/ringStep].Store(0)
			r.head.Store(head + size - at)
		default:
			length := uint64(n - 1)
			b = append(b, r.bytes[at:at+length]...)
			lines++
			r.ready[at/ringStep].Store(0)
			r.head.Store(head + (length+ringStep)&^(ringStep-1))
		}
	}
	return b, lines
}

func (r *ring) empty() bool { return r.head.Load() == r.tail.Load() }
