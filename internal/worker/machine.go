package worker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"bulsa/internal/spec"
)

// Config is what a Machine must know of its service.
type Config struct {
	Health  spec.Health
	Restart spec.Restart
	Stop    spec.Stop
	// FirstRun is how many runs were numbered before: the first run of this
	// machine is FirstRun+1. Two living machines of one name need ranges that
	// never meet.
	FirstRun int
	// Stagger is added to the wait for the first check in the regular rhythm, so
	// that workers that were launched in the same moment do not go on to be
	// checked in the same moment. It is less than an interval in any case.
	Stagger time.Duration
	// Past is that of the machine whose unhealthy run this one takes the place of;
	// nil: it takes nobody's.
	Past *Past
}

// Machine is the life of one worker. It is owned by one goroutine. Of the
// fields below, those of a run are only meaningful while instance is set.
type Machine struct {
	name   string
	config Config
	random rand.PCG // jitter

	state    State
	since    time.Time // when state was entered
	cause    string    // why it is in state
	deadline time.Time // draining, stopping, backoff, failed: when Wake is due; zero: never

	runs      int    // number of the latest run
	instance  string // of the current run; "" while there is none
	launched  time.Time
	ended     time.Time // when the latest run died
	listening bool
	monitor   monitor
	tenure    time.Duration // longest time that the current run stayed ready
	proven    bool          // the current or latest run has been ready
	serves    bool          // some run listened where clients reach it, or passed a check
	lasted    bool          // some run was up for Restart.ResetAfter
	vain      []time.Time   // since a run was ready: deaths of runs that were not; bounded; never changed, only replaced
	sickAt    time.Time     // ... when one became unhealthy; zero: none has

	silent   string // why the run is unhealthy whatever its checks say
	unusable string // why the run is being stopped for good
	finished bool   // ended, and the restart policy wants no more

	replaceAt time.Time // unhealthy: when another shall take its place; zero: it is asked for, or will not be
	replaced  bool      // another was asked for in the place of the current or latest run
	restarts  int
	history   history
	lastExit  *Exit
}

// New returns the machine of the worker name ("app.2"), pending. The seed
// decides the jitter of its restarts: workers that die together should not all
// come back in the same millisecond.
func New(name string, c Config, seed uint64) Machine {
	m := Machine{
		name:    name,
		config:  c,
		random:  *rand.NewPCG(seed, 0),
		runs:    c.FirstRun,
		cause:   "not started",
		monitor: newMonitor(c.Health, c.Stagger),
	}
	if c.Past != nil {
		m.history, m.replaced = c.Past.history, true
	}
	return m
}

// State returns where the worker is in its life.
func (m *Machine) State() State { return m.state }

// Since returns when the worker entered its state; zero before the first fact.
func (m *Machine) Since() time.Time { return m.since }

// Cause returns why the worker is in its state, as a person reads it.
func (m *Machine) Cause() string { return m.cause }

// Instance returns the id of the current run, or "" while there is none.
func (m *Machine) Instance() string { return m.instance }

// Runs returns the number of the latest run, counted from Config.FirstRun.
func (m *Machine) Runs() int { return m.runs }

// Restarts returns how often the worker was launched again after a death, or in
// the place of an unhealthy run.
func (m *Machine) Restarts() int { return m.restarts }

// Health returns Docker's word: none, starting, healthy or unhealthy. A worker
// that has ended reads unhealthy, as a stopped container does.
func (m *Machine) Health() string {
	health := m.monitor.overall()
	if health != healthNone && m.instance == "" && m.runs > m.config.FirstRun {
		return healthUnhealthy
	}
	if m.silent != "" && m.instance != "" {
		return healthUnhealthy
	}
	return health
}

// Streak returns how many counted checks in a row have failed.
func (m *Machine) Streak() int { return max(m.monitor.failures, m.monitor.report.Streak) }

// Log returns the last five check results, oldest first. It is never changed
// afterwards: the next result makes a new one.
func (m *Machine) Log() []CheckResult { return m.monitor.results() }

// LastExit returns how the latest finished run ended, or nil.
func (m *Machine) LastExit() *Exit { return m.lastExit }

// Finished reports whether the worker ended by itself and the restart policy
// wants no more of it. LastExit has the status.
func (m *Machine) Finished() bool { return m.finished }

// Vain returns when the last runs died that were not ready, since one was, and
// when one turned unhealthy before it was ready: a start that leads to nothing.
func (m *Machine) Vain() (deaths []time.Time, unhealthy time.Time) { return m.vain, m.sickAt }

// Silent reports whether the event loop of the current run does not turn: it can
// neither finish a request nor hear a signal.
func (m *Machine) Silent() bool { return m.silent != "" && m.instance != "" }

// Callable reports whether Needed would have the worker start sooner than it is due.
func (m *Machine) Callable() bool {
	return (m.state == Backoff || m.state == Failed) && m.proven && !m.deadline.IsZero()
}

