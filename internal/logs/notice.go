package logs

import "sync"

// noticeboard hands notices to the user's function in a goroutine of its own,
// because those who lose lines must not wait for it.
type noticeboard struct {
	tell  func(worker, message string)
	queue chan notice
	done  chan struct{}

	mu     sync.Mutex
	closed bool
}

type notice struct{ worker, message string }

func newNoticeboard(tell func(worker, message string)) *noticeboard {
	if tell == nil {
		tell = func(string, string) {}
	}
	b := &noticeboard{tell: tell, queue: make(chan notice, 256), done: make(chan struct{})}
	go func() {
		defer close(b.done)
		for n := range b.queue {
			b.tell(n.worker, n.message)
		}
	}()
	return b
}

// post queues a notice; one too many is dropped.
func (b *noticeboard) post(worker, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	select {
	case b.queue <- notice{worker, message}:
	default:
	}
}

// close tells what is queued and ends.
func (b *noticeboard) close() {
	b.mu.Lock()
	already := b.closed
	b.closed = true
	b.mu.Unlock()
	if !already {
		close(b.queue)
	}
	<-b.done
}
