package worker

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"bulsa/internal/spec"
)

// Docker's words for the health of a container.
const (
	healthNone      = "none"
	healthStarting  = "starting"
	healthHealthy   = "healthy"
	healthUnhealthy = "unhealthy"
)

// What Docker uses where the user said nothing (moby, daemon/health.go).
const (
	defaultInterval      = 30 * time.Second
	defaultStartInterval = 5 * time.Second
	defaultRetries       = 3
	maxLog               = 5
	maxOutput            = 4096 // bytes of a result
)

// monitor is Docker's health state machine (moby, daemon/health.go: monitor
// and handleProbeResult) without its goroutine. It adds two things: Passes,
// and an early check when the worker listens.
type monitor struct {
	health  spec.Health
	enabled bool
	stagger time.Duration // see Config

	status   string
	launched time.Time
	at       time.Time // the next check is due; zero: not scheduled
	why      string    // why it is due then
	phase    phase
	graced   bool // the first success has ended the start period
	failures int  // counted ones, in a row
	passes   int  // in a row
	log      []CheckResult

	report Report // of the engine's own checks, beside these; no Status: it makes none
}

// phase is how far the next result is.
type phase int

const (
	resting   phase = iota // no check is in flight
	earlyNext              // none is, and the next one is early
	regular                // one is
	early                  // one is, which Docker would not have made yet
	outrun                 // one is that began before the worker listened: check again at once
)

func (p phase) running() bool { return p >= regular }

func newMonitor(h spec.Health, stagger time.Duration) monitor {
	m := monitor{health: h, enabled: h.Enabled(), stagger: stagger, status: healthNone}
	if !m.enabled {
		return m
	}
	m.status = healthStarting
	if m.health.Interval <= 0 {
		m.health.Interval = defaultInterval
	}
	if m.health.StartInterval <= 0 {
		m.health.StartInterval = defaultStartInterval
	}
	if m.health.Retries <= 0 {
		m.health.Retries = defaultRetries
	}
	m.health.Passes = max(m.health.Passes, 1)
	return m
}

// begin resets all but the log, which Docker keeps across restarts, too.
func (m *monitor) begin(now time.Time) {
	m.report = Report{}
	if !m.enabled {
		return
	}
	log := m.log
	*m = newMonitor(m.health, m.stagger)
	m.log, m.launched = log, now
	m.schedule(now, m.stagger)
}

// schedule plans the next check one interval after from, which is the launch
// or the end of the last check, and a part of an interval later still.
func (m *monitor) schedule(from time.Time, later time.Duration) {
	wait, name := m.health.Interval, "interval"
	if m.status == healthStarting && from.Sub(m.launched) < m.health.StartPeriod {
		wait, name = m.health.StartInterval, "start_interval"
	}
	m.at, m.why = from.Add(wait+later%wait), name
}

// next returns when the monitor wants to be asked; zero: never, or not before
// the check in flight has ended.
func (m *monitor) next() time.Time {
	if !m.enabled || m.phase.running() {
		return time.Time{}
	}
	return m.at
}

// due begins a check if its time has come.
func (m *monitor) due(now time.Time) (cause string, due bool) {
	if !m.enabled || m.phase.running() || now.Before(m.at) {
		return "", false
	}
	if m.phase == earlyNext {
		m.phase = early
	} else {
		m.phase = regular
	}
	return m.why, true
}

// hasten begins an early check. Its failure is not counted while the worker
// has not proved itself: a check that Docker would not have made can only help.
func (m *monitor) hasten(now time.Time) bool {
	if !m.enabled {
		return false
	}
	if m.phase.running() {
		m.phase = outrun
		return false
	}
	m.at, m.phase = now, early
	return true
}

// record takes a finished check into account. It reports false when no check
// was in flight.
func (m *monitor) record(now time.Time, r CheckResult) bool {
	if !m.phase.running() {
		return false
	}
	m.keep(r)
	if r.Passed() {
		m.pass()
	} else {
		m.fail(r)
	}
	later := time.Duration(0)
	if m.phase == early {
		later = m.stagger
	}
	wasOutrun := m.phase == outrun
	m.phase = resting
	m.schedule(endOf(r, now), later)
	if wasOutrun && m.status != healthHealthy {
		m.at, m.why, m.phase = now, "it listens", earlyNext
	}
	return true
}

