package admin

import (
	"github.com/prometheus/client_golang/prometheus"

	"bulsa/internal/api"
)

// eventLoopCollector has what is told of event loops. A figure that nobody can
// tell for a worker is missing there.
type eventLoopCollector struct {
	gauges  []eventLoopGauge
	gcCount *prometheus.Desc
	gcTotal *prometheus.Desc
}

type eventLoopGauge struct {
	desc  *prometheus.Desc
	value func(*api.EventLoop) (v float64, known bool)
}

func newEventLoopCollector() eventLoopCollector {
	worker := []string{"service", "worker"}
	gauge := func(name, help string, value func(*api.EventLoop) (float64, bool)) eventLoopGauge {
		return eventLoopGauge{prometheus.NewDesc("bulsa_eventloop_"+name, help, worker, nil), value}
	}
	return eventLoopCollector{
		gauges: []eventLoopGauge{
			gauge("tick_frequency_hertz", "Iterations of the worker's event loop in the last second.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.TickFrequency) }),
			gauge("tick_duration_seconds", "Mean time of an iteration in the last second, without its wait for events.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.TickDuration) }),
			gauge("tick_period_seconds", "Mean time from the beginning of an iteration to that of the next in the last second, with its wait for events: 1/frequency. Some call this the tick duration.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.TickPeriod) }),
			gauge("tick_duration_max_seconds", "Longest iteration that was seen in the last second; one between two looks may have been longer.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.TickDurationMax) }),
			gauge("work_latency_seconds", "Mean time that a task waited for a thread of the pool in the last five to ten seconds.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.WorkLatency) }),
			gauge("loop_latency_seconds", "How late a callback that is due runs: 99 of 100 in the last five to ten seconds were not later.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.LoopLatency) }),
			gauge("loop_latency_p50_seconds", "How late a callback that is due runs: half of them in the last five to ten seconds were not later.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.LoopLatencyP50) }),
			gauge("loop_latency_max_seconds", "How late a callback that is due ran at most in the last five to ten seconds.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.LoopLatencyMax) }),
			gauge("utilization_ratio", "Share of the last second in which the event loop did not wait for events, 0 to 1.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.Utilization) }),
			gauge("threadpool_threads", "Threads of the worker's pool (UV_THREADPOOL_SIZE); 0 before its first use.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.Threads) }),
			gauge("threadpool_busy_threads", "Threads of the worker's pool that run a task.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.Busy) }),
			gauge("threadpool_queued_tasks", "Tasks that wait for a thread of the worker's pool.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.Queued) }),
			gauge("active_handles", "Active handles of the event loop: servers, sockets, timers.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.Handles) }),
			gauge("active_requests", "Active requests of the event loop: writes, file operations, look-ups.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.Requests) }),
			gauge("requests_in_flight", "HTTP/1 requests inside the worker whose answer is not finished.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.InFlight) }),
			gauge("heap_used_bytes", "Used bytes of the JavaScript heap.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.HeapUsed) }),
			gauge("heap_limit_bytes", "Bytes to which the JavaScript heap may grow.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.HeapLimit) }),
			gauge("external_memory_bytes", "Bytes outside of the JavaScript heap that its objects hold: buffers.",
				func(l *api.EventLoop) (float64, bool) { return figure(l.External) }),
			gauge("blocked_seconds", "How long the iteration at hand has been running; 0 while the loop waits for events.",
				func(l *api.EventLoop) (float64, bool) { return l.Blocked, true }),
		},
		gcCount: prometheus.NewDesc("bulsa_eventloop_gc_pauses_total",
			"Pauses of the worker for its garbage collector, by kind.", []string{"service", "worker", "kind"}, nil),
		gcTotal: prometheus.NewDesc("bulsa_eventloop_gc_pause_seconds_total",
			"Time that the worker paused for its garbage collector, by kind.", []string{"service", "worker", "kind"}, nil),
	}
}

func figure[T int | int64 | float64](v *T) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return float64(*v), true
}

func (c eventLoopCollector) describe(out chan<- *prometheus.Desc) {
	for _, g := range c.gauges {
		out <- g.desc
	}
	out <- c.gcCount
	out <- c.gcTotal
}

func (c eventLoopCollector) collect(out chan<- prometheus.Metric, service, worker string, l *api.EventLoop) {
	if l == nil {
		return
	}
	for _, g := range c.gauges {
		if v, known := g.value(l); known {
			out <- gauge(g.desc, v, service, worker)
		}
	}
	for _, p := range l.GarbageCollections {
		out <- counter(c.gcCount, float64(p.Count), service, worker, p.Kind)
		out <- counter(c.gcTotal, p.Total, service, worker, p.Kind)
	}
}
