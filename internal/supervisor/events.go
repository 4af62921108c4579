package supervisor

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	eventsKept       = 1000 // for `bulsa events` without -f
	eventsSubscriber = 256  // a subscriber that is further behind loses events
)

// Events hands events to subscribers and keeps the last ones. A slow subscriber
// loses events; nobody waits for it.
type Events struct {
	mu      sync.Mutex
	kept    []Event // at most eventsKept, oldest first
	readers map[*subscriber]struct{}
}

type subscriber struct {
	ch   chan Event
	lost atomic.Int64
}

// NewEvents makes a stream that nobody reads yet.
func NewEvents() *Events { return &Events{readers: map[*subscriber]struct{}{}} }

// Emit adds an event.
func (e *Events) Emit(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kept) == eventsKept {
		e.kept = append(e.kept[:0], e.kept[1:]...)
	}
	e.kept = append(e.kept, event)
	for r := range e.readers {
		select {
		case r.ch <- event:
		default:
			r.lost.Add(1)
		}
	}
}

// Restore puts events of earlier runs in front, as many as there is room for.
func (e *Events) Restore(past []Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := append(slices.Clone(past), e.kept...)
	e.kept = slices.Clone(all[max(0, len(all)-eventsKept):])
}

// history returns the events kept, oldest first.
func (e *Events) history() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Event(nil), e.kept...)
}

// follow sends every event from now on until ctx ends, then closes the channel.
func (e *Events) follow(ctx context.Context) <-chan Event {
	r := &subscriber{ch: make(chan Event, eventsSubscriber)}
	e.mu.Lock()
	e.readers[r] = struct{}{}
	e.mu.Unlock()
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.readers, r)
		close(r.ch)
	})
	return r.ch
}
