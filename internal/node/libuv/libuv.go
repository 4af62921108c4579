// Package libuv reads the event loop of a Node process from outside, by
// process_vm_readv(2). The process executes nothing for it and does not notice,
// also while its loop is blocked.
//
// Official binaries, and those of most version managers, carry a symbol table:
// it names default_loop_struct, the main loop, and the thread pool's variables.
// Where the fields lie within is not written anywhere; it is taken from the
// program's own code (uv_now, uv_version), and the caller confirms it against
// what the process says about itself before it believes a figure. Programs
// without a symbol table, with a shared libuv or with another runtime cannot be
// read: Open says so.
package libuv

import (
	"errors"
	"fmt"
	"time"

	"bulsa/internal/eventloop"
)

// errUnknown is wrapped by errors about programs that cannot be read.
var errUnknown = errors.New("its event loop cannot be read from outside")

func unknown(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUnknown, fmt.Sprintf(format, args...))
}

// slack is how far two clocks that measure the same may differ: the loop's own
// clock has milliseconds.
const slack = 2 * time.Millisecond

// Confirm compares what was read with what the process says. before was read
// before the question was sent, after when its answer had come. An error means
// that the layout is wrong and nothing that was read can be believed.
func Confirm(before, after eventloop.Reading, a eventloop.Answer) error {
	if a.Idle <= 0 {
		return unknown("it has not waited for an event yet")
	}
	if a.Idle < before.Idle-slack || a.Idle > after.Idle+slack {
		return unknown("it says that it idled for %v, and %v to %v were read", a.Idle, before.Idle, after.Idle)
	}
	if a.Iterations != 0 && (a.Iterations < before.Iterations || a.Iterations > after.Iterations) {
		return unknown("it says that it is in iteration %d, and %d to %d were read", a.Iterations, before.Iterations, after.Iterations)
	}
	// It read the question after a wait, and looked at the clock then.
	if asked := a.Clock - a.RoundTrip; after.Clock < asked-slack {
		return unknown("its clock was read as %v, and it was asked at %v", after.Clock, asked)
	}
	return nil
}
