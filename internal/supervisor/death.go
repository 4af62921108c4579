package supervisor

import (
	"maps"
	"slices"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/worker"
)

// exited turns the end of the run into a fact that says whose doing it may be.
func (w *workerLoop) exited(f *engine.Fact) {
	exit := worker.Exit{
		Code: f.Exit.Code, Signal: f.Exit.Signal, OOM: f.Exit.OOM, Cause: f.Exit.Cause,
		Voluntary: f.Exit.Voluntary || w.asked != "",
		Served:    w.any(touched),
		Busy:      w.any(func(e *balance.Endpoint) bool { return e.Busy(f.At, moment) }),
	}
	if w.asked != "" && exit.Cause == "" {
		exit.Cause = "asked by bulsa kill -s " + w.asked
	}
	w.ended = f.At
	w.deaths = maps.Clone(w.deaths) // pictures hold the one before
	w.deaths[deathCause(exit)]++
	w.step(&worker.Fact{Kind: worker.Exited, Instance: string(f.Instance), Exit: exit})
}

// deathCause is the word for a death in the metrics.
func deathCause(e worker.Exit) string {
	switch {
	case e.OOM:
		return "oom"
	case e.Voluntary:
		return "request"
	case e.Signal != "":
		return "signal"
	}
	return "exit"
}

// moment is how soon after its last request a run's end is held to be that one's
// doing: a handler may answer, and then end its process.
const moment = time.Second

// any reports whether an endpoint of this run is one of those.
func (w *workerLoop) any(is func(*balance.Endpoint) bool) bool {
	for _, e := range w.published {
		if is(e) {
			return true
		}
	}
	return slices.ContainsFunc(w.retired, is)
}

// touched reports whether any request reached the endpoint.
func touched(e *balance.Endpoint) bool {
	return e.Answered() > 0 || e.Failed() > 0 || e.InFlight() > 0
}
