package diagnose

import (
	"context"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/doctor"
	"bulsa/internal/node/inspector"
	"bulsa/internal/supervisor"
	"bulsa/internal/worker"
)

// doctorProfile is how long the busiest worker is profiled.
const doctorProfile = time.Second

// Doctor says what is slow or ill in the services, or in the named one. With
// profile it also looks into the busiest Node worker.
func (e *Examiner) Doctor(ctx context.Context, service string, profile bool) (api.Report, error) {
	now := time.Now()
	table := e.examination(now, service)
	report := api.Report{At: now, Findings: []api.Finding{}, Notes: []string{}}
	for _, s := range table.Services {
		for _, w := range s.Workers {
			report.Workers++
			if n := len(w.Samples); n > 0 {
				report.Seconds = max(report.Seconds, w.Samples[n-1].At.Sub(w.Samples[0].At).Seconds())
			}
		}
	}
	if name := doctor.Busiest(table); profile && name != "" {
		if seen, err := e.Profile(ctx, name, doctorProfile); err != nil {
			report.Notes = append(report.Notes, "no profile of the busiest worker: "+err.Error())
		} else {
			report.Profiled = name
			attach(&table, name, seen)
		}
	}
	for _, f := range doctor.Examine(table) {
		report.Findings = append(report.Findings, api.Finding(f))
	}
	return report, nil
}

// attach adds a profile to the worker that it is of. What it was in at the start
// tells more than the profile's own names where functions were optimised into others.
func attach(table *doctor.Project, name string, seen api.Profile) {
	p := &doctor.Profile{Busy: seen.Busy, Collector: seen.Collector}
	for _, h := range seen.Hot {
		p.Hot = append(p.Hot, doctor.Hot{Function: h.Function, Place: place(inspector.Frame(h.Frame)), Share: h.Share})
	}
	stack := make([]inspector.Frame, 0, len(seen.Stack))
	for _, f := range seen.Stack {
		stack = append(stack, inspector.Frame(f))
	}
	for i := range table.Services {
		for j := range table.Services[i].Workers {
			w := &table.Services[i].Workers[j]
			if w.Name != name {
				continue
			}
			w.Profile = p
			if f, ok := inspector.Culprit(stack); ok && seen.Busy > 0.5 {
				w.Now = where(f)
			}
		}
	}
}

// where is a frame in a phrase: "fib (app.js:31)".
func where(f inspector.Frame) string {
	name := f.Function
	if name == "" {
		name = "an anonymous function"
	}
	if at := place(f); at != "" {
		return name + " (" + at + ")"
	}
	return name
}

// examination is the table of all that the doctor goes by.
func (e *Examiner) examination(now time.Time, service string) doctor.Project {
	p := doctor.Project{Cores: e.Cores(), Busy: e.Busy()}
	stats := e.Stats().Services
	for _, sv := range e.Status().Services {
		if service != "" && sv.Name != service {
			continue
		}
		s := doctor.Service{Name: sv.Name, Pool: poolSize(sv.Service.Command.Env), Lost: doctor.Lost{Led: sv.Service.Forward.Sessions}}
		if seen := stats[sv.Name]; now.Sub(seen.LastLost) < e.Window {
			s.Lost.Requests = int(seen.LostSessions)
		}
		if h := sv.Service.Health; h.Enabled() {
			s.Check = doctor.Check{Interval: h.Interval, Process: len(h.Test) > 0}
		}
		for _, w := range sv.Workers {
			if w.State == worker.Pending {
				continue
			}
			s.Workers = append(s.Workers, e.patient(now, w))
			s.Loops = s.Loops || e.inspectable(w.Name)
		}
		for _, u := range e.Processes.Unread(sv.Name) {
			s.Unread = append(s.Unread, doctor.Messages{Kind: u.Topic, Count: u.Count})
		}
		p.Services = append(p.Services, s)
		if s, ok := e.patientsInside(sv); ok {
			p.Services = append(p.Services, s)
		}
	}
	return p
}

// patient is what is known of one worker.
func (e *Examiner) patient(now time.Time, w supervisor.WorkerStatus) doctor.Worker {
	out := doctor.Worker{
		Name: w.Name, Started: w.Started, State: w.State.String(), Cause: w.Cause, Wrapper: wrapperOf(w.PID),
		CheckCPU: math.NaN(), CheckWall: math.NaN(), Samples: e.History(w.Name),
	}
	if n := w.ChecksPassed + w.ChecksFailed; n > 0 {
		out.CheckCPU, out.CheckWall = w.CheckCPU.Seconds()/float64(n), w.CheckLast.Seconds()
	}
	for _, c := range w.History {
		died := c.To == worker.Backoff || c.To == worker.Failed
		if died && now.Sub(c.At) < e.Window && !strings.Contains(c.Cause, "asked by bulsa") {
			out.Deaths = append(out.Deaths, doctor.Death{At: c.At, Cause: c.Cause})
		}
	}
	for _, b := range e.Blocks(w.Name) {
		if now.Sub(b.At) < e.Window {
			out.Blocks = append(out.Blocks, doctor.Block{At: b.At, Where: b.Where})
		}
	}
	out.Elsewhere = e.elsewhere(out)
	return out
}

// patientsInside is what is known of the workers inside of a service's containers; ok is
// false where there are none.
func (e *Examiner) patientsInside(sv supervisor.ServiceStatus) (s doctor.Service, ok bool) {
	s = doctor.Service{Name: sv.Name, Inside: true, Pool: poolSize(sv.Service.Command.Env)}
	for _, w := range sv.Workers {
		for _, in := range w.Inner.Named(sv.Name, w.Name) {
			one := doctor.Worker{
				Name: in.Name, State: in.State, Cause: in.Cause, CheckCPU: math.NaN(), CheckWall: math.NaN(),
				Samples: e.History(in.Name),
			}
			if in.StartedAt != nil {
				one.Started = *in.StartedAt
			}
			s.Workers = append(s.Workers, one)
			s.Loops = s.Loops || in.EventLoop != nil
		}
	}
	return s, len(s.Workers) > 0
}

// inspectable reports whether a worker is a Node program that can be profiled.
func (e *Examiner) inspectable(worker string) bool {
	id, err := Running(context.Background(), e.Processes, worker)
	return err == nil && e.Processes.Inspectable(id)
}

func poolSize(env []string) int {
	size := 0
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "UV_THREADPOOL_SIZE="); ok {
			size, _ = strconv.Atoi(value) // libuv takes what is no number for none, too
		}
	}
	return size
}

// wrapperOf names the package manager that a worker's first process is, or that
// its shell has started, as "npm start"; "" when there is none.
func wrapperOf(pid int) string {
	for _, p := range append([]int{pid}, children(pid)...) {
		if name := managerIn(commandLine(p)); name != "" {
			return name
		}
	}
	return ""
}

// managerIn names the package manager that a command line runs; "" for none.
func managerIn(args []string) string {
	if len(args) == 0 {
		return ""
	}
	const managers = " npm npx yarn pnpm pnpx "
	// npm and npx write their command into their name.
	if first, _, spaced := strings.Cut(args[0], " "); spaced && strings.Contains(managers, " "+first+" ") {
		return strings.TrimSpace(args[0])
	}
	if len(args) < 2 || filepath.Base(args[0]) != "node" {
		return ""
	}
	script := filepath.Base(args[1])
	name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(script, filepath.Ext(script)), ".cjs"), "-cli")
	if !strings.Contains(managers, " "+name+" ") {
		return ""
	}
	return strings.Join(append([]string{name}, args[2:]...), " ")
}
