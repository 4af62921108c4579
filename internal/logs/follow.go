package logs

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A follower holds at most this much for a reader that does not keep up.
const (
	maxWaitingLines = 8192
	maxWaitingBytes = 1 << 20
)

// follower is one reader of new lines. Those who publish never wait for it.
type follower struct {
	names []string
	wake  chan struct{}
	over  chan struct{}
	once  sync.Once

	mu      sync.Mutex
	waiting []Line
	bytes   int
	dropped int       // lines that found no room behind waiting
	gap     time.Time // of the first of them
}

func newFollower(names []string) *follower {
	return &follower{names: names, wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// publish offers one line, whose Text is still to be made of raw, to every
// follower that wants it.
func publish(followers []*follower, l Line, raw []byte) {
	for _, f := range followers {
		if len(f.names) == 0 || matches(f.names, l.Worker) {
			f.offer(l, raw)
		}
	}
}

// offer queues a line, or counts it when the reader is too slow. In a flood most
// lines are only counted, so nothing is made of them before.
func (f *follower) offer(l Line, raw []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dropped > 0 || len(f.waiting) >= maxWaitingLines || f.bytes+len(raw) > maxWaitingBytes {
		if f.dropped == 0 {
			f.gap = l.At
		}
		f.dropped++
		return
	}
	l.Text = clean(raw)
	f.waiting = append(f.waiting, l)
	f.bytes += len(raw)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take empties the queue; a remark stands where lines are missing.
func (f *follower) take() []Line {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := f.waiting
	if f.dropped > 0 {
		text := fmt.Sprintf("%d lines not shown: this reader is too slow", f.dropped)
		lines = append(lines, Line{At: f.gap, Stream: Bulsa, Text: text})
	}
	f.waiting, f.bytes, f.dropped = nil, 0, 0
	return lines
}

// pump sends what is offered, until ctx ends or the store closes. Lines that are not later
// than latest says of their worker are left out: they were sent, and a worker's stamps only grow.
func (f *follower) pump(ctx context.Context, out chan<- Line, latest map[string]time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.over:
			send(ctx, out, f.take(), latest)
			return
		case <-f.wake:
			if !send(ctx, out, f.take(), latest) {
				return
			}
		}
	}
}

// send sends lines that are later than latest says; false when ctx ended.
func send(ctx context.Context, out chan<- Line, lines []Line, latest map[string]time.Time) bool {
	for _, l := range lines {
		if !l.At.After(latest[l.Worker]) {
			continue
		}
		select {
		case out <- l:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// end lets pump finish after what is queued.
func (f *follower) end() { f.once.Do(func() { close(f.over) }) }