// Wake returns when the machine wants a Wake fact; zero: nothing to wait for.
func (m *Machine) Wake() time.Time {
	switch m.state {
	case Starting, Ready, Unhealthy:
		return earlier(m.monitor.next(), m.replaceAt)
	}
	return m.deadline
}

// earlier is the first of two times, of which a zero one never comes.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Step takes a fact and returns what to do about it, in order. Every pair of
// state and fact that is not listed here is ignored.
func (m *Machine) Step(now time.Time, f Fact) []Effect {
	if m.stale(f) {
		return nil
	}
	switch m.state {
	case Pending, Backoff, Failed:
		return m.stepResting(now, &f)
	case Starting, Ready, Unhealthy:
		return m.stepRunning(now, &f)
	case Draining:
		return m.stepDraining(now, &f)
	case Stopping:
		return m.stepStopping(now, &f)
	}
	return nil
}

// stale tells facts about a run that is over. Acting on one would, for
// instance, count the death of the last run against the new one.
func (m *Machine) stale(f Fact) bool {
	switch f.Kind {
	case Listening, Checked, Exited, Idle, Unusable, LoopSilent, LoopAlive, Reported:
		return m.instance == "" || f.Instance != m.instance
	}
	return false
}

func (m *Machine) stepResting(now time.Time, f *Fact) []Effect {
	switch f.Kind {
	case Start:
		if !m.replaced { // somebody asks: what went wrong before is no longer held against it
			m.history.forget()
		}
		return m.launch(now, either(f.Cause, "asked to start"))
	case Needed:
		return m.needed(now, either(f.Cause, "requests wait"))
	case Wake:
		if m.due(now) {
			return m.launch(now, m.cause)
		}
	case Drain, ForceStop:
		return m.done(now, either(f.Cause, "asked to stop"))
	}
	return nil
}

func (m *Machine) stepRunning(now time.Time, f *Fact) []Effect {
	switch f.Kind {
	case Listening:
		m.serves = m.serves || f.Serves
		return m.listens(now, either(f.Cause, "it listens"))
	case Checked:
		return m.checked(now, f.Result)
	case Reported:
		if f.Report.Status == healthStarting && m.state != Starting {
			return nil // a run starts once; this report is about what was before
		}
		m.monitor.report = f.Report
		return m.judge(now, m.monitor.verdict())
	case Wake:
		return append(m.replaceDue(now), m.checkDue(now)...)
	case Exited:
		return m.died(now, f.Exit)
	case Drain:
		return m.drain(now, either(f.Cause, "asked to stop"))
	case Unusable:
		return m.giveUp(now, either(f.Cause, "cannot serve as configured"))
	case LoopSilent:
		return m.fallSilent(now, either(f.Cause, "event loop silent"))
	case LoopAlive:
		m.silent = ""
		return m.judge(now, either(f.Cause, "event loop turns again"))
	case ForceStop:
		return m.forceStop(now, either(f.Cause, "asked to stop at once"))
	}
	return nil
}

func (m *Machine) stepDraining(now time.Time, f *Fact) []Effect {
	switch f.Kind {
	case Idle:
		return m.terminate(now, m.cause)
	case Wake:
		if m.due(now) {
			return m.terminate(now, fmt.Sprintf("%s; requests still in flight after %s", m.cause, span(m.config.Stop.Drain)))
		}
	case Exited:
		return m.stopped(now, f.Exit)
	case LoopSilent:
		return m.fallSilent(now, either(f.Cause, "event loop silent"))
	case ForceStop:
		return m.forceStop(now, either(f.Cause, "asked to stop at once"))
	}
	return nil
}

func (m *Machine) stepStopping(now time.Time, f *Fact) []Effect {
	switch f.Kind {
	case Wake:
		if m.due(now) {
			return m.kill(now, fmt.Sprintf("did not end within %s of %s", span(m.config.Stop.Grace), either(m.config.Stop.Signal, "SIGTERM")))
		}
	case Drain:
		// Wanted gone by the user now, too: the end is a stop, not a failure.
		m.unusable = ""
	case Exited:
		return m.stopped(now, f.Exit)
	case ForceStop:
		m.unusable = ""
		return m.forceStop(now, either(f.Cause, "asked to stop at once"))
	}
	return nil
}

// due guards against timers that were set for an earlier deadline.
func (m *Machine) due(now time.Time) bool {
	return !m.deadline.IsZero() && !now.Before(m.deadline)
}

func (m *Machine) launch(now time.Time, cause string) []Effect {
	if m.state != Pending || m.replaced {
		m.restarts++
		cause = fmt.Sprintf("restart %d: %s", m.restarts, cause)
	}
	m.runs++
	m.instance = fmt.Sprintf("%s#%d", m.name, m.runs)
	m.launched = now
	m.listening = false
	m.tenure, m.proven = 0, false
	m.silent, m.unusable, m.finished = "", "", false
	m.replaceAt, m.replaced = time.Time{}, false
	m.monitor.begin(now)
	m.enter(now, Starting, cause, time.Time{})
	return []Effect{m.effect(Launch, cause)}
}

