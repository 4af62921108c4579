package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"bulsa/internal/admin"
	"bulsa/internal/api"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
	"bulsa/internal/view"
	"bulsa/internal/worker"
)

// Project is the whole running project, from published pictures.
func (d *Daemon) Project() api.Project {
	d.mu.Lock()
	project := d.project
	d.mu.Unlock()
	p := d.picture().Project(project, d.supervisor.Status())
	p.PID, p.Version, p.StartedAt, p.Admin = os.Getpid(), d.options.Version, d.started, d.adminURL
	if err := d.containers.Away(); err != nil {
		p.Away = err.Error()
	}
	return p
}

// picture is what the supervisor does not know of what is shown.
func (d *Daemon) picture() view.Sources {
	return view.Sources{
		Now: time.Now(), Ports: d.ports.List, AccessLog: d.accessLog, LogFiles: d.logs.Files, Blocks: d.examiner.Blocks,
		Rates: func(service, worker string, pid int) (view.Rates, bool) {
			r, ok := d.sampler.Rates(service, worker, pid)
			return view.Rates(r), ok
		},
	}
}

// Inspect tells all about a worker or a service. Of the environment it shows
// the names alone.
func (d *Daemon) Inspect(name string) (api.Inspection, error) {
	in, ok := d.picture().Inspect(d.supervisor.Status(), name)
	if !ok {
		return api.Inspection{}, admin.NotFound(d.Project().NoSuch("worker or service", name))
	}
	return in, nil
}

// Metrics is what a scrape of /metrics reads.
func (d *Daemon) Metrics() admin.Metrics {
	m := view.Metrics(d.supervisor.Status(), d.server.Stats(), func(pid int) (cpu time.Duration, memory int64, known bool) {
		u, known := d.sampler.Usage(pid)
		return u.CPU, u.Memory, known
	})
	m.AccessLogLost = d.ports.LostLines()
	for service, names := range d.ports.Certificates() {
		for name, expires := range names {
			m.Certificates = append(m.Certificates, admin.Certificate{Service: service, Name: name, Expires: expires})
		}
	}
	return m
}

// Profile samples a worker's main thread for a time.
func (d *Daemon) Profile(ctx context.Context, worker string, span time.Duration) (api.Profile, error) {
	return d.examiner.Profile(ctx, worker, span)
}

// Phases traces a worker's event loop for a time.
func (d *Daemon) Phases(ctx context.Context, worker string, span time.Duration) (api.Phases, error) {
	return d.examiner.Phases(ctx, worker, span)
}

// Heap writes a snapshot of a worker's heap.
func (d *Daemon) Heap(ctx context.Context, worker string, w io.Writer) error {
	return d.examiner.Heap(ctx, worker, w)
}

// Doctor says what is slow or ill in the services, or in the named one.
func (d *Daemon) Doctor(ctx context.Context, service string, profile bool) (api.Report, error) {
	return d.examiner.Doctor(ctx, service, profile)
}

// Scale sets the numbers of workers of services, all of them or none.
func (d *Daemon) Scale(ctx context.Context, services []api.Scale, wait bool) (string, error) {
	asked := time.Now()
	wanted := make([]supervisor.Scale, 0, len(services))
	names := make([]string, 0, len(services))
	for _, one := range services {
		w := supervisor.Scale{Service: one.Service}
		if one.By != nil {
			w.Relative, w.Number = true, *one.By
		} else {
			w.Number = *one.Replicas
		}
		wanted, names = append(wanted, w), append(names, one.Service)
	}
	done, err := d.supervisor.Scale(wanted)
	if err != nil {
		return "", kind(err)
	}
	return strings.Join(done, "\n"), d.await(ctx, wait, names, asked, supervisor.ServiceStatus.Current)
}

// Start runs stopped services and workers that have ended, and tries failed ones at once.
func (d *Daemon) Start(ctx context.Context, names []string, wait bool) error {
	asked := time.Now()
	if err := d.supervisor.Start(names); err != nil {
		return kind(err)
	}
	return d.await(ctx, wait, names, asked, func(sv supervisor.ServiceStatus) bool {
		there := sv.Ready
		for _, w := range sv.Workers {
			if w.Finished && w.Since.After(asked) { // its work is done already
				there++
			}
		}
		return !sv.Stopped && there >= sv.Desired || sv.Completed
	})
}

// Stop ends services gracefully.
func (d *Daemon) Stop(ctx context.Context, names []string, wait bool) error {
	asked := time.Now()
	if err := d.supervisor.Stop(names); err != nil {
		return kind(err)
	}
	return d.await(ctx, wait, names, asked, func(sv supervisor.ServiceStatus) bool {
		return sv.Stopped && !slices.ContainsFunc(sv.Workers, func(w supervisor.WorkerStatus) bool { return w.State != worker.Pending && w.State != worker.Failed })
	})
}

// Restart replaces workers gracefully.
func (d *Daemon) Restart(ctx context.Context, names []string, wait bool) error {
	asked := time.Now()
	if err := d.supervisor.Restart(names); err != nil {
		return kind(err)
	}
	return d.await(ctx, wait, names, asked, supervisor.ServiceStatus.Current)
}

