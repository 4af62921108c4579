// Package supervisor holds the loops that keep services alive: one goroutine
// for each worker, one for each service, one for each engine. Decisions are
// made in worker and rollout; this room carries them out and publishes what is.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/eventloop"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// ErrNotFound is wrapped by errors about services or workers that do not exist.
var ErrNotFound = errors.New("not found")

// Supervisor runs the services of one project.
type Supervisor struct {
	project string
	started time.Time
	engines map[spec.Engine]engine.Engine
	events  *Events
	pools   *Pools
	doctor  eventloop.Diagnoser // nil: nobody finds out what blocks a loop

	mu       sync.Mutex
	order    []string // services in start order
	services map[string]*service
	leaving  map[*service]bool // removed, and not yet at rest
	changed  chan struct{}     // closed and replaced at each change of a status
	stopping bool

	serials atomic.Uint64 // of services
	routes  sync.Map      // engine.InstanceID -> *mailbox[message]
	loops   sync.WaitGroup
}

// Config is what a Supervisor stands on.
type Config struct {
	Project string
	Engines map[spec.Engine]engine.Engine
	Pools   *Pools  // filled here; who routes requests reads them
	Events  *Events // what happens is told here
}

// New makes a supervisor over engines. Nothing runs before Apply.
func New(c Config) *Supervisor {
	s := &Supervisor{
		project: c.Project, started: time.Now(), engines: c.Engines, events: c.Events, pools: c.Pools,
		services: map[string]*service{}, leaving: map[*service]bool{}, changed: make(chan struct{}),
	}
	for _, e := range c.Engines {
		s.loops.Add(1)
		go func() {
			defer s.loops.Done()
			s.watch(e)
		}()
	}
	return s
}

// DiagnoseWith sets who finds out what blocks an event loop. It is called before
// the first Apply, if at all.
func (s *Supervisor) DiagnoseWith(d eventloop.Diagnoser) { s.doctor = d }

// watch hands the facts of one engine to the loops of the workers they are about.
func (s *Supervisor) watch(e engine.Engine) {
	for f := range e.Facts() {
		if inbox, ok := s.routes.Load(f.Instance); ok {
			inbox.(*mailbox[message]).put(message{engine: &f})
		}
	}
}

func (s *Supervisor) route(id engine.InstanceID, inbox *mailbox[message]) { s.routes.Store(id, inbox) }
func (s *Supervisor) unroute(id engine.InstanceID)                        { s.routes.Delete(id) }

// Apply makes the services of p the desired ones: new ones start, others change
// or are scaled, those that p lacks are stopped and forgotten. It returns one
// line for each change and does not wait for it.
func (s *Supervisor) Apply(p spec.Project) ([]string, error) {
	for _, sv := range p.Services {
		if s.engines[sv.Engine] == nil {
			return nil, fmt.Errorf("service %s: there is no engine %q", sv.Name, sv.Engine)
		}
	}
	changes, adopts, err := s.apply(p)
	for _, adopt := range adopts {
		adopt()
	}
	return changes, err
}

// apply makes the new list of services, and returns what those that stay still
// have to be told, without s.mu.
func (s *Supervisor) apply(p spec.Project) (changes []string, adopts []func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, nil, errors.New("the project is being stopped")
	}
	order := make([]string, 0, len(p.Services))
	for _, sv := range p.Services {
		order = append(order, sv.Name)
		change, adopt := s.applyService(sv)
		if change != "" {
			changes = append(changes, change)
		}
		if adopt != nil {
			adopts = append(adopts, adopt)
		}
	}
	for _, name := range s.order {
		if !slices.Contains(order, name) {
			changes = append(changes, fmt.Sprintf("%s: removed", name))
			s.remove(name)
		}
	}
	s.order = order
	return changes, adopts, nil
}

// applyService starts one service, or says how it changes. s.mu is held.
func (s *Supervisor) applyService(sv spec.Service) (change string, adopt func()) {
	old := s.services[sv.Name]
	if old != nil && old.engine != s.engines[sv.Engine] {
		s.remove(sv.Name)
		old = nil
	}
	if old == nil {
		fresh := newService(s, s.engines[sv.Engine], sv)
		s.services[sv.Name] = fresh
		s.loops.Add(1)
		go func() {
			defer s.loops.Done()
			fresh.run()
		}()
		return fmt.Sprintf("%s: started", sv.Name), nil
	}
	before := old.status.Load()
	return describeChange(before, sv), func() {
		old.ask(func(x *service) {
			changed := x.adopt(sv)
			if x.asked, x.stopped = time.Now(), false; !changed {
				x.tryAgain()
			}
		})
	}
}

