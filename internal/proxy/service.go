package proxy

import (
	"sync"
	"sync/atomic"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/retry"
	"bulsa/internal/proxy/stats"
)

// service is what lives as long as the server: the counters of a service, and what
// its requests and connections share.
type service struct {
	stats.ServiceCounters
	tries   retry.Service
	crowd   limit.PerAddress
	workers sync.Map // name to *worker
}

// worker is what is known of all runs of a worker.
type worker struct {
	stats.WorkerCounters
	reuse retry.Reuse
	first atomic.Pointer[firstWords]
}

// firstWords is whether the last connection of a worker's process that spoke began
// with observed.Greeting.
type firstWords struct {
	process *balance.Endpoint
	greeted bool
}

func (w *worker) spoke(ep *balance.Endpoint, greeted bool) {
	if last := w.first.Load(); last == nil || *last != (firstWords{ep, greeted}) {
		w.first.Store(&firstWords{ep, greeted})
	}
}

// greets says whether a new connection will begin so, as far as another has shown it,
// and else as it is promised.
func (w *worker) greets(ep *balance.Endpoint, promised bool) bool {
	if last := w.first.Load(); last != nil && last.process == ep {
		return last.greeted
	}
	return promised
}

func (s *service) worker(name string) *worker {
	if w, ok := s.workers.Load(name); ok {
		return w.(*worker)
	}
	w, _ := s.workers.LoadOrStore(name, new(worker))
	return w.(*worker)
}

func (s *service) snapshot() stats.Service {
	out := s.ServiceCounters.Snapshot()
	out.Retries, out.RetriesDelayed = s.tries.Retries.Load(), s.tries.Delayed.Load()
	out.Queued, out.QueueFull = s.tries.Queued.Load(), s.tries.QueueFull.Load()
	out.InFlight = s.tries.InFlight.Load()
	out.Workers = make(map[string]stats.Worker)
	s.workers.Range(func(name, w any) bool {
		out.Workers[name.(string)] = w.(*worker).Snapshot()
		return true
	})
	return out
}

// registry keeps a service's counters for as long as the server lives, so that
// they survive every new table.
type registry struct{ services sync.Map }

func (r *registry) service(name string) *service {
	s, _ := r.services.LoadOrStore(name, new(service))
	return s.(*service)
}

func (r *registry) snapshot() stats.Snapshot {
	out := stats.Snapshot{Services: make(map[string]stats.Service)}
	r.services.Range(func(name, s any) bool {
		out.Services[name.(string)] = s.(*service).snapshot()
		return true
	})
	return out
}
