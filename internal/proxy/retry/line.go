package retry

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Line is the queue of the requests that wait while every worker of a pool has as
// many as it may. Who came first is served first. Its zero value is empty.
type Line struct {
	length  atomic.Int32
	mu      sync.Mutex
	waiting []*waiter
}

// waiter is a request in line. wake says that looking again may be worth it; it
// is called from any goroutine and must not block.
type waiter struct{ wake func() }

// join puts w at the end of the line; false when limit are in it (0: no limit).
// Whoever has joined looks for a worker once more before it waits.
func (l *Line) join(w *waiter, limit int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit > 0 && len(l.waiting) >= limit {
		return false
	}
	l.waiting = append(l.waiting, w)
	l.length.Store(int32(len(l.waiting)))
	return true
}

// first says whether it is w's turn.
func (l *Line) first(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0 && l.waiting[0] == w
}

// leave takes w out of the line. There may be a worker for the next one, too.
func (l *Line) leave(w *waiter) {
	l.mu.Lock()
	if i := slices.Index(l.waiting, w); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	l.length.Store(int32(len(l.waiting)))
	l.mu.Unlock()
	l.vacancy()
}

// vacancy is called when a worker may have become free.
func (l *Line) vacancy() {
	if l.length.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 {
		l.waiting[0].wake()
	}
}