func describeChange(now *ServiceStatus, after spec.Service) string {
	before := now.Service
	switch {
	case now.Stopped:
		return fmt.Sprintf("%s: started", after.Name)
	case before.Digest() != after.Digest():
		return fmt.Sprintf("%s: changed, its workers are replaced", after.Name)
	case before.Replicas != after.Replicas:
		return fmt.Sprintf("%s: scaled from %d to %d", after.Name, before.Replicas, after.Replicas)
	case !reflect.DeepEqual(before, after):
		return fmt.Sprintf("%s: changed, its workers stay", after.Name)
	}
	return ""
}

// remove stops a service and forgets it once nothing of it runs. s.mu is held.
func (s *Supervisor) remove(name string) {
	sv := s.services[name]
	delete(s.services, name)
	s.leaving[sv] = true
	sv.do(func(x *service) { x.stopped = true })
	s.loops.Add(1)
	go func() {
		defer s.loops.Done()
		for {
			changed := s.Changed()
			if st := sv.status.Load(); st.idle() {
				for _, w := range st.Workers {
					sv.forget(w.Number)
				}
				close(sv.done)
				s.left(sv)
				return
			}
			<-changed
		}
	}()
}

// left is for a removed service that has come to rest.
func (s *Supervisor) left(sv *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.leaving, sv)
	s.wake()
	for _, other := range s.services {
		if other.status.Load().Waiting != "" {
			other.inbox.put(serviceMessage{})
		}
	}
}

// wake tells those who wait for a change. s.mu is held.
func (s *Supervisor) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// idle reports whether a stopped service has come to rest.
func (st *ServiceStatus) idle() bool {
	return st.Stopped && !slices.ContainsFunc(st.Workers, func(w WorkerStatus) bool {
		return runs(w.State) || w.State == worker.Backoff
	})
}

// do runs f in the service's own goroutine, soon.
func (s *service) do(f func(*service)) { s.inbox.put(serviceMessage{do: f}) }

// ask runs f in the service's own goroutine and waits for it. What f changed
// shows in the status, and the service counts as unsettled until its next plan.
func (s *service) ask(f func(*service)) {
	ran := make(chan struct{})
	s.do(func(x *service) {
		defer close(ran)
		f(x)
		x.settled = false
		x.publishStatus()
	})
	select {
	case <-ran:
	case <-s.done:
	}
}

func (s *Supervisor) find(name string) (*service, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sv := s.services[name]; sv != nil {
		return sv, nil
	}
	return nil, fmt.Errorf("%w: there is no service %q; there are: %s", ErrNotFound, name, strings.Join(s.order, ", "))
}

// Start runs stopped services again, and at once workers that failed, that wait, or
// that ended where the restart policy wants no more of them. A service that has
// completed stays so.
func (s *Supervisor) Start(names []string) error { return s.each(names, (*service).tryAgain) }

// tryAgain is Start for one service.
func (s *service) tryAgain() {
	s.stopped, s.asked = false, time.Now()
	completed := s.status.Load().Completed
	for key, m := range s.members {
		if st := m.picture.status.State; st == worker.Failed || st == worker.Backoff || m.picture.finished && !completed {
			s.tell(key, worker.Fact{Kind: worker.Start, Cause: "asked to start"})
		}
	}
}

// Stop ends the workers of the named services gracefully; the services stay known.
func (s *Supervisor) Stop(names []string) error {
	return s.each(names, func(x *service) { x.stopped = true })
}

// Restart replaces all workers of the named services, or the named workers
// alone, gracefully. Services that want to be restarted with one of them
// (depends_on.restart) follow.
func (s *Supervisor) Restart(names []string) error {
	services, workers, err := s.resolve(names)
	if err != nil {
		return err
	}
	whole := map[string]bool{}
	for _, sv := range services {
		only := workers[sv.name]
		whole[sv.name] = len(only) == 0
		sv.ask(func(x *service) { x.restart(only, "asked") })
	}
	for _, sv := range s.all() {
		if cause := follows(sv.status.Load().Service, whole); cause != "" && !slices.Contains(services, sv) {
			whole[sv.name] = true
			sv.ask(func(x *service) { x.restart(nil, cause) })
		}
	}
	return nil
}

// follows says why a service restarts with those that were restarted; "" when
// it does not.
func follows(sv spec.Service, restarted map[string]bool) string {
	for _, d := range sv.DependsOn {
		if d.Restart && restarted[d.Service] {
			return d.Service + " was restarted"
		}
	}
	return ""
}

// restart asks for a new generation of the slots in only, or of all when it is empty.
func (s *service) restart(only []int, cause string) {
	s.stopped, s.asked = false, time.Now()
	s.restartsAsked++ // one number for all slots: a failing one then stops the rest of this restart
	for n := 1; n <= s.desired(time.Time{}).Replicas; n++ {
		if len(only) == 0 || slices.Contains(only, n) {
			s.generation[n] = s.restartsAsked
		}
	}
	s.reason = "restart " + cause
	s.emit("", "restart", "restarts", cause)
}

