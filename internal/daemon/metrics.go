package daemon

import (
	"bulsa/internal/admin"
	"bulsa/internal/proxy"
	"bulsa/internal/supervisor"
	"bulsa/internal/worker"
	"time"
)

// durationBounds are the buckets of request durations, in seconds.
var durationBounds = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// Metrics is what a scrape of /metrics reads.
func (d *Daemon) Metrics() admin.Metrics {
	var m admin.Metrics
	stats := d.server.Stats()
	for _, sv := range d.supervisor.Status().Services {
		for _, w := range sv.Workers {
			m.Workers = append(m.Workers, workerMetrics(sv, w))
			m.Inner = append(m.Inner, w.Inner.Named(sv.Name, w.Name)...)
		}
		s := stats.Services[sv.Name]
		m.Services = append(m.Services, admin.ServiceMetrics{
			Service: sv.Name, Requests: s.Requests, Retries: s.Retries, InFlight: int(s.InFlight), Duration: histogram(s.Duration),
			RetriesDelayed: s.RetriesDelayed, Connections: int(s.OpenClients), TurnedAway: s.TurnedAway,
			Queued: int(s.Queued), QueueFull: s.QueueFull, Cut: s.Cut,
		})
	}
	m.AccessLogLost = d.ports.LostLines()
	return m
}

func workerMetrics(sv supervisor.ServiceStatus, w supervisor.WorkerStatus) admin.WorkerMetrics {
	up := w.State != worker.Pending && w.State != worker.Backoff && w.State != worker.Failed
	return admin.WorkerMetrics{
		Service: sv.Name, Worker: w.Name, Engine: string(sv.Engine), State: w.State.String(), Health: w.Health,
		PID: w.PID, Release: w.Release, Up: up, Restarts: w.Deaths,
		CheckLast: w.CheckLast, CheckCPU: w.CheckCPU, ChecksPassed: w.ChecksPassed, ChecksFailed: w.ChecksFailed,
		EventLoop: eventLoop(w.Loop),
	}
}

// histogram brings the proxy's fine buckets to those of the metrics.
func histogram(h proxy.Histogram) admin.Histogram {
	out := admin.Histogram{Bounds: durationBounds[:], Count: h.Count, Sum: h.Sum.Seconds()}
	for _, bound := range durationBounds {
		out.Counts = append(out.Counts, h.Below(time.Duration(bound*float64(time.Second))))
	}
	return out
}
