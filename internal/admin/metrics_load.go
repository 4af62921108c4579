package admin

import "github.com/prometheus/client_golang/prometheus"

// loadCollector has what a worker has to do, and what it uses for that.
type loadCollector struct{ cpu, memory, inFlight, blocks, blocked *prometheus.Desc }

func newLoadCollector() loadCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"service", "worker"}, nil)
	}
	return loadCollector{
		cpu:      desc("bulsa_worker_cpu_seconds_total", "User and system CPU time of the worker's processes that run; another process begins at 0."),
		memory:   desc("bulsa_worker_resident_memory_bytes", "Resident memory of the worker's processes."),
		inFlight: desc("bulsa_worker_in_flight_requests", "Requests that the balancer has with the worker."),
		blocks:   desc("bulsa_eventloop_blocks_total", "How often the worker's event loop did not turn for 250 ms or longer."),
		blocked:  desc("bulsa_eventloop_blocked_seconds_total", "Time in which the worker's event loop did not turn, in iterations of 250 ms or longer; the one at hand counts as far as it was seen."),
	}
}

func (c loadCollector) describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.cpu, c.memory, c.inFlight, c.blocks, c.blocked} {
		out <- d
	}
}

func (c loadCollector) collect(out chan<- prometheus.Metric, w WorkerMetrics) {
	out <- gauge(c.inFlight, float64(w.InFlight), w.Service, w.Worker)
	if w.CPU != nil {
		out <- counter(c.cpu, w.CPU.Seconds(), w.Service, w.Worker)
	}
	if w.Memory != nil {
		out <- gauge(c.memory, float64(*w.Memory), w.Service, w.Worker)
	}
	if w.EventLoop != nil || w.Blocks > 0 {
		out <- counter(c.blocks, float64(w.Blocks), w.Service, w.Worker)
		out <- counter(c.blocked, w.Blocked.Seconds(), w.Service, w.Worker)
	}
}