// listens checks at once instead of after a whole interval: the worker is
// known to be reachable now, which Docker cannot know.
func (m *Machine) listens(now time.Time, cause string) []Effect {
	if m.listening {
		return nil // another port
	}
	m.listening = true
	effects := m.judge(now, cause)
	if m.state != Ready && m.monitor.hasten(now) {
		effects = append(effects, m.effect(Check, cause))
	}
	return effects
}

func (m *Machine) checkDue(now time.Time) []Effect {
	if cause, due := m.monitor.due(now); due {
		return []Effect{m.effect(Check, cause)}
	}
	return nil
}

func (m *Machine) checked(now time.Time, r CheckResult) []Effect {
	if !m.monitor.record(now, r) {
		return nil
	}
	effects := m.judge(now, m.monitor.verdict())
	return append(effects, m.checkDue(now)...)
}

// judge derives the state of a run from what is known of it: unhealthy when
// its checks or its event loop say so, ready when it listens and its checks, if
// any, passed.
func (m *Machine) judge(now time.Time, cause string) []Effect {
	next := Starting
	switch {
	case m.monitor.overall() == healthUnhealthy, m.silent != "":
		next = Unhealthy
	case m.listening && m.monitor.passed():
		next = Ready
	}
	if next == m.state {
		return nil
	}
	published := m.state == Ready
	m.enter(now, next, cause, time.Time{})
	m.replaceAt, m.replaced = time.Time{}, false
	switch {
	case next == Ready:
		m.proven, m.history.proven, m.history.unproven = true, true, 0
		m.serves = m.serves || m.monitor.overall() == healthHealthy
		m.vain, m.sickAt = nil, time.Time{}
		return []Effect{m.effect(Publish, cause)}
	case next == Unhealthy:
		if !m.proven {
			m.sickAt = now
		}
		return m.sicken(now, published, cause)
	}
	return nil
}

func (m *Machine) drain(now time.Time, cause string) []Effect {
	switch {
	case m.silent != "": // neither a request nor a signal gets anywhere
		if !strings.Contains(cause, m.silent) {
			cause = fmt.Sprintf("%s; %s", cause, m.silent)
		}
		return m.forceStop(now, cause)
	case m.state == Starting:
		return m.terminate(now, cause) // it never had a request
	}
	m.enter(now, Draining, cause, now.Add(m.config.Stop.Drain))
	return []Effect{m.effect(Unpublish, cause)}
}

// giveUp stops a run that can never serve. Trying again would end the same way.
func (m *Machine) giveUp(now time.Time, cause string) []Effect {
	effects := m.withdraw(cause)
	m.unusable = cause
	return append(effects, m.terminate(now, cause)...)
}

func (m *Machine) forceStop(now time.Time, cause string) []Effect {
	effects := m.withdraw(cause)
	return append(effects, m.kill(now, cause)...)
}

func (m *Machine) terminate(now time.Time, cause string) []Effect {
	if m.silent != "" {
		return m.kill(now, cause)
	}
	m.enter(now, Stopping, cause, now.Add(m.config.Stop.Grace))
	return []Effect{m.effect(Terminate, cause)}
}

// kill is repeated while the end is not seen: a fork at the wrong moment may
// have escaped the first one.
func (m *Machine) kill(now time.Time, cause string) []Effect {
	m.enter(now, Stopping, cause, now.Add(max(m.config.Stop.Grace, time.Second)))
	return []Effect{m.effect(Kill, cause)}
}

// died handles an end that nobody asked this machine for.
func (m *Machine) died(now time.Time, e Exit) []Effect {
	cause := e.describe(now.Sub(m.launched))
	effects := m.withdraw(cause)
	m.leaveReady(now)
	m.lastExit, m.instance, m.ended = &e, "", now
	m.afterDeath(now, e, cause)
	return effects
}

// stopped handles the end of a run that was asked to end.
func (m *Machine) stopped(now time.Time, e Exit) []Effect {
	m.lastExit = &e
	if m.unusable != "" {
		m.instance = ""
		m.enter(now, Failed, m.unusable, time.Time{})
		return nil
	}
	return m.done(now, fmt.Sprintf("%s; %s", m.cause, e.describe(now.Sub(m.launched))))
}

func (m *Machine) done(now time.Time, cause string) []Effect {
	done := m.effect(Done, cause)
	m.instance = ""
	m.enter(now, Pending, cause, time.Time{})
	return []Effect{done}
}

// withdraw takes a published run out of rotation.
func (m *Machine) withdraw(cause string) []Effect {
	if m.state != Ready {
		return nil
	}
	return []Effect{m.effect(Unpublish, cause)}
}

func (m *Machine) enter(now time.Time, s State, cause string, deadline time.Time) {
	m.leaveReady(now)
	if s != m.state {
		m.since = now
	}
	m.state, m.cause, m.deadline = s, cause, deadline
}

func (m *Machine) leaveReady(now time.Time) {
	if m.state == Ready {
		m.tenure = max(m.tenure, now.Sub(m.since))
	}
}

func (m *Machine) effect(k EffectKind, cause string) Effect {
	return Effect{Kind: k, Instance: m.instance, Cause: cause}
}
