package supervisor

import "sync"

// mailbox is an unbounded queue with one reader. Writers never wait: a slow
// worker, a slow engine or a slow client can not hold up the loop that tells it
// something, so two loops that write to each other can not lock each other up.
// What is queued is bounded by what happens in the world (facts about workers),
// not by what clients send.
type mailbox[T any] struct {
	mu    sync.Mutex
	items []T
	ready chan struct{} // holds one token while there is something to take
}

func newMailbox[T any]() *mailbox[T] {
	return &mailbox[T]{ready: make(chan struct{}, 1)}
}

func (m *mailbox[T]) put(v T) {
	m.mu.Lock()
	m.items = append(m.items, v)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// take returns all that has come since the last take, in order.
func (m *mailbox[T]) take() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	items := m.items
	m.items = nil
	return items
}
