package admin

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bulsa/internal/api"
)

func TestMetricsSayWhatTheContractNames(t *testing.T) {
	f := newFake()
	p50 := 0.004
	f.metrics = Metrics{
		Inner: []api.Worker{{Service: "app", Name: "app.1/2", State: "ready", Restarts: 4, EventLoop: &api.EventLoop{LoopLatencyP50: &p50}}},
		Workers: []WorkerMetrics{{
			Service: "app", Worker: "app.1", Engine: "process", State: "ready", Health: "healthy", PID: 77, Release: 2, Up: true,
			Restarts:  map[string]uint64{"exit": 2, "unhealthy": 1},
			CheckLast: 250 * time.Millisecond, CheckCPU: 1500 * time.Millisecond, ChecksPassed: 9, ChecksFailed: 1,
			InFlight: 3, CPU: new(2500 * time.Millisecond), Memory: new(int64(4096)), Blocks: 2, Blocked: 750 * time.Millisecond,
			EventLoop: &api.EventLoop{TickPeriod: new(0.5)},
		}, {
			Service: "db", Worker: "db.1", Engine: "external", State: "backoff", Health: "none",
		}},
		Services: []ServiceMetrics{{
			Service: "app", Requests: map[int]uint64{200: 41, 502: 1}, Retries: 3, InFlight: 5,
			RetriesDelayed: 6, Connections: 7, TurnedAway: 8, Queued: 9, QueueFull: 10, Cut: 11, Passed: 12, Tunnels: 13, LostSessions: 14,
			Duration: Histogram{Bounds: []float64{0.01, 0.1}, Counts: []uint64{30, 40}, Count: 42, Sum: 1.25},
		}},
		Certificates:  []Certificate{{Service: "app", Name: "a.example", Expires: time.Unix(1800000000, 0)}},
		AccessLogLost: map[string]uint64{"/var/log/access.log": 12},
	}
	w := httptest.NewRecorder()
	New(Config{Control: f}).ControlHandler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	text := w.Body.String()
	for line := range strings.Lines(`bulsa_inner_worker_up{service="app",worker="app.1/2"} 1
bulsa_inner_worker_restarts_total{service="app",worker="app.1/2"} 4
bulsa_eventloop_loop_latency_p50_seconds{service="app",worker="app.1/2"} 0.004
bulsa_worker_info{engine="process",pid="77",release="2",service="app",state="ready",worker="app.1"} 1
bulsa_worker_up{service="app",worker="app.1"} 1
bulsa_worker_up{service="db",worker="db.1"} 0
bulsa_worker_restarts_total{cause="exit",service="app",worker="app.1"} 2
bulsa_worker_restarts_total{cause="unhealthy",service="app",worker="app.1"} 1
bulsa_worker_health_status{service="app",status="healthy",worker="app.1"} 1
bulsa_worker_health_status{service="app",status="unhealthy",worker="app.1"} 0
bulsa_worker_health_status{service="db",status="none",worker="db.1"} 1
bulsa_worker_in_flight_requests{service="app",worker="app.1"} 3
bulsa_worker_cpu_seconds_total{service="app",worker="app.1"} 2.5
bulsa_worker_resident_memory_bytes{service="app",worker="app.1"} 4096
bulsa_eventloop_blocks_total{service="app",worker="app.1"} 2
bulsa_eventloop_blocked_seconds_total{service="app",worker="app.1"} 0.75
bulsa_eventloop_tick_period_seconds{service="app",worker="app.1"} 0.5
bulsa_certificate_expiry_timestamp_seconds{name="a.example",service="app"} 1.8e+09
bulsa_health_check_duration_seconds{service="app",worker="app.1"} 0.25
bulsa_health_check_cpu_seconds_total{service="app",worker="app.1"} 1.5
bulsa_health_checks_total{result="failed",service="app",worker="app.1"} 1
bulsa_proxy_requests_total{code="200",service="app"} 41
bulsa_proxy_requests_total{code="502",service="app"} 1
bulsa_proxy_request_duration_seconds_bucket{service="app",le="0.01"} 30
bulsa_proxy_request_duration_seconds_bucket{service="app",le="0.1"} 40
bulsa_proxy_request_duration_seconds_bucket{service="app",le="+Inf"} 42
bulsa_proxy_request_duration_seconds_sum{service="app"} 1.25
bulsa_proxy_request_duration_seconds_count{service="app"} 42
bulsa_proxy_retries_total{service="app"} 3
bulsa_proxy_in_flight_requests{service="app"} 5
bulsa_proxy_retries_delayed_total{service="app"} 6
bulsa_proxy_client_connections{service="app"} 7
bulsa_proxy_connections_rejected_total{service="app"} 8
bulsa_proxy_queued_requests{service="app"} 9
bulsa_proxy_queue_full_total{service="app"} 10
bulsa_proxy_cut_total{service="app"} 11
bulsa_proxy_passed_connections_total{service="app"} 12
bulsa_proxy_tunnels{service="app"} 13
bulsa_proxy_lost_sessions_total{service="app"} 14
bulsa_proxy_access_log_dropped_total{file="/var/log/access.log"} 12
# TYPE bulsa_worker_restarts_total counter
# TYPE bulsa_proxy_request_duration_seconds histogram
`) {
		if !strings.Contains(text, line) {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(text, `bulsa_health_check_duration_seconds{service="db"`) {
		t.Error("a worker without a health check has a check's duration")
	}
}
