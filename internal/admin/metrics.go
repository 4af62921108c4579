package admin

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"bulsa/internal/api"
)

// metricsHandler serves what Control says at the moment of a scrape, and bulsa's
// own process figures.
func metricsHandler(control Control, version string) http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(
		newCollector(control, version),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(withApps{own: registry, control: control}, promhttp.HandlerOpts{})
}

// collector turns a Metrics into Prometheus samples; it keeps none.
type collector struct {
	control Control

	buildInfo     *prometheus.Desc
	workerInfo    *prometheus.Desc
	workerUp      *prometheus.Desc
	restarts      *prometheus.Desc
	healthStatus  *prometheus.Desc
	checkDuration *prometheus.Desc
	checkCPU      *prometheus.Desc
	checks        *prometheus.Desc
	requests      *prometheus.Desc
	duration      *prometheus.Desc
	retries       *prometheus.Desc
	inFlight      *prometheus.Desc
	eventLoop     eventLoopCollector
	delayed       *prometheus.Desc
	connections   *prometheus.Desc
	turnedAway    *prometheus.Desc
	queued        *prometheus.Desc
	queueFull     *prometheus.Desc
	cut           *prometheus.Desc
	passed        *prometheus.Desc
	tunnels       *prometheus.Desc
	lostSessions  *prometheus.Desc
	logLost       *prometheus.Desc
	load          loadCollector
	expiry        *prometheus.Desc
	innerUp       *prometheus.Desc
	innerRestarts *prometheus.Desc
}

