package spec

import "time"

// The policies of Balance.Policy.
const (
	RoundRobin   = "round_robin"   // smooth weighted round robin
	LeastConn    = "least_conn"    // fewest requests in flight
	IPHash       = "ip_hash"       // the same client address, the same worker
	LeastLatency = "least_latency" // in-flight requests and event-loop latency
)

// LateAnswer is how long a worker may take for the head of its answer where nothing is
// said, and its event loop does not tell that it waits for others.
const LateAnswer = 5 * time.Minute

// The conditions of Dependency.Condition, in Compose's words.
const (
	ServiceStarted   = "service_started"
	ServiceHealthy   = "service_healthy"
	ServiceCompleted = "service_completed_successfully"
)

// NewService is a process service called name, with every default that does
// not depend on its command filled in.
func NewService(name string) Service {
	return Service{
		Name:      name,
		Engine:    EngineProcess,
		Replicas:  1,
		Health:    defaultHealth(),
		Restart:   defaultRestart(),
		Stop:      Stop{Signal: "SIGTERM", Grace: 10 * time.Second, Drain: 30 * time.Second},
		Balance:   Balance{Policy: LeastLatency, Weight: 1, MaxFails: 3, FailTimeout: 10 * time.Second},
		Forward:   defaultForward(),
		Limits:    Limits{Header: defaultHeader},
		Update:    Update{Parallelism: 1},
		Logs:      Logs{MaxSize: 10 << 20, MaxFiles: 5},
		NodeMode:  NodeAuto,
		EventLoop: EventLoop{Monitor: true},
	}
}

// defaultHealth is Docker's (moby daemon/health.go), without a check.
func defaultHealth() Health {
	return Health{
		Interval:      30 * time.Second,
		Timeout:       30 * time.Second,
		Retries:       3,
		StartInterval: 5 * time.Second,
		Passes:        1,
		Replace:       true,
	}
}

func defaultRestart() Restart {
	return Restart{
		Condition:   RestartAlways,
		Delay:       100 * time.Millisecond,
		MaxDelay:    30 * time.Second,
		ResetAfter:  10 * time.Second,
		Jitter:      0.1,
		Budget:      13,
		Window:      10 * time.Minute,
		FailedRetry: 60 * time.Second,
	}
}

func defaultForward() Forward {
	return Forward{
		Upstream:       UpstreamHTTP1,
		HeaderTimeout:  10 * time.Second,
		IdleTimeout:    75 * time.Second,
		ConnectTimeout: 5 * time.Second,
		WebSockets:     5 * time.Second,
		Sessions:       true,
		RetryTimeout:   60 * time.Second,
		Hold:           10 * time.Second,
	}
}

// NewServer is an external server with nginx's defaults
// (ngx_http_upstream_module, directive server).
func NewServer(address string) Server {
	return Server{Address: address, Weight: 1, MaxFails: 1, FailTimeout: 10 * time.Second}
}
