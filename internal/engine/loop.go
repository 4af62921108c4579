package engine

import (
	"time"

	"bulsa/internal/eventloop"
)

// Observer is an engine that can see the event loops of its workers.
type Observer interface {
	// Loop returns the event loop of a running instance; nil: it has none, as far
	// as is known by now.
	Loop(id InstanceID) Loop
}

// Loop is the event loop of one instance. None of its methods waits for the
// worker. One goroutine looks; all others may be called from any.
type Loop interface {
	// PID is the process that runs the loop, which is not the worker's first one
	// behind npm or a shell.
	PID() int
	// Look reads it from outside. false: it cannot be seen that way, or not yet.
	Look() (eventloop.Reading, bool)
	// Ask sends a question to the worker, unless the last one is unanswered: for
	// all that it can tell, or only whether it answers.
	Ask(all bool)
	// Heard is the last answer, and since when a question has been unanswered
	// (zero: none is). false: nothing was ever answered.
	Heard() (last eventloop.Answer, pending time.Time, ok bool)
}
