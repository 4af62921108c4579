package view

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"bulsa/internal/admin"
	"bulsa/internal/api"
	"bulsa/internal/proxy/stats"
	"bulsa/internal/supervisor"
	"bulsa/internal/worker"
)

// durationBounds are the buckets of request durations, in seconds.
var durationBounds = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// Metrics is what a scrape of /metrics reads of services and workers. usage is what the
// processes of a worker use.
func Metrics(st *supervisor.Status, stats stats.Snapshot, usage func(pid int) (cpu time.Duration, memory int64, known bool)) admin.Metrics {
	var m admin.Metrics
	for _, sv := range st.Services {
		inner := map[string][]api.Worker{}
		var rows []admin.WorkerMetrics
		for _, w := range sv.Workers {
			row := workerMetrics(sv, w)
			if cpu, memory, known := usage(w.PID); known {
				row.CPU, row.Memory = &cpu, &memory
			}
			rows = append(rows, row)
			if inside := w.Inner.Named(sv.Name, w.Name); len(inside) > 0 {
				inner[w.Name] = inside // of the newest
			}
		}
		m.Workers = append(m.Workers, oneEach(rows)...)
		for _, name := range slices.Sorted(maps.Keys(inner)) {
			m.Inner = append(m.Inner, inner[name]...)
		}
		s := stats.Services[sv.Name]
		m.Services = append(m.Services, admin.ServiceMetrics{
			Service: sv.Name, Requests: s.Requests, Retries: s.Retries, InFlight: int(s.InFlight), Duration: histogram(s.Duration),
			RetriesDelayed: s.RetriesDelayed, Connections: int(s.OpenClients), TurnedAway: s.TurnedAway,
			Queued: int(s.Queued), QueueFull: s.QueueFull, Cut: s.Cut,
			Passed: s.RawPassed, Tunnels: int(s.Tunnels), LostSessions: s.LostSessions,
		})
	}
	return m
}

func workerMetrics(sv supervisor.ServiceStatus, w supervisor.WorkerStatus) admin.WorkerMetrics {
	up := w.State != worker.Pending && w.State != worker.Backoff && w.State != worker.Failed
	return admin.WorkerMetrics{
		Service: sv.Name, Worker: w.Name, Engine: string(sv.Engine), State: w.State.String(), Health: w.Health,
		PID: w.PID, Release: w.Release, Up: up, Restarts: w.Deaths,
		CheckLast: w.CheckLast, CheckCPU: w.CheckCPU, ChecksPassed: w.ChecksPassed, ChecksFailed: w.ChecksFailed,
		EventLoop: eventLoop(w.Loop), InFlight: w.InFlight, Blocks: w.Blocked.Times, Blocked: w.Blocked.For,
	}
}

// oneEach is one row for each worker: while one is replaced, two of its name run. What is
// said is said of the one that serves, sums are of both, and counters, which both go on
// from where their predecessors ended, are those of the one that has counted more.
func oneEach(rows []admin.WorkerMetrics) []admin.WorkerMetrics {
	var out []admin.WorkerMetrics
	for _, row := range rows {
		i := slices.IndexFunc(out, func(o admin.WorkerMetrics) bool { return o.Worker == row.Worker })
		if i < 0 {
			out = append(out, row)
			continue
		}
		out[i] = together(out[i], row)
	}
	return out
}

func together(a, b admin.WorkerMetrics) admin.WorkerMetrics {
	if serves(b) > serves(a) {
		a, b = b, a
	}
	restarts := maps.Clone(a.Restarts)
	for cause, n := range b.Restarts {
		if restarts == nil {
			restarts = map[string]uint64{}
		}
		restarts[cause] = max(restarts[cause], n)
	}
	a.Restarts = restarts
	a.CheckCPU = max(a.CheckCPU, b.CheckCPU)
	a.ChecksPassed, a.ChecksFailed = max(a.ChecksPassed, b.ChecksPassed), max(a.ChecksFailed, b.ChecksFailed)
	a.Blocks, a.Blocked = max(a.Blocks, b.Blocks), max(a.Blocked, b.Blocked)
	a.InFlight += b.InFlight
	a.CPU, a.Memory = plus(a.CPU, b.CPU), plus(a.Memory, b.Memory)
	return a
}

// serves orders what is said of two workers of one name by how much it says.
func serves(w admin.WorkerMetrics) int {
	switch {
	case w.State == worker.Ready.String():
		return 2
	case w.Up:
		return 1
	}
	return 0
}

func plus[T int64 | time.Duration](a, b *T) *T {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	sum := *a + *b
	return &sum
}

// histogram brings the proxy's fine buckets to those of the metrics.
func histogram(h stats.Histogram) admin.Histogram {
	out := admin.Histogram{Bounds: durationBounds[:], Count: h.Count, Sum: h.Sum.Seconds()}
	for _, bound := range durationBounds {
		out.Counts = append(out.Counts, h.Below(time.Duration(bound*float64(time.Second))))
	}
	return out
}
