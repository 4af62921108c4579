package supervisor

import (
	"context"
	"sync"
	"sync/atomic"
)

const (
	eventsKept       = 1000 // for `bulsa events` without -f
	eventsSubscriber = 256  // a subscriber that is further behind loses events
)

// hub hands events to subscribers and keeps the last ones. A slow subscriber
// loses events; nobody waits for it.
type hub struct {
	mu      sync.Mutex
	kept    []Event // at most eventsKept, oldest first
	readers map[*subscriber]struct{}
}

type subscriber struct {
	ch   chan Event
	lost atomic.Int64
}

func newHub() *hub { return &hub{readers: map[*subscriber]struct{}{}} }

func (h *hub) emit(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.kept) == eventsKept {
		h.kept = append(h.kept[:0], h.kept[1:]...)
	}
	h.kept = append(h.kept, e)
	for r := range h.readers {
		select {
		case r.ch <- e:
		default:
			r.lost.Add(1)
		}
	}
}

// history returns the events kept, oldest first.
func (h *hub) history() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Event(nil), h.kept...)
}

// follow sends every event from now on until ctx ends, then closes the channel.
func (h *hub) follow(ctx context.Context) <-chan Event {
	r := &subscriber{ch: make(chan Event, eventsSubscriber)}
	h.mu.Lock()
	h.readers[r] = struct{}{}
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.readers, r)
		close(r.ch)
	})
	return r.ch
}
