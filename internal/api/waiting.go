package api

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Named is the project with the named services, or those of the named workers, alone;
// without a name it is whole. Of a service of which workers are named, only these are in it.
func (p Project) Named(names []string) Project {
	if len(names) == 0 {
		return p
	}
	out := p
	out.Services = nil
	for _, s := range p.Services {
		workers := slices.DeleteFunc(slices.Clone(s.Workers), func(w Worker) bool { return !slices.Contains(names, w.Name) })
		if slices.Contains(names, s.Name) || len(workers) > 0 {
			out.Services = append(out.Services, s)
		}
	}
	return out
}

// listenSoon is how long nobody minds that a program which was started listens on nothing.
const listenSoon = 3 * time.Second

// Waits says what keeps a worker from being ready, and where to look; "" for one that is.
func (w Worker) Waits(now time.Time) string {
	span := ""
	if w.StartedAt != nil {
		span = " for " + shortly(now.Sub(*w.StartedAt))
	}
	ran := span
	switch w.State {
	case "ready":
		return ""
	case "starting":
		if w.Restarts > 0 {
			span += fmt.Sprintf(" (%s)", w.Cause) // "restart 3: exit 1"
		}
		switch {
		case w.Health == "starting" && (w.Address != "" || len(w.Ports) == 0):
			return fmt.Sprintf("%s has run%s, and its health check has not passed yet: bulsa inspect %s", w.Name, span, w.Name)
		case w.Engine == "process" && w.StartedAt != nil && now.Sub(*w.StartedAt) < listenSoon:
			return fmt.Sprintf("%s starts, and does not listen yet%s", w.Name, strings.TrimPrefix(span, ran))
		case w.Engine == "process":
			return fmt.Sprintf("%s has run%s but listens on no port: bulsa logs %s", w.Name, span, w.Name)
		}
		return fmt.Sprintf("%s has been starting%s: bulsa logs %s", w.Name, span, w.Name)
	case "draining":
		return fmt.Sprintf("%s drains, with %d requests in flight", w.Name, w.InFlight)
	case "stopping":
		return fmt.Sprintf("%s is asked to end: %s", w.Name, w.Cause)
	case "backoff":
		return fmt.Sprintf("%s died and starts again: %s", w.Name, w.Cause)
	case "failed", "unhealthy":
		return fmt.Sprintf("%s is %s: %s", w.Name, w.State, w.Cause)
	}
	return fmt.Sprintf("%s: %s", w.Name, w.Cause)
}

// shortly is a time in a few letters: 45 s, 3 min.
func shortly(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Minutes()))
}

// Late is the worker that a service waits for: the one that tells most about it. Of a
// change it is one of the new ones, which are of the newest release and not ready.
func (s Service) Late() (Worker, bool) {
	weight := func(w Worker) int {
		switch {
		case w.State == "ready" || w.State == "pending":
			return 0
		case w.State == "draining" || w.State == "stopping":
			return 1
		case w.Release != s.Release:
			return 2
		}
		return 3
	}
	var late Worker
	for _, w := range s.Workers {
		if weight(w) > weight(late) || late.Name == "" && weight(w) > 0 {
			late = w
		}
	}
	return late, late.Name != ""
}

// Stopped is Readiness after a stop: nothing runs any more.
func (p Project) Stopped(now time.Time) Readiness {
	r := Readiness{Ready: true, Waiting: []string{}}
	for _, s := range p.Services {
		var waits []string
		for _, w := range s.Workers {
			switch {
			case w.State == "ready" && w.InFlight > 0: // nothing new comes to it: the project ends
				waits = append(waits, fmt.Sprintf("%s has open requests or WebSockets: %d", w.Name, w.InFlight))
			case w.State != "pending" && w.State != "failed":
				waits = append(waits, w.Waits(now))
			}
		}
		waits = slices.DeleteFunc(waits, func(line string) bool { return line == "" })
		if s.State != "stopped" && len(s.Workers) > 0 || len(waits) > 0 {
			r.Ready = false
			r.Waiting = append(r.Waiting, strings.Join(append([]string{s.Name + " stops"}, waits[:min(len(waits), 1)]...), ": "))
		}
	}
	return r
}

// Mark changes when a wait has come a step further: another worker serves, or one less
// is there to be ended. A worker that dies and starts again is no step.
func (p Project) Mark() string {
	var b strings.Builder
	for _, s := range p.Services {
		fmt.Fprintf(&b, "%s %s %d", s.Name, s.State, len(s.Workers))
		for _, w := range s.Workers {
			if w.State == "ready" || w.State == "stopping" {
				fmt.Fprintf(&b, " %s %s", w.State, w.ID)
			}
		}
		b.WriteString("; ")
	}
	return b.String()
}
