package proxy

import (
	"errors"
	"io"
	"sync"
	"time"
)

// replayLimit is how much of a request's body is remembered, so that another
// endpoint can be given the request from its start.
const replayLimit = 64 << 10

var (
	errBodyTooLarge = errors.New("the body is larger than allowed")
	errBodyStopped  = errors.New("the body is not wanted any more")
)

// body is a request's body between the client, who fills it once, and the
// attempts, which read it each from the start for as long as nothing has been
// forgotten. It holds at most replayLimit bytes and what one read brings.
type body struct {
	mu      sync.Mutex
	changed *sync.Cond
	held    []byte
	keep    bool      // nothing is forgotten: what does not fit waits
	full    time.Time // since when it does; zero: it does not
	base    int64     // position of held[0]; above 0: not replayable
	taken   int64     // position of the reader
	done    bool      // all is here, or err says why not
	err     error
	stopped bool // the reader is to give up
	closed  bool // nobody reads any more
}

func newBody() *body {
	b := &body{}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// fill copies src until its end. It waits while the reader is behind. limit is
// the most bytes allowed; 0: no limit.
func (b *body) fill(src io.Reader, limit int64, beforeRead func()) error {
	chunk := make([]byte, 16<<10)
	var total int64
	for {
		beforeRead()
		n, err := src.Read(chunk)
		total += int64(n)
		if limit > 0 && total > limit {
			err = errBodyTooLarge
		} else if !b.add(chunk[:n]) {
			return errBodyStopped
		}
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			b.finish(err)
			return err
		}
	}
}

func (b *body) add(p []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.held)+len(p) > replayLimit && !b.closed {
		if b.keep && b.full.IsZero() {
			b.full = time.Now()
		}
		if n := b.taken - b.base; n > 0 && !b.keep {
			b.held = b.held[:copy(b.held, b.held[n:])]
			b.base = b.taken
			continue
		}
		b.changed.Wait()
	}
	b.held, b.full = append(b.held, p...), time.Time{}
	b.changed.Broadcast()
	return !b.closed
}

// withhold keeps the whole body for another attempt, and lets no more of it come
// than there is room for, until it is called with false.
func (b *body) withhold(keep bool) {
	b.mu.Lock()
	b.keep, b.full = keep, time.Time{}
	b.changed.Broadcast()
	b.mu.Unlock()
}

// withheldSince is when it began to be; the zero time: it is not.
func (b *body) withheldSince() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

func (b *body) finish(err error) {
	b.mu.Lock()
	b.done, b.err = true, err
	b.changed.Broadcast()
	b.mu.Unlock()
}

// rewind prepares for another attempt; false when a part is already forgotten.
func (b *body) rewind() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken, b.stopped = b.base, false
	return b.base == 0
}

// Read gives the next bytes, io.EOF at the body's end, errBodyStopped after
// stop, or the client's error.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		rest := b.held[b.taken-b.base:]
		switch {
		case b.stopped || b.closed:
			return 0, errBodyStopped
		case b.done && b.err != nil:
			return 0, b.err
		case len(rest) > 0:
			n := copy(p, rest)
			b.taken += int64(n)
			b.changed.Broadcast()
			return n, nil
		case b.done:
			return 0, io.EOF
		}
		b.changed.Wait()
	}
}

// stop makes the reader give up; rewind allows the next one.
func (b *body) stop() {
	b.mu.Lock()
	b.stopped = true
	b.changed.Broadcast()
	b.mu.Unlock()
}

// close ends reader and filler for good.
func (b *body) close() {
	b.mu.Lock()
	b.closed = true
	b.changed.Broadcast()
	b.mu.Unlock()
}

// state says whether the client has sent everything, and its error.
func (b *body) state() (done bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done, b.err
}
