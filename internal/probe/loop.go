package probe

import (
	"context"
	"fmt"
	"time"

	"bulsa/internal/worker"
)

const (
	// turning is how long an iteration may have lasted for the loop to pass.
	turning = 200 * time.Millisecond
	// lookAgain is the time between two looks at a loop that does not turn.
	lookAgain = 20 * time.Millisecond
)

// loop passes as soon as the event loop turns. It costs the worker nothing.
func (a attempt) loop(ctx context.Context) worker.CheckResult {
	ctx, cancel := context.WithDeadline(ctx, a.deadline)
	defer cancel()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		silent, known := time.Duration(0), false
		if a.target.Loop != nil {
			silent, known = a.target.Loop()
		}
		if known && silent < turning {
			return worker.CheckResult{ExitCode: exitPassed, Output: "the event loop turns"}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return a.silent(silent, known)
		}
	}
}

func (a attempt) silent(silent time.Duration, known bool) worker.CheckResult {
	switch {
	case time.Now().Before(a.deadline):
		return failed(exitTimedOut, "the check was called off")
	case !known:
		return failed(exitTimedOut, "no event loop is known of this worker: probe.loop is for Node workers with event_loop.monitor on")
	}
	return failed(exitTimedOut, fmt.Sprintf("the event loop has not turned for %.1f s", silent.Seconds()))
}
