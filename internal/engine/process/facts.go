package process

import (
	"sync"
	"time"

	"bulsa/internal/engine"
)

// stream carries facts to their one reader. Sending never waits: a run must
// not stand still because the reader is busy starting another one.
type stream struct {
	out  chan engine.Fact
	wake chan struct{} // one token: there is something to do
	stop chan struct{} // closed: give up on the reader
	done chan struct{}

	mu     sync.Mutex
	queue  []engine.Fact
	closed bool
}

func newStream() *stream {
	s := &stream{
		out: make(chan engine.Fact, 64), wake: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go s.pump()
	return s
}

func (s *stream) send(f engine.Fact) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.mu.Unlock()
	s.nudge()
}

// close delivers what is queued, within patience, and closes the channel.
func (s *stream) close(patience time.Duration) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.nudge()
	select {
	case <-s.done:
	case <-time.After(patience):
		close(s.stop)
		<-s.done
	}
}

func (s *stream) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *stream) pump() {
	defer close(s.done)
	defer close(s.out)
	for {
		batch, closed := s.take()
		for _, f := range batch {
			select {
			case s.out <- f:
			case <-s.stop:
				return
			}
		}
		if closed && len(batch) == 0 {
			return
		}
		if len(batch) == 0 {
			<-s.wake
		}
	}
}

func (s *stream) take() ([]engine.Fact, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.queue
	s.queue = nil
	return batch, s.closed
}
