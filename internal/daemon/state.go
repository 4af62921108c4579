package daemon

import (
	"strings"
	"time"

	"bulsa/internal/api"
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
func statusText(w supervisor.WorkerStatus) string {
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
		code = exitCode(*w.Exit)
	}
	if w.State == worker.Pending && w.Exit == nil {
		return api.StatusText(w.State.String(), w.Health, 0, 0) // it never ran
	}
	text := api.StatusText(w.State.String(), w.Health, code, time.Since(since))
	if w.Halted != "" {
		text, _, _ = strings.Cut(text, " (")
		text += " (Paused)" // Docker's word
	}
	return text
}
