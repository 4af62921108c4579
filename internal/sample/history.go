package sample

import (
	"math"
	"slices"
	"sync"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/doctor"
	"bulsa/internal/logs"
	"bulsa/internal/proxy/stats"
	"bulsa/internal/supervisor"
)

// Kept is how many samples of each worker are kept for the doctor, one a second.
const Kept = 300

// history keeps what was measured of each worker's present run in the last
// minutes, one sample a second.
type history struct {
	mu      sync.Mutex
	workers map[string]*track
}

// track is the history of one worker.
type track struct {
	pid     int
	samples []doctor.Sample // oldest first, at most Kept
	last    counters
}

// counters only grow; samples hold their differences.
type counters struct {
	at       time.Time
	cpu      time.Duration
	requests uint64
	log      logs.Volume
}

func newHistory() *history { return &history{workers: map[string]*track{}} }

// add notes one look at a worker that runs. p99 is of the last seconds.
func (h *history) add(w supervisor.WorkerStatus, now counters, memory int64, p99 time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.workers[w.Name]
	if t == nil || t.pid != w.PID {
		h.workers[w.Name] = &track{pid: w.PID, last: now}
		return
	}
	span := now.at.Sub(t.last.at).Seconds()
	s := doctor.Sample{
		At:  now.at,
		CPU: (now.cpu - t.last.cpu).Seconds() / span, Memory: float64(memory),
		Answers: float64(now.requests-t.last.requests) / span, Answer: p99.Seconds(), InFlight: float64(w.InFlight),
		LogBytes: float64(now.log.Bytes-t.last.log.Bytes) / span, LogLost: float64(now.log.Lost - t.last.log.Lost),
	}
	if p99 == 0 {
		s.Answer = math.NaN() // nobody asked
	}
	if memory == 0 {
		s.CPU, s.Memory = math.NaN(), math.NaN() // this system does not tell
	}
	loopFigures(w, &s)
	t.add(s)
	t.last = now
}

func (t *track) add(s doctor.Sample) {
	if len(t.samples) == Kept {
		t.samples = append(t.samples[:0], t.samples[1:]...)
	}
	t.samples = append(t.samples, s)
}

// keep forgets all workers but those that are.
func (h *history) keep(st *supervisor.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range h.workers {
		if !slices.ContainsFunc(st.Services, func(sv supervisor.ServiceStatus) bool {
			return slices.ContainsFunc(sv.Workers, func(w supervisor.WorkerStatus) bool {
				return w.Name == name && w.PID > 0 || slices.ContainsFunc(w.Inner.Named(sv.Name, w.Name), func(in api.Worker) bool { return in.Name == name && in.PID > 0 })
			})
		}) {
			delete(h.workers, name)
		}
	}
}

// of returns the samples of a worker's present run.
func (h *history) of(worker string) []doctor.Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.workers[worker]; t != nil {
		return slices.Clone(t.samples)
	}
	return nil
}

// note looks at every worker once.
func (h *history) note(st *supervisor.Status, x sample, volume func(string) logs.Volume, p99 func(service, worker string) time.Duration) {
	h.keep(st)
	for _, sv := range st.Services {
		for _, w := range sv.Workers {
			for _, in := range w.Inner.Named(sv.Name, w.Name) {
				h.addInside(in, x.at)
			}
			if w.PID == 0 {
				continue
			}
			used := x.usage[w.PID]
			now := counters{at: x.at, cpu: used.CPU, log: volume(w.Name)}
			now.requests = workerStats(x.stats, sv.Service.Owner(), w.Name).Requests
			h.add(w, now, used.Memory, p99(sv.Service.Owner(), w.Name))
		}
	}
}

func workerStats(s stats.Snapshot, service, worker string) stats.Worker {
	return s.Services[service].Workers[worker]
}

// loopFigures adds what is known of the worker's event loop.
func loopFigures(w supervisor.WorkerStatus, s *doctor.Sample) {
	unknown := math.NaN()
	s.Utilization, s.Tick, s.TickMax, s.Frequency, s.Late, s.Blocked = unknown, unknown, unknown, unknown, unknown, unknown
	s.Threads, s.Queued, s.WorkWait, s.HeapUsed, s.HeapLimit = unknown, unknown, unknown, unknown, unknown
	f := w.Loop
	if f == nil {
		return
	}
	s.Utilization, s.Frequency = orUnknown(f.Utilization), orUnknown(f.Frequency)
	s.Tick, s.TickMax, s.Late = orUnknown(f.TickMean.Seconds()), orUnknown(f.TickMax.Seconds()), orUnknown(f.Latency.P99.Seconds())
	s.Threads, s.Queued, s.WorkWait = orUnknown(float64(f.Threads)), orUnknown(float64(f.Queued)), orUnknown(f.WorkLatency.Seconds())
	s.Blocked = f.Blocked.Seconds()
	if in := f.Inside; in != nil && in.HeapLimit > 0 {
		s.HeapUsed, s.HeapLimit = float64(in.HeapUsed), float64(in.HeapLimit)
	}
}

// orUnknown makes NaN of the negative figures that eventloop has for unknown ones.
func orUnknown(v float64) float64 {
	if v < 0 {
		return math.NaN()
	}
	return v
}

// addInside notes one look at a worker inside of a container, as the bulsa there
// has reported it.
func (h *history) addInside(w api.Worker, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.workers[w.Name]
	if t == nil || t.pid != w.PID {
		h.workers[w.Name] = &track{pid: w.PID}
		return
	}
	s := doctor.Sample{
		At: now, CPU: figure(w.CPUPercent) / 100, Memory: number(w.MemoryBytes),
		Answers: figure(w.RequestsPerSecond), Answer: figure(w.P99Seconds), InFlight: float64(w.InFlight),
	}
	l := w.EventLoop
	if l == nil {
		l = &api.EventLoop{}
	}
	s.Utilization, s.Frequency, s.Late = figure(l.Utilization), figure(l.TickFrequency), figure(l.LoopLatency)
	s.Tick, s.TickMax, s.WorkWait = figure(l.TickDuration), figure(l.TickDurationMax), figure(l.WorkLatency)
	s.Threads, s.Queued = number(l.Threads), number(l.Queued)
	s.HeapUsed, s.HeapLimit = number(l.HeapUsed), number(l.HeapLimit)
	if s.Blocked = l.Blocked; w.EventLoop == nil {
		s.Blocked = math.NaN()
	}
	t.add(s)
}

func figure(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

func number[T int | int64](v *T) float64 {
	if v == nil {
		return math.NaN()
	}
	return float64(*v)
}
