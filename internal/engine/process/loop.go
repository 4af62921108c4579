package process

import (
	"slices"
	"sync/atomic"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/eventloop"
	"bulsa/internal/node/libuv"
)

// confirmations is how often what is read of a loop may differ from what the
// worker says of it: the first answers come while it is still starting.
const confirmations = 5

var _ engine.Observer = (*Engine)(nil)

// Loop is the event loop of a Node worker that may be watched; see engine.Observer.
func (e *Engine) Loop(id engine.InstanceID) engine.Loop {
	r := e.find(id)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loop == nil {
		return nil // not a nil *eventLoop in an interface
	}
	return r.loop
}

// eventLoop is the loop of the process that speaks for a worker. It is read from outside once that is known to be right; until then,
// and where it is impossible, it can be asked.
type eventLoop struct {
	run *run

	// Of the goroutine that looks.
	pid     int
	opening *opening // of pid
	reader  *libuv.Reader
	trusted bool
	before  eventloop.Reading // read before the question that confirms it
	asked   time.Time         // when that was sent; zero: it has not been
	tries   int
}

// opening is the preparation of a reader, done beside everything else.
type opening struct{ reader atomic.Pointer[libuv.Reader] }

func newEventLoop(r *run) *eventLoop { return &eventLoop{run: r} }

func (l *eventLoop) PID() int {
	if c := l.run.speaker(); c != nil {
		return c.PID()
	}
	return 0
}

func (l *eventLoop) Ask(all bool) {
	if c := l.run.speaker(); c != nil {
		c.Ask(all)
	}
}

func (l *eventLoop) Heard() (eventloop.Answer, time.Time, bool) {
	if c := l.run.speaker(); c != nil {
		return c.Heard()
	}
	return eventloop.Answer{}, time.Time{}, false
}

// Look reads the loop from outside. The first looks at a process begin to
// prepare that, and ask the process to confirm what is read.
func (l *eventLoop) Look() (eventloop.Reading, bool) {
	if pid := l.PID(); pid != l.pid {
		l.meet(pid)
	}
	if l.reader == nil && l.opening != nil {
		l.reader = l.opening.reader.Load()
	}
	if l.reader == nil {
		return eventloop.Reading{}, false
	}
	now, err := l.reader.Look()
	if err != nil {
		l.give() // it has ended, or changed its user
		return eventloop.Reading{}, false
	}
	if !l.trusted {
		l.confirm(now)
	}
	return now, l.trusted
}

// meet begins to prepare for another process: the first one, or the one that a
// wrapper started after it.
func (l *eventLoop) meet(pid int) {
	run, o := l.run, &opening{}
	*l = eventLoop{run: run, pid: pid}
	if pid == 0 {
		return
	}
	l.opening = o
	run.engine.beside(func() { // l belongs to who looks: it may meet another one meanwhile
		if !run.owns(pid) {
			return // it names a process that is none of this worker's
		}
		if reader, err := run.engine.catalog.Open(pid); err == nil {
			o.reader.Store(reader)
		}
	})
}

// give stops to read from outside.
func (l *eventLoop) give() { l.reader, l.opening, l.trusted = nil, nil, false }

// confirm compares what is read with one answer that was asked for after the
// reading before.
func (l *eventLoop) confirm(now eventloop.Reading) {
	answer, pending, _ := l.Heard()
	switch {
	case !l.asked.IsZero() && !answer.Asked.Before(l.asked):
		l.trusted = libuv.Confirm(l.before, now, answer) == nil
		l.asked = time.Time{}
		if l.tries++; !l.trusted && l.tries == confirmations {
			l.give()
		}
	case l.asked.IsZero() && pending.IsZero():
		l.before, l.asked = now, time.Now()
		l.Ask(true)
	case pending.IsZero():
		l.asked = time.Time{} // the question was never sent, or its answer was not to it
	}
}

// owns reports whether the process is one of the worker's.
func (r *run) owns(pid int) bool {
	return slices.ContainsFunc(r.engine.processes(r, tableAge), func(p processInfo) bool { return p.pid == pid })
}

// beside runs f in a goroutine that Close waits for, and not at all once it has begun.
func (e *Engine) beside(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.helpers.Go(f)
	}
}
