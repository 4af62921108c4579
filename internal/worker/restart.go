package worker

import (
	"fmt"
	"time"

	"bulsa/internal/spec"
)

// requestMaxDelay is where the delay after deaths by requests stops to double: a
// program that serves between them is worth more than what its starts cost.
const requestMaxDelay = time.Second

// vainKept is how many starts in vain are remembered.
const vainKept = 3

// strayWeight is how many kills in a row of runs that served nothing count as one
// death.
const strayWeight = 8

// history is what is remembered of a worker's ends: enough to wait longer each
// time, and to give up when there are too many. Copies of it are independent.
type history struct {
	step     int         // doublings of the delay after crashes so far
	requests int         // ... after deaths by requests
	deaths   []time.Time // counted ones inside the window, oldest first; bounded; never changed, only replaced
	strays   int         // kills in a row of runs that had served nothing
	unproven int         // runs in a row that were replaced without ever having been healthy
	proven   bool        // some run was ready
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

// exhausted reports whether the user's limit of restarts is reached: there will be no other.
func (h *history) exhausted(policy spec.Restart) bool {
	return policy.MaxAttempts > 0 && len(h.deaths) > policy.MaxAttempts
}

// overdrawn reports whether the crash budget is used up: only slow retries are left.
func (h *history) overdrawn(policy spec.Restart) bool {
	return policy.Budget > 0 && len(h.deaths) >= policy.Budget
}

// nextDelay returns how long to wait before the next start, and doubles it for
// the one after.
func (h *history) nextDelay(policy spec.Restart) time.Duration {
	delay := doubled(policy.Delay, h.step, policy.MaxDelay)
	if delay < policy.MaxDelay {
		h.step++
	}
	return delay
}

// nextRequestDelay is nextDelay after a death by a request: nothing at first.
func (h *history) nextRequestDelay(policy spec.Restart) time.Duration {
	h.requests++
	if h.requests == 1 {
		return 0
	}
	return doubled(policy.Delay, h.requests-2, min(requestMaxDelay, policy.MaxDelay))
}

// doubled is delay, doubled so many times, but no more than most; at least delay.
func doubled(delay time.Duration, times int, most time.Duration) time.Duration {
	result := delay
	for range times {
		if result >= most {
			break
		}
		result *= 2
	}
	return min(result, max(most, delay))
}

// jitter varies d by up to Restart.Jitter of itself, either way.
func (m *Machine) jitter(d time.Duration) time.Duration {
	unit := float64(m.random.Uint64()>>11) / (1 << 53) // [0,1)
	return d + time.Duration((2*unit-1)*m.config.Restart.Jitter*float64(d))
}

// wantsRestart applies the restart condition. A voluntary end is no success
// even with status 0: somebody told the worker to go, its work is not done.
func (m *Machine) wantsRestart(e Exit) bool {
	switch m.config.Restart.Condition {
	case spec.RestartNever:
		return false
	case spec.RestartOnFailure:
		return e.Code != 0 || e.Signal != "" || e.Voluntary
	case spec.RestartServing:
		return m.serves || !e.byItself() || e.Code != 0 && m.lasted
	}
	return true
}

// byItself tells the ends that the program chose, from kills and from starts that
// did not come about.
func (e Exit) byItself() bool {
	return e.Signal == "" && !e.OOM && !e.Voluntary && e.Code >= 0
}

// noRestart says why there is no other start.
func (m *Machine) noRestart(e Exit, cause string) string {
	switch policy := m.config.Restart; {
	case policy.Condition != spec.RestartServing:
		return fmt.Sprintf("%s, restart policy %s", cause, policy.Condition)
	case e.Code == 0:
		return cause + ", its work is done"
	default:
		return fmt.Sprintf("%s; it is not started again, since it neither serves nor ran for %s (restart: always would)", cause, longSpan(policy.ResetAfter))
	}
}

// blame is who is held responsible for a death that nobody asked the machine for.
type blame int

const (
	theProgram blame = iota // it counts, and the delay doubles
	aRequest                // that was with the run when it died: it counts against the request alone
	somebody                // who killed the run from outside, or had it leave its cluster
)

// blame says who is responsible for the end of the run. A run that was never ready
// has crashed by itself, unless it was killed while an earlier one had been ready:
// then the program is known to start, and kills may hit it at any moment.
func (m *Machine) blame(e Exit) blame {
	switch {
	case onPurpose(e) && m.history.proven && !m.stray(e):
		return somebody
	case m.proven && e.Busy && m.config.Restart.MaxAttempts == 0: // who limits restarts means all of them
		return aRequest
	}
	return theProgram
}

// onPurpose tells the ends that somebody wanted: a kill from outside, or a
// worker that left its cluster by itself. The kernel's out-of-memory killer is
// the program's own fault.
func onPurpose(e Exit) bool {
	return e.Voluntary || e.Signal == "SIGKILL" && !e.OOM
}

// stray counts the kills of runs that had served nothing, and reports those that
// count as deaths. A chaos test's kills say nothing about the program: thousands of
// them must never stop a service. A run without a request may have been hit just as
// well, but proves less: of those in a row a part counts, so that a program which
// kills itself as soon as it is up ends as failed all the same.
func (m *Machine) stray(e Exit) bool {
	if e.Served {
		m.history.strays = 0
		return false
	}
	m.history.strays++
	return m.history.strays%strayWeight == 0
}

// afterDeath decides between another start at once, soon or slowly, and none.
func (m *Machine) afterDeath(now time.Time, e Exit, cause string) {
	policy := m.config.Restart
	m.lasted = m.lasted || now.Sub(m.launched) >= policy.ResetAfter
	if !m.proven {
		m.vain = append(m.vain[max(0, len(m.vain)-vainKept+1):len(m.vain):len(m.vain)], now)
	}
	if !m.wantsRestart(e) {
		m.finished = true
		m.enter(now, Pending, m.noRestart(e, cause), time.Time{})
		return
	}
	m.steady()
	switch m.blame(e) {
	case somebody:
		m.enter(now, Backoff, cause, now)
	case aRequest:
		m.enter(now, Backoff, cause, now.Add(m.jitter(m.history.nextRequestDelay(policy))))
	default:
		m.countDeath(now, cause)
	}
}

// steady lets the delays begin anew when the run was ready for long enough.
func (m *Machine) steady() {
	if m.proven && m.tenure >= m.config.Restart.ResetAfter {
		m.history.step, m.history.requests = 0, 0
	}
}

func (m *Machine) countDeath(now time.Time, cause string) {
	policy := m.config.Restart
	m.history.add(now, policy)
	switch {
	case m.history.exhausted(policy):
		m.enter(now, Failed, fmt.Sprintf("max_attempts: %s in %s, last: %s", count(policy.MaxAttempts, "restart"), longSpan(policy.Window), cause), time.Time{})
	case m.history.overdrawn(policy):
		m.enter(now, Failed, fmt.Sprintf("%s in %s, last: %s", count(len(m.history.deaths), "death"), longSpan(policy.Window), cause), now.Add(policy.FailedRetry))
	default:
		m.enter(now, Backoff, cause, now.Add(m.jitter(m.history.nextDelay(policy))))
	}
}

// needed is the panic rule of restarts, as ejection has one: while requests wait
// and no worker of the service is ready, a run that can serve is started soon,
// whatever its last end was held to be. Where not even its last start led to a
// ready run, the crash budget goes on to count: more starts would serve nobody.
func (m *Machine) needed(now time.Time, cause string) []Effect {
	if !m.Callable() {
		return nil
	}
	if soon := m.ended.Add(m.jitter(m.config.Restart.Delay)); soon.Before(m.deadline) {
		m.deadline = soon
	}
	if m.due(now) {
		return m.launch(now, fmt.Sprintf("%s; %s", cause, m.cause))
	}
	return nil
}