// pass: one success is enough for a worker that has not been unhealthy, as in
// Docker; Passes is for those that have.
func (m *monitor) pass() {
	m.graced = true
	m.failures = 0
	m.passes++
	if m.status != healthUnhealthy || m.passes >= m.health.Passes {
		m.status = healthHealthy
	}
}

func (m *monitor) fail(r CheckResult) {
	m.passes = 0
	if m.status == healthStarting && (m.phase == early || m.inGrace(r)) {
		return
	}
	m.failures++
	if m.failures >= m.health.Retries {
		m.status = healthUnhealthy
	}
}

// inGrace looks at the start of the check, as Docker does: a slow check that
// began inside the start period is forgiven.
func (m *monitor) inGrace(r CheckResult) bool {
	return !m.graced && r.Start.Sub(m.launched) < m.health.StartPeriod
}

func (m *monitor) keep(r CheckResult) {
	if len(r.Output) > maxOutput {
		r.Output = r.Output[:maxOutput]
	}
	kept := make([]CheckResult, 0, maxLog)
	m.log = append(append(kept, m.log[max(0, len(m.log)-maxLog+1):]...), r)
}

// passed reports whether the checks, if any, let the worker be ready.
func (m *monitor) passed() bool { return m.overall() == healthNone || m.overall() == healthHealthy }

// overall is the worse of what bulsa's checks and the engine's own say.
func (m *monitor) overall() string {
	for _, worst := range []string{healthUnhealthy, healthStarting, healthHealthy} {
		if m.status == worst || m.report.Status == worst {
			return worst
		}
	}
	return healthNone
}

// results are the last checks of both kinds, in the order in which they ended.
func (m *monitor) results() []CheckResult {
	if len(m.report.Log) == 0 {
		return m.log[:len(m.log):len(m.log)]
	}
	all := append(slices.Clone(m.log), m.report.Log...)
	slices.SortStableFunc(all, func(a, b CheckResult) int { return a.End.Compare(b.End) })
	return all[max(0, len(all)-maxLog):]
}

// verdict says in words what the last results amount to.
func (m *monitor) verdict() string {
	log, failures, lacks := m.log, m.failures, "is not installed here"
	switch {
	case m.status == healthUnhealthy:
	case m.report.Status == healthUnhealthy:
		log, failures, lacks = m.report.Log, m.report.Streak, "is not in the image"
	default:
		return "check passed"
	}
	if len(log) == 0 {
		return "the engine's own checks failed"
	}
	text := count(failures, "check") + " in a row "
	last := log[len(log)-1]
	words := lastWords(last.Output)
	switch {
	case last.ExitCode == -1 && strings.HasPrefix(last.Output, "OCI runtime exec failed"): // Docker's words for a command that is not there
		text += "could not run"
	case last.ExitCode == -1:
		text += "failed, the last one timed out"
	default:
		text += fmt.Sprintf("failed, the last one with exit status %d", last.ExitCode)
	}
	if words != "" {
		text += ": " + words
	}
	if program := missingProgram(last); program != "" {
		text += fmt.Sprintf(" (%s %s; x-bulsa.probe needs no program)", program, lacks)
	}
	return text
}

// mostWords bounds what is repeated of a check's output.
const mostWords = 200

// lastWords are the last line of a check's output that says something.
func lastWords(output string) string {
	lines := strings.FieldsFunc(output, func(r rune) bool { return r == '\n' || r == '\r' })
	for _, line := range slices.Backward(lines) {
		if line = strings.TrimSpace(line); line != "" {
			return line[:min(len(line), mostWords)]
		}
	}
	return ""
}

// missingProgram is the program that a check could not find, the usual reason why
// a check never passes: curl in an image that has none. Shells end with 127 then,
// and Docker says it of a command without a shell.
func missingProgram(r CheckResult) string {
	if r.ExitCode != 127 && r.ExitCode != -1 && r.ExitCode != 1 {
		return ""
	}
	for _, words := range []string{
		`exec: \\?"([^"\\]+)\\?": (?:executable file not found|stat [^:]+: no such file)`,
		`([\w./+-]+): (?:command )?not found\s*$`,
	} {
		if found := regexp.MustCompile(words).FindStringSubmatch(r.Output); found != nil {
			return found[1]
		}
	}
	return ""
}

// endOf is the end of a check, which its result should name; a result without
// one, or with one in the future, ended now.
func endOf(r CheckResult, now time.Time) time.Time {
	if r.End.IsZero() || r.End.After(now) {
		return now
	}
	return r.End
}
