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
func (wl *workerLoop) exited(f *engine.Fact) {
	exit := worker.Exit{
		Code: f.Exit.Code, Signal: f.Exit.Signal, OOM: f.Exit.OOM, Cause: f.Exit.Cause,
		Voluntary: f.Exit.Voluntary || wl.asked != "",
		Served:    wl.any(touched),
		Busy:      wl.any(func(e *balance.Endpoint) bool { return e.Busy(f.At, moment) }),
	}
	if wl.asked != "" && exit.Cause == "" {
		exit.Cause = "asked by bulsa kill -s " + wl.asked
	}
	wl.ended = f.At
	wl.deaths = maps.Clone(wl.deaths) // pictures hold the one before
	wl.deaths[deathCause(exit)]++
	wl.step(&worker.Fact{Kind: worker.Exited, Instance: string(f.Instance), Exit: exit})
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
func (wl *workerLoop) any(is func(*balance.Endpoint) bool) bool {
	for _, e := range wl.published {
		if is(e) {
			return true
		}
	}
	return slices.ContainsFunc(wl.retired, is)
}

// touched reports whether any request reached the endpoint.
func touched(e *balance.Endpoint) bool {
	return e.Answered() > 0 || e.Failed() > 0 || e.InFlight() > 0
}
