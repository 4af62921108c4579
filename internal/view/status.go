package view

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/engine"
	"bulsa/internal/supervisor"
	"bulsa/internal/worker"
)

// failingStarts is how many starts in a row without ever getting ready tell a
// crash loop from a slow start.
const failingStarts = 3

// failing reports whether a worker has shown since asked that it does not come up
// by itself: it was given up, ended for good, died again and again before it was
// ready, or was found unhealthy within its checks' own limits. What it did before
// somebody asked for a change is no news.
func failing(asked time.Time, w supervisor.WorkerStatus) bool {
	switch {
	case w.State == worker.Failed:
		return w.Since.After(asked)
	case w.Finished:
		return w.Exit != nil && (w.Exit.Code != 0 || w.Exit.Signal != "") && w.Since.After(asked)
	}
	starts := 0
	for _, at := range w.Vain {
		if at.After(asked) {
			starts++
		}
	}
	return starts >= failingStarts || w.SickAt.After(asked)
}

// statusText is a worker's state in Docker's words: how long it is up, or how
// and when its last run ended.
func statusText(w supervisor.WorkerStatus, now time.Time) string {
	since, code := w.Since, 0
	switch w.State {
	case worker.Starting, worker.Ready, worker.Unhealthy, worker.Draining, worker.Stopping:
		if since = w.Started; since.IsZero() {
			since = w.Since // it has no process yet: its start waits
		}
	default:
		if !w.Ended.IsZero() {
			since = w.Ended
		}
	}
	if w.Exit != nil {
		code = ExitCode(*w.Exit)
	}
	if w.State == worker.Pending && w.Exit == nil {
		return api.StatusText(w.State.String(), w.Health, 0, 0) // it never ran
	}
	text := api.StatusText(w.State.String(), w.Health, code, now.Sub(since))
	if w.Halted != "" {
		text, _, _ = strings.Cut(text, " (")
		text += " (Paused)" // Docker's word
	}
	return text
}

// ExitCode is the status that a shell or Docker would show: 128 and the signal
// for a run that a signal ended.
func ExitCode(e worker.Exit) int {
	if e.Signal == "" {
		return e.Code
	}
	return 128 + int(engine.SignalNumber(e.Signal))
}

// ServiceState is a service in one word, with the reason where there is one.
func ServiceState(sv supervisor.ServiceStatus) (state, cause string) {
	if sv.Stopped {
		return "stopped", ""
	}
	if sv.Waiting != "" {
		return "waiting", sv.Waiting
	}
	if sv.Completed {
		return "completed", ""
	}
	failed := 0
	for _, w := range sv.Workers {
		switch {
		case w.Unusable != "":
			return "failed", w.Unusable
		case w.State == worker.Failed || w.Finished:
			failed++
			cause = fmt.Sprintf("%s: %s", w.Name, w.Cause)
		}
	}
	if failed > 0 && failed == len(sv.Workers) {
		return "failed", cause
	}
	return "running", cause
}

// SettleTime is how long a worker that neither listens nor is checked must run
// before it counts as started well: nothing else tells it from one that is
// about to exit.
const SettleTime = time.Second

// Ready reports whether every service has all its workers in rotation, or has completed.
func Ready(st *supervisor.Status, now time.Time) bool {
	for _, sv := range st.Services {
		if sv.Completed {
			continue
		}
		if sv.Ready < sv.Desired || sv.Waiting != "" || slices.ContainsFunc(sv.Workers, func(w supervisor.WorkerStatus) bool { return unsettled(w, now) }) {
			return false
		}
	}
	return true
}

func unsettled(w supervisor.WorkerStatus, now time.Time) bool {
	return w.State == worker.Ready && w.Address == "" && w.Health == "none" && now.Sub(w.Started) < SettleTime
}
