package api

import (
	"fmt"
	"slices"
	"time"
)

// Readiness says whether the project stands, and what it waits for if not.
func (p Project) Readiness(now time.Time) Readiness {
	r := Readiness{Ready: p.Ready, Waiting: []string{}}
	if p.Ready {
		return r
	}
	for _, s := range p.Services {
		if s.stands() {
			continue
		}
		r.Waiting = append(r.Waiting, s.waitingFor(now))
		r.Failing = r.Failing || s.failing()
	}
	return r
}

// Settled is Readiness after a change: it also waits for all that the change
// has yet to replace or to stop.
func (p Project) Settled(now time.Time) Readiness {
	r := p.Readiness(now)
	for _, s := range p.Services {
		if !s.Changes || !s.stands() {
			continue
		}
		r.Ready = false
		r.Waiting = append(r.Waiting, s.changing(now))
		r.Failing = r.Failing || s.anyFails()
	}
	return r
}

// changing is one line: how far a change is, and what keeps it.
func (s Service) changing(now time.Time) string {
	line := fmt.Sprintf("%s: its workers are being replaced", s.Name)
	if late, there := s.Late(); there {
		return line + ": " + late.Waits(now)
	}
	return line
}

// stands reports whether nothing of the service is missing.
func (s Service) stands() bool {
	switch s.State {
	case "completed", "stopped":
		return true
	case "running":
		return s.Ready >= s.Desired
	}
	return false
}

// failing reports whether there is no sense in waiting for the service.
func (s Service) failing() bool {
	return s.anyFails() && (s.State == "failed" || s.Ready == 0)
}

// anyFails reports a worker of the newest release that does not come up. What the
// ones before did is what the change is for.
func (s Service) anyFails() bool {
	return slices.ContainsFunc(s.Workers, func(w Worker) bool { return w.Release == s.Release && w.Failing })
}

// waitingFor is one line: the service, how far it is, and the best known cause.
func (s Service) waitingFor(now time.Time) string {
	line := fmt.Sprintf("%s: %d of %d workers ready", s.Name, s.Ready, s.Desired)
	if s.State == "waiting" {
		line = s.Name
	}
	if s.Cause != "" {
		return line + ": " + s.Cause
	}
	if late, there := s.Late(); there {
		return line + ": " + late.Waits(now)
	}
	return line
}
