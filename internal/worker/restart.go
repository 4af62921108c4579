package worker

import (
	"time"

	"bulsa/internal/spec"
)

// history is what is remembered of a worker's deaths: enough to wait longer
// each time, and to give up when there are too many.
type history struct {
	step   int         // doublings of the delay so far
	deaths []time.Time // counted ones inside the window, oldest first; bounded
	strays int         // kills of runs that were ready and had served nothing
}

func (h *history) forget() { *h = history{} }

// add counts a death. Only as many are kept as a limit can ask for.
func (h *history) add(now time.Time, policy spec.Restart) {
	limit := max(policy.Budget, policy.MaxAttempts+1)
	kept := make([]time.Time, 0, len(h.deaths)+1)
	for _, at := range h.deaths {
		if now.Sub(at) < policy.Window {
			kept = append(kept, at)
		}
	}
	kept = append(kept, now)
	h.deaths = kept[max(0, len(kept)-limit):]
}

// nextDelay returns how long to wait before the next start, and doubles it for
// the one after.
func (h *history) nextDelay(policy spec.Restart) time.Duration {
	delay := policy.Delay
	for range h.step {
		if delay >= policy.MaxDelay {
			break
		}
		delay *= 2
	}
	if delay < policy.MaxDelay {
		h.step++
	}
	return min(delay, max(policy.MaxDelay, policy.Delay))
}

// jitter varies d by up to Restart.Jitter of itself, either way.
func (m *Machine) jitter(d time.Duration) time.Duration {
	unit := float64(m.random.Uint64()>>11) / (1 << 53) // [0,1)
	return d + time.Duration((2*unit-1)*m.config.Restart.Jitter*float64(d))
}

// wantsRestart applies the restart condition. A voluntary end is no success
// even with status 0: somebody told the worker to go, its work is not done.
func wantsRestart(policy spec.Restart, e Exit) bool {
	switch policy.Condition {
	case spec.RestartNever:
		return false
	case spec.RestartOnFailure:
		return e.Code != 0 || e.Signal != "" || e.Voluntary
	}
	return true
}

// onPurpose tells the ends that somebody wanted: a kill from outside, or a
// worker that left its cluster by itself. The kernel's out-of-memory killer is
// the program's own fault.
func onPurpose(e Exit) bool {
	return e.Voluntary || e.Signal == "SIGKILL" && !e.OOM
}

// strayWeight is how many kills of runs that were ready but never served count
// as one death.
const strayWeight = 8

// excused tells the deaths that say nothing about the program: it was ready, and
// then killed or sent away by an operator, a chaos test or a route of its own.
// Thousands of those must never stop a service, so they neither count nor
// lengthen the delay. A run that had no request yet may have been hit just as
// well, but proves less: of those a part counts, so that a program which kills
// itself as soon as it is up ends as failed all the same.
func (m *Machine) excused(e Exit) bool {
	if !m.proven || !onPurpose(e) {
		return false
	}
	if e.Served {
		return true
	}
	m.history.strays++
	return m.history.strays%strayWeight != 0
}
