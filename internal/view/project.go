// Package view draws what the API shows out of what the other rooms publish: the
// supervisor's picture, the proxy's counters, what is sampled. It is pure: a picture
// of the same moment is the same.
package view

import (
	"time"

	"bulsa/internal/api"
	"bulsa/internal/logs"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
)

// Sources tell what the supervisor does not know of what is shown.
type Sources struct {
	Now       time.Time
	Ports     func(service string) []string       // that it is published on
	AccessLog func(spec.AccessLog) string         // the file; "": none, or standard output
	LogFiles  func(worker string) []string        // of its output
	Blocks    func(worker string) []api.Diagnosis // of its event loop, oldest first
	Rates     func(service, worker string, pid int) (Rates, bool)
}

// Rates are what a worker does and uses at present.
type Rates struct {
	PerSecond float64       // answers
	P99       time.Duration // that 99 of 100 answers do not exceed; 0: there were none
	CPU       float64       // percent of one core
	Memory    int64         // resident bytes; 0: the system does not tell
}

// Project is the picture of all services. What is known of bulsa's own process is for
// the caller to add.
func (s Sources) Project(project spec.Project, st *supervisor.Status) api.Project {
	p := api.Project{Name: project.Name, Dir: project.Dir, Files: project.Files, Ready: Ready(st, s.Now), Services: []api.Service{}}
	for _, sv := range st.Services {
		p.Services = append(p.Services, s.Service(sv))
	}
	return p
}

// Service is one service with its workers.
func (s Sources) Service(sv supervisor.ServiceStatus) api.Service {
	state, cause := ServiceState(sv)
	out := api.Service{
		Name: sv.Name, Engine: string(sv.Engine), Release: sv.Release, Desired: sv.Desired, Ready: sv.Ready,
		State: state, Cause: cause, Changes: !sv.Current(), Ports: s.Ports(sv.Name),
		AccessLog:    s.AccessLog(sv.Service.AccessLog),
		StartSeconds: sv.Service.Health.Verdict().Seconds(), StopSeconds: (sv.Service.Stop.Drain + sv.Service.Stop.Grace).Seconds(),
	}
	for _, w := range sv.Workers {
		out.Workers = append(out.Workers, s.Worker(sv, w, out.Ports))
	}
	return out
}

// Worker is one worker of a service that is published on ports.
func (s Sources) Worker(sv supervisor.ServiceStatus, w supervisor.WorkerStatus, ports []string) api.Worker {
	out := api.Worker{
		Name: w.Name, Service: sv.Name, Number: w.Number, Engine: string(sv.Engine), PID: w.PID, ID: w.Ref,
		State: w.State.String(), Health: w.Health, Restarts: w.Restarts, Address: w.Address, Release: w.Release,
		Cause: w.Cause, Ports: ports, InFlight: w.InFlight, Status: statusText(w, s.Now),
	}
	out.Failing = failing(sv.Asked, w)
	if w.Halted != "" {
		out.Cause = w.Halted
	}
	if !w.Started.IsZero() {
		started := w.Started
		out.StartedAt = &started
	}
	out.EventLoop = eventLoop(w.Loop)
	out.Inner = w.Inner.Named(sv.Name, w.Name)
	if r, ok := s.Rates(sv.Service.Owner(), w.Name, w.PID); ok {
		out.RequestsPerSecond = &r.PerSecond
		if p99 := r.P99.Seconds(); p99 > 0 {
			out.P99Seconds = &p99
		}
		if w.PID > 0 && r.Memory > 0 {
			out.CPUPercent, out.MemoryBytes = &r.CPU, &r.Memory
		}
	}
	return out
}

// LogLine is a line of a worker's output.
func LogLine(l logs.Line) api.LogLine {
	return api.LogLine{At: l.At, Worker: l.Worker, Stream: l.Stream, Text: l.Text}
}

// Event is something that has happened.
func Event(e supervisor.Event) api.Event {
	return api.Event{At: e.At, Service: e.Service, Worker: e.Worker, Kind: e.Kind, Message: e.Message, Cause: e.Cause}
}