func newCollector(control Control, version string) *collector {
	worker := []string{"service", "worker"}
	with := func(more ...string) []string { return append(append([]string{}, worker...), more...) }
	return &collector{
		control:   control,
		eventLoop: newEventLoopCollector(),
		buildInfo: prometheus.NewDesc("bulsa_build_info",
			"Always 1; the label tells the version of bulsa.", nil, prometheus.Labels{"version": version}),
		workerInfo: prometheus.NewDesc("bulsa_worker_info",
			"Always 1; the labels tell the worker's engine, state, release and process id (0: it has none).", with("engine", "state", "release", "pid"), nil),
		workerUp: prometheus.NewDesc("bulsa_worker_up",
			"Whether the worker runs (1) or not (0).", worker, nil),
		restarts: prometheus.NewDesc("bulsa_worker_restarts_total",
			"Restarts of the worker, by what caused them.", with("cause"), nil),
		healthStatus: prometheus.NewDesc("bulsa_worker_health_status",
			"1 for the worker's present health status (none, starting, healthy or unhealthy), 0 for the others.", with("status"), nil),
		checkDuration: prometheus.NewDesc("bulsa_health_check_duration_seconds",
			"Wall time of the worker's last finished health check.", worker, nil),
		checkCPU: prometheus.NewDesc("bulsa_health_check_cpu_seconds_total",
			"User and system CPU time that all health checks of the worker have cost.", worker, nil),
		checks: prometheus.NewDesc("bulsa_health_checks_total",
			"Finished health checks of the worker, by result (passed or failed).", with("result"), nil),
		requests: prometheus.NewDesc("bulsa_proxy_requests_total",
			"Requests that the balancer finished for the service, by status code of the answer.", []string{"service", "code"}, nil),
		duration: prometheus.NewDesc("bulsa_proxy_request_duration_seconds",
			"Time from the first byte of a request to the last byte of its answer.", []string{"service"}, nil),
		retries: prometheus.NewDesc("bulsa_proxy_retries_total",
			"Requests that the balancer sent again to another worker.", []string{"service"}, nil),
		inFlight: prometheus.NewDesc("bulsa_proxy_in_flight_requests",
			"Requests that the balancer has accepted for the service and not finished.", []string{"service"}, nil),
		delayed: prometheus.NewDesc("bulsa_proxy_retries_delayed_total",
			"Requests whose retry had to wait because the service's retry budget was spent.", []string{"service"}, nil),
		connections: prometheus.NewDesc("bulsa_proxy_client_connections",
			"Connections of clients that are open; on a shared port they count for its default service.", []string{"service"}, nil),
		turnedAway: prometheus.NewDesc("bulsa_proxy_connections_rejected_total",
			"Connections of clients beyond limits.connections or limits.connections_per_address, and of those whose floods were cut off.", []string{"service"}, nil),
		queued: prometheus.NewDesc("bulsa_proxy_queued_requests",
			"Requests that wait because every worker has max_conns.", []string{"service"}, nil),
		queueFull: prometheus.NewDesc("bulsa_proxy_queue_full_total",
			"Requests that were refused because limits.queue were waiting.", []string{"service"}, nil),
		passed: prometheus.NewDesc("bulsa_proxy_passed_connections_total",
			"Connections that were given to workers as they are: TCP, and TLS and HTTP/2 that workers speak themselves.", []string{"service"}, nil),
		tunnels: prometheus.NewDesc("bulsa_proxy_tunnels",
			"Connections that bulsa carries both ways now: TCP that is passed on, and upgraded ones such as WebSockets.", []string{"service"}, nil),
		lostSessions: prometheus.NewDesc("bulsa_proxy_lost_sessions_total",
			"Requests with a session of socket.io in the query that were answered 400: their worker did not know it.", []string{"service"}, nil),
		cut: prometheus.NewDesc("bulsa_proxy_cut_total",
			"Upgraded connections, such as WebSockets, that a drain or a dying worker ended.", []string{"service"}, nil),
		logLost: prometheus.NewDesc("bulsa_proxy_access_log_dropped_total",
			"Lines that the access log could not take in time.", []string{"file"}, nil),
		load: newLoadCollector(),
		expiry: prometheus.NewDesc("bulsa_certificate_expiry_timestamp_seconds",
			"When a certificate of the service ends, in seconds since 1970; the label tells its first name.", []string{"service", "name"}, nil),
		innerUp: prometheus.NewDesc("bulsa_inner_worker_up",
			"Whether a worker inside of a container is ready (1) or not (0), as the bulsa there reports it.", worker, nil),
		innerRestarts: prometheus.NewDesc("bulsa_inner_worker_restarts_total",
			"Restarts of a worker inside of a container, since the container's start.", worker, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.buildInfo, c.workerInfo, c.workerUp, c.restarts, c.healthStatus, c.checkDuration,
		c.checkCPU, c.checks, c.requests, c.duration, c.retries, c.inFlight,
		c.delayed, c.connections, c.turnedAway, c.queued, c.queueFull, c.cut, c.passed, c.tunnels, c.lostSessions, c.logLost, c.expiry, c.innerUp, c.innerRestarts,
	} {
		out <- d
	}
	c.load.describe(out)
	c.eventLoop.describe(out)
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := c.control.Metrics()
	out <- gauge(c.buildInfo, 1)
	for _, w := range m.Workers {
		c.collectWorker(out, w)
	}
	for _, w := range m.Inner {
		c.collectInner(out, w)
	}
	for _, s := range m.Services {
		c.collectService(out, s)
	}
	for _, cert := range m.Certificates {
		out <- gauge(c.expiry, float64(cert.Expires.Unix()), cert.Service, cert.Name)
	}
	for file, n := range m.AccessLogLost {
		out <- counter(c.logLost, float64(n), file)
	}
}

func (c *collector) collectWorker(out chan<- prometheus.Metric, w WorkerMetrics) {
	out <- gauge(c.workerInfo, 1, w.Service, w.Worker, w.Engine, w.State, strconv.Itoa(w.Release), strconv.Itoa(w.PID))
	out <- gauge(c.workerUp, one(w.Up), w.Service, w.Worker)
	for cause, n := range w.Restarts {
		out <- counter(c.restarts, float64(n), w.Service, w.Worker, cause)
	}
	for _, status := range []string{"none", "starting", "healthy", "unhealthy"} {
		out <- gauge(c.healthStatus, one(w.Health == status), w.Service, w.Worker, status)
	}
	c.load.collect(out, w)
	c.eventLoop.collect(out, w.Service, w.Worker, w.EventLoop)
	if w.Health == "none" {
		return
	}
	if w.CheckLast > 0 {
		out <- gauge(c.checkDuration, w.CheckLast.Seconds(), w.Service, w.Worker)
	}
	out <- counter(c.checkCPU, w.CheckCPU.Seconds(), w.Service, w.Worker)
	out <- counter(c.checks, float64(w.ChecksPassed), w.Service, w.Worker, "passed")
	out <- counter(c.checks, float64(w.ChecksFailed), w.Service, w.Worker, "failed")
}

func (c *collector) collectInner(out chan<- prometheus.Metric, w api.Worker) {
	out <- gauge(c.innerUp, one(w.State == "ready"), w.Service, w.Name)
	out <- counter(c.innerRestarts, float64(w.Restarts), w.Service, w.Name)
	c.eventLoop.collect(out, w.Service, w.Name, w.EventLoop)
}

func (c *collector) collectService(out chan<- prometheus.Metric, s ServiceMetrics) {
	for code, n := range s.Requests {
		out <- counter(c.requests, float64(n), s.Service, strconv.Itoa(code))
	}
	buckets := make(map[float64]uint64, len(s.Duration.Bounds))
	for i, bound := range s.Duration.Bounds {
		buckets[bound] = s.Duration.Counts[i]
	}
	out <- prometheus.MustNewConstHistogram(c.duration, s.Duration.Count, s.Duration.Sum, buckets, s.Service)
	out <- counter(c.retries, float64(s.Retries), s.Service)
	out <- gauge(c.inFlight, float64(s.InFlight), s.Service)
	out <- counter(c.delayed, float64(s.RetriesDelayed), s.Service)
	out <- gauge(c.connections, float64(s.Connections), s.Service)
	out <- counter(c.turnedAway, float64(s.TurnedAway), s.Service)
	out <- gauge(c.queued, float64(s.Queued), s.Service)
	out <- counter(c.queueFull, float64(s.QueueFull), s.Service)
	out <- counter(c.cut, float64(s.Cut), s.Service)
	out <- counter(c.passed, float64(s.Passed), s.Service)
	out <- gauge(c.tunnels, float64(s.Tunnels), s.Service)
	out <- counter(c.lostSessions, float64(s.LostSessions), s.Service)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
