package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
)

// queue is the line of the requests that wait while every worker of a pool has
// as many as it may. Who came first is served first.
type queue struct {
	length atomic.Int32
	mu     sync.Mutex
	line   []*waiter
}

// waiter is a request in line. wake says that looking again may be worth it; it
// is called from any goroutine and must not block.
type waiter struct{ wake func() }

// join puts w at the end of the line; false when limit are in it (0: no limit).
// Whoever has joined looks for room once more before it waits.
func (q *queue) join(w *waiter, limit int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if limit > 0 && len(q.line) >= limit {
		return false
	}
	q.line = append(q.line, w)
	q.length.Store(int32(len(q.line)))
	return true
}

// first says whether it is w's turn.
func (q *queue) first(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.line) > 0 && q.line[0] == w
}

// leave takes w out of the line. There may be room for the next one, too.
func (q *queue) leave(w *waiter) {
	q.mu.Lock()
	if i := slices.Index(q.line, w); i >= 0 {
		q.line = slices.Delete(q.line, i, i+1)
	}
	q.length.Store(int32(len(q.line)))
	q.mu.Unlock()
	q.room()
}

// room is called when a worker may have become free.
func (q *queue) room() {
	if q.length.Load() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) > 0 {
		q.line[0].wake()
	}
}