// each runs f in the loops of the named services, of all when none is named.
func (s *Supervisor) each(names []string, f func(*service)) error {
	services, workers, err := s.resolve(names)
	if err != nil {
		return err
	}
	for name, numbers := range workers {
		if len(numbers) > 0 {
			return fmt.Errorf("%s.%d is a worker: name its service %s, or change the number of its workers with bulsa scale %s=N", name, numbers[0], name, name)
		}
	}
	for _, sv := range services {
		sv.ask(f)
	}
	return nil
}

// resolve finds services by name, and workers as slots of theirs. No name: all.
func (s *Supervisor) resolve(names []string) ([]*service, map[string][]int, error) {
	s.mu.Lock()
	order := slices.Clone(s.order)
	s.mu.Unlock()
	if len(names) == 0 {
		names = order
	}
	var found []*service
	workers := map[string][]int{}
	for _, name := range names {
		sv, err := s.find(name)
		if err != nil {
			var number int
			if sv, number = s.findWorker(name); sv == nil {
				return nil, nil, fmt.Errorf("%w: there is no service or worker %q; there are: %s", ErrNotFound, name, strings.Join(s.names(), ", "))
			}
			workers[sv.name] = append(workers[sv.name], number)
		}
		if !slices.Contains(found, sv) {
			found = append(found, sv)
		}
	}
	for _, name := range names {
		delete(workers, name) // a service that is named itself is meant as a whole
	}
	return found, workers, nil
}

// findWorker finds the service and the slot of a worker's name.
func (s *Supervisor) findWorker(name string) (*service, int) {
	for _, sv := range s.all() {
		for _, w := range sv.status.Load().Workers {
			if w.Name == name {
				return sv, w.Number
			}
		}
	}
	return nil, 0
}

func (s *Supervisor) names() []string {
	var names []string
	for _, sv := range s.all() {
		names = append(names, sv.name)
		for _, w := range sv.status.Load().Workers {
			if !slices.Contains(names, w.Name) {
				names = append(names, w.Name)
			}
		}
	}
	return names
}

// all returns the services in start order.
func (s *Supervisor) all() []*service {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*service, 0, len(s.order))
	for _, name := range s.order {
		out = append(out, s.services[name])
	}
	return out
}

// Kill sends a signal to a worker's whole process group. The worker comes back.
func (s *Supervisor) Kill(ctx context.Context, name, signal string) error {
	sv, _ := s.findWorker(name)
	if sv == nil {
		return fmt.Errorf("%w: there is no worker %q; there are: %s", ErrNotFound, name, strings.Join(s.names(), ", "))
	}
	reply := make(chan error, 1)
	sv.do(func(x *service) {
		for _, key := range x.keys() {
			if m := x.members[key]; m.loop.name == name && runs(m.picture.status.State) {
				m.loop.inbox.put(message{signal: signal, reply: reply})
				return
			}
		}
		reply <- fmt.Errorf("%s does not run", name)
	})
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cannot signal %s: %w", name, ctx.Err())
	}
}

// Status is the picture of this moment. It waits for nobody.
func (s *Supervisor) Status() *Status {
	st := &Status{Project: s.project, Started: s.started}
	for _, sv := range s.all() {
		one := *sv.status.Load()
		one.Workers = slices.Clone(one.Workers)
		for i := range one.Workers {
			one.Workers[i] = one.live[i].now(one.Workers[i])
		}
		st.Services = append(st.Services, one)
	}
	return st
}

// Changed is closed when any status changes after this call.
func (s *Supervisor) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// statusChanged wakes those who wait for a change, and services that depend on this one.
func (s *Supervisor) statusChanged(sv *service, before, after *ServiceStatus) {
	if before == nil {
		return // still being made
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake()
	for _, other := range s.services {
		if slices.ContainsFunc(other.status.Load().Service.DependsOn, func(d spec.Dependency) bool { return d.Service == sv.name }) &&
			other.status.Load().Waiting != "" {
			other.inbox.put(serviceMessage{})
		}
	}
}

// Events returns the events kept so far, and with follow a channel of those to
// come, which is closed when ctx ends.
func (s *Supervisor) Events(ctx context.Context, follow bool) ([]Event, <-chan Event) {
	if !follow {
		return s.events.history(), nil
	}
	ch := s.events.follow(ctx)
	return s.events.history(), ch
}

// Emit adds an event that did not come from a worker's life.
func (s *Supervisor) Emit(service, workerName, kind, message, cause string) {
	s.events.Emit(Event{At: time.Now(), Service: service, Worker: workerName, Kind: kind, Message: message, Cause: cause})
}
