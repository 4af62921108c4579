package engine

import (
	"sync"
	"time"
)

// Stream carries the facts of an engine to their one reader. Sending never waits: a run must
// not stand still because the reader is busy starting another one.
type Stream struct {
	out  chan Fact
	wake chan struct{} // one token: there is something to do
	stop chan struct{} // closed: give up on the reader
	done chan struct{}

	mu     sync.Mutex
	queue  []Fact
	closed bool
}

// NewStream makes a stream; Close ends it.
func NewStream() *Stream {
	s := &Stream{
		out: make(chan Fact, 64), wake: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go s.pump()
	return s
}

// Facts is the end of the stream that is read.
func (s *Stream) Facts() <-chan Fact { return s.out }

// Send queues a fact.
func (s *Stream) Send(f Fact) {
	s.mu.Lock()
	s.queue = append(s.queue, f)
	s.mu.Unlock()
	s.nudge()
}

// Close delivers what is queued, within patience, and closes the channel.
func (s *Stream) Close(patience time.Duration) {
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

func (s *Stream) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Stream) pump() {
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

func (s *Stream) take() ([]Fact, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := s.queue
	s.queue = nil
	return batch, s.closed
}
