package api

import "fmt"

// failingRestarts is how many restarts without ever getting ready tell a
// crash loop from a slow start.
const failingRestarts = 3

// Readiness says whether the project stands, and what it waits for if not.
func (p Project) Readiness() Readiness {
	r := Readiness{Ready: p.Ready, Waiting: []string{}}
	if p.Ready {
		return r
	}
	for _, s := range p.Services {
		if s.stands() {
			continue
		}
		r.Waiting = append(r.Waiting, s.waitingFor())
		r.Failing = r.Failing || s.failing()
	}
	return r
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

func (s Service) failing() bool {
	if s.State == "failed" {
		return true
	}
	if s.Ready > 0 {
		return false
	}
	for _, w := range s.Workers {
		if w.State == "failed" || w.Restarts >= failingRestarts {
			return true
		}
	}
	return false
}

// waitingFor is one line: the service, how far it is, and the best known cause.
func (s Service) waitingFor() string {
	line := fmt.Sprintf("%s: %d of %d workers ready", s.Name, s.Ready, s.Desired)
	if s.State == "waiting" {
		line = s.Name + ": waiting"
	}
	if s.Cause != "" {
		return line + ": " + s.Cause
	}
	for _, w := range s.Workers {
		if w.State != "ready" && w.Cause != "" {
			return line + ": " + w.Name + ": " + w.Cause
		}
	}
	return line
}
