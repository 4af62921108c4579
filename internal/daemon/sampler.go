package daemon

import (
	"context"
	"math"
	"sync"
	"time"

	"bulsa/internal/logs"
	"bulsa/internal/proxy"
	"bulsa/internal/supervisor"
)

const (
	sampleEvery = time.Second
	sampleKept  = 10 // rates are over the last so many samples
)

// usage is what a worker's processes use.
type usage struct {
	cpu    time.Duration // user and system time of all of them so far
	memory int64         // resident bytes of all of them
}

// sample is one look at the counters.
type sample struct {
	at      time.Time
	stats   proxy.Stats
	usage   map[int]usage // by the pid of the worker's first process
	machine ticks         // of all processors
}

// rates is what the difference of two samples says about one worker.
type rates struct {
	PerSecond float64
	P99       time.Duration
	CPU       float64 // percent of one core
	Memory    int64
}

// sampler looks at the counters once a second, so that readers get rates
// without having to wait for a second look.
type sampler struct {
	server  *proxy.Server
	logs    *logs.Store
	history *history
	mu      sync.Mutex
	kept    []sample // oldest first, at most sampleKept+1
}

func newSampler(server *proxy.Server, store *logs.Store) *sampler {
	return &sampler{server: server, logs: store, history: newHistory()}
}

// run samples until ctx ends, and calls each after every sample.
func (s *sampler) run(ctx context.Context, sup *supervisor.Supervisor, each func(*supervisor.Status)) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		st := sup.Status()
		x := sample{at: time.Now(), stats: s.server.Stats(), usage: sessionUsage(pids(st)), machine: machineTime()}
		s.add(x)
		s.history.note(st, x, s.logs, s.p99)
		each(st)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func pids(st *supervisor.Status) map[int]bool {
	out := map[int]bool{}
	for _, sv := range st.Services {
		for _, w := range sv.Workers {
			if w.PID > 0 {
				out[w.PID] = true
			}
		}
	}
	return out
}

func (s *sampler) add(x sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) > sampleKept {
		s.kept = append(s.kept[:0], s.kept[1:]...)
	}
	s.kept = append(s.kept, x)
}

// ticks is the time that the machine's processors spent since its start.
type ticks struct{ busy, all uint64 }

// machineBusy is the share of the machine's processor time that was in use over
// the samples kept, by anybody; NaN where the system does not tell.
func (s *sampler) machineBusy() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) < 2 {
		return math.NaN()
	}
	first, last := s.kept[0].machine, s.kept[len(s.kept)-1].machine
	return float64(last.busy-first.busy) / float64(last.all-first.all)
}

// p99 is the answer time of a worker that 99 of 100 answers did not exceed.
func (s *sampler) p99(service, worker string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last := s.kept[0], s.kept[len(s.kept)-1]
	a, b := workerStats(first.stats, service, worker), workerStats(last.stats, service, worker)
	return b.AnswerTime.Sub(a.AnswerTime).Quantile(0.99)
}

// of returns the rates of one worker, as the owner of its pool counts them; ok is false before there are two samples.
func (s *sampler) of(service, worker string, pid int) (r rates, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) < 2 {
		return rates{}, false
	}
	first, last := s.kept[0], s.kept[len(s.kept)-1]
	span := last.at.Sub(first.at).Seconds()
	a, b := workerStats(first.stats, service, worker), workerStats(last.stats, service, worker)
	r.PerSecond = float64(b.Requests-a.Requests) / span
	r.P99 = b.AnswerTime.Sub(a.AnswerTime).Quantile(0.99)
	r.Memory = last.usage[pid].memory
	r.CPU = s.cpu(pid)
	return r, true
}

// usage is what the processes of a worker use, by the last sample.
func (s *sampler) usage(pid int) (usage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 || pid == 0 {
		return usage{}, false
	}
	u, ok := s.kept[len(s.kept)-1].usage[pid]
	return u, ok
}

// cpu is the share of one core that the worker used since the oldest sample
// that knows its process. s.mu is held.
func (s *sampler) cpu(pid int) float64 {
	last := s.kept[len(s.kept)-1]
	now, ok := last.usage[pid]
	if !ok {
		return 0
	}
	for _, old := range s.kept[:len(s.kept)-1] {
		if before, ok := old.usage[pid]; ok {
			return max(0, 100*(now.cpu-before.cpu).Seconds()/last.at.Sub(old.at).Seconds())
		}
	}
	return 0
}
