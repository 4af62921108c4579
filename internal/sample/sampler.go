// Package sample looks at the counters of the data path, of logs and of processes once a
// second, and keeps what readers want at once: rates over the last seconds, and the last
// minutes of each worker for the doctor.
package sample

import (
	"context"
	"math"
	"sync"
	"time"

	"bulsa/internal/doctor"
	"bulsa/internal/logs"
	"bulsa/internal/proxy/stats"
	"bulsa/internal/supervisor"
)

const (
	every     = time.Second
	ratesOver = 10 // rates are over the last so many samples
)

// Usage is what a worker's processes use.
type Usage struct {
	CPU    time.Duration // user and system time of all of them so far
	Memory int64         // resident bytes of all of them
}

// sample is one look at the counters.
type sample struct {
	at      time.Time
	stats   stats.Snapshot
	usage   map[int]Usage // by the pid of the worker's first process
	machine ticks         // of all processors
}

// Rates is what the difference of two samples says about one worker.
type Rates struct {
	PerSecond float64
	P99       time.Duration
	CPU       float64 // percent of one core
	Memory    int64
}

// Sampler looks at the counters once a second, so that readers get rates
// without having to wait for a second look.
type Sampler struct {
	stats   func() stats.Snapshot
	volume  func(worker string) logs.Volume
	history *history
	mu      sync.Mutex
	kept    []sample // oldest first, at most ratesOver+1
}

// New is a sampler of the data path's counters and of what workers write.
func New(stats func() stats.Snapshot, volume func(worker string) logs.Volume) *Sampler {
	return &Sampler{stats: stats, volume: volume, history: newHistory()}
}

// Run samples until ctx ends, and calls each after every sample.
func (s *Sampler) Run(ctx context.Context, status func() *supervisor.Status, each func(*supervisor.Status)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		st := status()
		s.note(st, sample{at: time.Now(), stats: s.stats(), usage: sessionUsage(pids(st)), machine: machineTime()})
		each(st)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// note keeps one look.
func (s *Sampler) note(st *supervisor.Status, x sample) {
	s.add(x)
	s.history.note(st, x, s.volume, s.p99)
}

// History returns the samples of a worker's present run, oldest first, at most Kept.
func (s *Sampler) History(worker string) []doctor.Sample { return s.history.of(worker) }

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

func (s *Sampler) add(x sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) > ratesOver {
		s.kept = append(s.kept[:0], s.kept[1:]...)
	}
	s.kept = append(s.kept, x)
}

// ticks is the time that the machine's processors spent since its start.
type ticks struct{ busy, all uint64 }

// MachineBusy is the share of the machine's processor time that was in use over
// the samples kept, by anybody; NaN where the system does not tell.
func (s *Sampler) MachineBusy() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) < 2 {
		return math.NaN()
	}
	first, last := s.kept[0].machine, s.kept[len(s.kept)-1].machine
	return float64(last.busy-first.busy) / float64(last.all-first.all)
}

// p99 is the answer time of a worker that 99 of 100 answers did not exceed.
func (s *Sampler) p99(service, worker string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last := s.kept[0], s.kept[len(s.kept)-1]
	a, b := workerStats(first.stats, service, worker), workerStats(last.stats, service, worker)
	return b.AnswerTime.Sub(a.AnswerTime).Quantile(0.99)
}

// Rates returns those of one worker, as the owner of its pool counts them; ok is false before there are two samples.
func (s *Sampler) Rates(service, worker string, pid int) (r Rates, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) < 2 {
		return Rates{}, false
	}
	first, last := s.kept[0], s.kept[len(s.kept)-1]
	span := last.at.Sub(first.at).Seconds()
	a, b := workerStats(first.stats, service, worker), workerStats(last.stats, service, worker)
	r.PerSecond = float64(b.Requests-a.Requests) / span
	r.P99 = b.AnswerTime.Sub(a.AnswerTime).Quantile(0.99)
	r.Memory = last.usage[pid].Memory
	r.CPU = s.cpu(pid)
	return r, true
}

// Usage is what the processes of a worker use, by the last sample.
func (s *Sampler) Usage(pid int) (Usage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 || pid == 0 {
		return Usage{}, false
	}
	u, ok := s.kept[len(s.kept)-1].usage[pid]
	return u, ok
}

// cpu is the share of one core that the worker used since the oldest sample
// that knows its process. s.mu is held.
func (s *Sampler) cpu(pid int) float64 {
	last := s.kept[len(s.kept)-1]
	now, ok := last.usage[pid]
	if !ok {
		return 0
	}
	for _, old := range s.kept[:len(s.kept)-1] {
		if before, ok := old.usage[pid]; ok {
			return max(0, 100*(now.CPU-before.CPU).Seconds()/last.at.Sub(old.at).Seconds())
		}
	}
	return 0
}