// await waits, when wanted, until all named services, or those of the named
// workers, satisfy done. What failed before it was asked is no answer.
func (d *Daemon) await(ctx context.Context, wait bool, names []string, asked time.Time, done func(supervisor.ServiceStatus) bool) error {
	for wait {
		changed := d.supervisor.Changed()
		missing := ""
		for _, sv := range d.supervisor.Status().Services {
			if !concerns(names, sv) || done(sv) {
				continue
			}
			missing = sv.Name
			if state, cause := view.ServiceState(sv); state == "failed" && changedSince(sv, asked) {
				return fmt.Errorf("%s failed: %s", sv.Name, cause)
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s is not there yet: %w; see bulsa ps", missing, ctx.Err())
		}
	}
	return nil
}

// concerns reports whether one of the names, none meaning all, is that of the
// service or of one of its workers.
func concerns(names []string, sv supervisor.ServiceStatus) bool {
	return len(names) == 0 || slices.Contains(names, sv.Name) ||
		slices.ContainsFunc(sv.Workers, func(w supervisor.WorkerStatus) bool { return slices.Contains(names, w.Name) })
}

// changedSince reports whether every worker has changed its state since then.
func changedSince(sv supervisor.ServiceStatus, then time.Time) bool {
	return !slices.ContainsFunc(sv.Workers, func(w supervisor.WorkerStatus) bool { return !w.Since.After(then) })
}

// Kill sends a signal to a worker's process group.
func (d *Daemon) Kill(ctx context.Context, name, signal string) error {
	if api.IsInside(name) {
		return d.killInside(ctx, name, signal)
	}
	return kind(d.supervisor.Kill(ctx, name, signal))
}

// Down begins the end of the project. What still runs after within is killed.
func (d *Daemon) Down(_ context.Context, within *time.Duration) error {
	d.downOnce.Do(func() { close(d.down) })
	if within != nil { // the drain leaves the workers a part of the time, as in a container
		time.AfterFunc(*within*6/10, d.hurry)
		time.AfterFunc(*within, d.supervisor.ForceStop)
	}
	return nil
}

// Apply makes the running project equal to the one given.
func (d *Daemon) Apply(_ context.Context, raw json.RawMessage) (string, error) {
	var p spec.Project
	if err := json.Unmarshal(raw, &p); err != nil {
		return "", admin.Invalid(fmt.Sprintf("cannot read the project: %v", err))
	}
	// Workers inherit from the bulsa that runs them, not from whoever changes them.
	for i, sv := range p.Services {
		if sv.Engine == spec.EngineProcess {
			p.Services[i].Command.Env = spec.Inherit(sv.Command.Env, os.Environ())
		}
	}
	if err := check(p); err != nil {
		return "", admin.Invalid(err.Error())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	retire, err := d.ports.Publish(p)
	if err != nil {
		return "", admin.Invalid(err.Error())
	}
	changes, err := d.supervisor.Apply(p)
	if err != nil {
		return "", err
	}
	d.project = p
	d.containers.Keep(p)
	retire()
	if len(changes) == 0 {
		return "nothing changed", nil
	}
	return strings.Join(changes, "\n"), nil
}

// Logs sends workers' output; a service's name stands for all its workers.
func (d *Daemon) Logs(ctx context.Context, tail int, follow bool, names []string) (<-chan api.LogLine, error) {
	workers, err := d.workersOf(names)
	if err != nil {
		return nil, err
	}
	lines, err := d.logs.Stream(ctx, tail, follow, workers...)
	if err != nil {
		return nil, err
	}
	return convert(ctx, lines, view.LogLine), nil
}

func (d *Daemon) workersOf(names []string) ([]string, error) {
	p := d.Project()
	var out []string
	for _, name := range names {
		before := len(out)
		for _, sv := range p.Services {
			for _, w := range sv.Workers {
				if (sv.Name == name || w.Name == name) && !slices.Contains(out, w.Name) {
					out = append(out, w.Name)
				}
			}
		}
		if len(out) == before && !slices.Contains(p.ServiceNames(), name) {
			return nil, admin.NotFound(p.NoSuch("worker or service", name))
		}
	}
	return out, nil
}

// Events sends what happened so far, and with follow what happens.
func (d *Daemon) Events(ctx context.Context, follow bool) (<-chan api.Event, error) {
	past, live := d.supervisor.Events(ctx, follow)
	return convert(ctx, chain(ctx, past, live), view.Event), nil
}

// replay sends what is there and closes.
func replay[T any](items []T) <-chan T {
	ch := make(chan T, len(items))
	for _, x := range items {
		ch <- x
	}
	close(ch)
	return ch
}

// chain sends past, then what live sends. live may be nil.
func chain[T any](ctx context.Context, past []T, live <-chan T) <-chan T {
	if live == nil {
		return replay(past)
	}
	out := make(chan T)
	go func() {
		defer close(out)
		for _, x := range past {
			select {
			case out <- x:
			case <-ctx.Done():
				return
			}
		}
		for x := range live {
			select {
			case out <- x:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// convert maps a stream; it ends with its source or with ctx. It has room as its source
// has, so that a reader sees whether there is more to come at once.
func convert[A, B any](ctx context.Context, in <-chan A, f func(A) B) <-chan B {
	out := make(chan B, cap(in))
	go func() {
		defer close(out)
		for x := range in {
			select {
			case out <- f(x):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// kind gives an error of the supervisor the status that the API answers with.
func kind(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, supervisor.ErrNotFound):
		return admin.NotFound(strings.TrimPrefix(err.Error(), supervisor.ErrNotFound.Error()+": "))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	}
	return admin.Conflict(err.Error())
}
