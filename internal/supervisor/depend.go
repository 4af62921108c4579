package supervisor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// lacks says what a service waits for before its first start; "" when it may start.
func (s *Supervisor) lacks(sv spec.Service) string {
	if text := s.unmet(sv.DependsOn); text != "" {
		return text
	}
	return s.occupied(sv)
}

// occupied says which removed service still writes to the data of a new one: the
// same under another name, or run by another engine.
func (s *Supervisor) occupied(sv spec.Service) string {
	for _, old := range s.removed() {
		if was := old.status.Load().Service; was.SharesData(sv) || was.Name == sv.Name && was.KeepsData() {
			return fmt.Sprintf("waits for the former %s to end, which has the same data", was.Name)
		}
	}
	return ""
}

// unmet says which dependency a service still waits for; "" when it may start.
func (s *Supervisor) unmet(needs []spec.Dependency) string {
	for _, d := range needs {
		sv, err := s.find(d.Service)
		if err != nil {
			if d.Required {
				return fmt.Sprintf("waits for %s, which is not part of the project", d.Service)
			}
			continue
		}
		if text := missing(d, sv.status.Load()); text != "" {
			return text
		}
	}
	return ""
}

// missing says what a dependency lacks, in Compose's conditions.
func missing(d spec.Dependency, st *ServiceStatus) string {
	switch d.Condition {
	case "service_healthy":
		if st.Ready < st.Desired {
			return fmt.Sprintf("waits for %s to be healthy (%d of %d)", d.Service, st.Ready, st.Desired)
		}
	case "service_completed_successfully":
		if !st.Completed {
			return fmt.Sprintf("waits for %s to complete%s", d.Service, lastFailure(st))
		}
	default:
		started := func(w WorkerStatus) bool { return !w.Started.IsZero() }
		if st.Desired > 0 && !slices.ContainsFunc(st.Workers, started) {
			return fmt.Sprintf("waits for %s to start", d.Service)
		}
	}
	return ""
}

func lastFailure(st *ServiceStatus) string {
	for _, w := range st.Workers {
		if w.Exit != nil && (w.Exit.Code != 0 || w.Exit.Signal != "") {
			return fmt.Sprintf(" (%s: %s)", w.Name, w.Cause)
		}
	}
	return ""
}

// Shutdown stops every service gracefully, dependents before what they depend
// on, and returns when nothing runs any more. It cannot be taken back. After it
// the engines may be closed, and then Wait returns.
func (s *Supervisor) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	all := s.all()
	slices.Reverse(all)
	for {
		changed := s.Changed()
		if s.stopLayer(all) && len(s.removed()) == 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, sv := range all {
		close(sv.done)
	}
	return nil
}

// stopLayer stops each service whose dependents have come to rest, and reports
// whether all have.
func (s *Supervisor) stopLayer(all []*service) bool {
	rest := true
	for _, sv := range all {
		st := sv.status.Load()
		if st.idle() {
			continue
		}
		rest = false
		busy := slices.ContainsFunc(all, func(other *service) bool {
			o := other.status.Load()
			return !o.idle() && slices.ContainsFunc(o.Service.DependsOn, func(d spec.Dependency) bool { return d.Service == sv.name })
		})
		if !st.Stopped && !busy {
			sv.do(func(x *service) { x.stopped = true })
		}
	}
	return rest
}

// removed are the services that have been removed and of which something still runs.
func (s *Supervisor) removed() []*service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.leaving))
}

// ForceStop kills everything that still runs, at once: the second Ctrl-C.
func (s *Supervisor) ForceStop() {
	for _, sv := range append(s.all(), s.removed()...) {
		sv.do(func(x *service) {
			x.stopped = true
			for key := range x.members {
				x.tell(key, worker.Fact{Kind: worker.ForceStop, Cause: "asked to end at once"})
			}
		})
	}
}

// Wait returns when all loops have ended: after Shutdown, and after the
// engines' facts have ended.
func (s *Supervisor) Wait() { s.loops.Wait() }
