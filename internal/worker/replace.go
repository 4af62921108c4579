package worker

import (
	"fmt"
	"time"
)

// Past is what the machine of a worker knows of its earlier runs. The machine
// that takes the place of an unhealthy one goes on with it.
type Past struct{ history history }

// Past returns what a successor of this machine must know.
func (m *Machine) Past() Past { return Past{m.history} }

// sicken is what follows when the run has become unhealthy: out of rotation, and
// where the policy wants another, that, at once or after a wait.
func (m *Machine) sicken(now time.Time, published bool, cause string) []Effect {
	var effects []Effect
	if published {
		effects = append(effects, m.effect(Unpublish, cause))
	}
	if !m.config.Health.Replace {
		return effects
	}
	wait, why, ever := m.patience(now)
	switch {
	case !ever:
		m.cause = fmt.Sprintf("%s; it is not replaced any more: %s", cause, why)
	case wait > 0:
		m.replaceAt = now.Add(wait)
		m.cause = fmt.Sprintf("%s; it is waited for, then replaced in %s: %s", cause, longSpan(wait.Round(time.Second)), why)
	default:
		return append(effects, m.replace(now, cause)...)
	}
	return effects
}

// patience is how long an unhealthy run is waited for before it is replaced. An end
// by replacement counts as a death does: the waits grow, and when the budget is used
// up they are as long as those of a failed worker. A program that was never healthy
// gets one more try, and then time, longer each try: Docker would wait for ever,
// and a program that needs a minute must not be killed after two seconds each time.
// A silent event loop is no matter of patience.
func (m *Machine) patience(now time.Time) (wait time.Duration, why string, ever bool) {
	policy, h := m.config.Restart, m.history
	h.add(now, policy)
	deaths := fmt.Sprintf("%s in %s", count(len(h.deaths), "death"), longSpan(policy.Window))
	switch {
	case m.silent != "":
		return 0, "", true
	case h.exhausted(policy):
		return 0, "max_attempts, " + deaths, false
	case !m.proven && h.unproven > 0:
		return doubled(policy.FailedRetry, h.unproven-1, max(policy.Window, policy.FailedRetry)), "it has never been healthy", true
	case h.overdrawn(policy):
		return policy.FailedRetry, deaths, true
	}
	m.steady()
	if m.history.step == 0 {
		return 0, "", true
	}
	return m.jitter(doubled(policy.Delay, m.history.step-1, policy.MaxDelay)), deaths, true
}

// replace asks for another in the place of this run, and counts its end.
func (m *Machine) replace(now time.Time, cause string) []Effect {
	m.replaceAt, m.replaced = time.Time{}, true
	if m.silent == "" {
		m.history.add(now, m.config.Restart)
		m.history.step++
	}
	if !m.proven {
		m.history.unproven++
	}
	return []Effect{m.effect(Replace, cause)}
}

// replaceDue asks for another when the unhealthy run was waited for in vain.
func (m *Machine) replaceDue(now time.Time) []Effect {
	if m.state != Unhealthy || m.replaceAt.IsZero() || now.Before(m.replaceAt) {
		return nil
	}
	return m.replace(now, m.cause)
}

// fallSilent notes that the event loop of the run does not turn. What is inside
// cannot end, so a drain waits in vain. A run that was asked to end keeps its grace:
// it may be busy with that.
func (m *Machine) fallSilent(now time.Time, cause string) []Effect {
	m.silent = cause
	switch {
	case m.state == Draining:
		return m.kill(now, fmt.Sprintf("%s; %s", m.cause, cause))
	case m.state == Unhealthy && !m.replaceAt.IsZero():
		m.cause = cause
		return m.replace(now, cause)
	}
	return m.judge(now, cause)
}
