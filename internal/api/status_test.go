package api

import (
	"testing"
	"time"
)

func TestStatusTextSpeaksAsDockerDoes(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	for _, c := range []struct {
		state, health string
		code          int
		since         time.Duration
		want          string
	}{
		{"pending", "none", 0, 0, "Created"},
		{"pending", "none", 0, 2 * time.Minute, "Exited (0) 2 minutes ago"},
		{"pending", "none", 137, hour, "Exited (137) About an hour ago"},
		{"starting", "none", 0, 4 * time.Second, "Up 4 seconds (starting)"},
		{"starting", "starting", 0, 4 * time.Second, "Up 4 seconds (health: starting)"},
		{"ready", "none", 0, 3 * time.Minute, "Up 3 minutes"},
		{"ready", "starting", 0, 3 * time.Minute, "Up 3 minutes (health: starting)"},
		{"ready", "healthy", 0, 3 * time.Minute, "Up 3 minutes (healthy)"},
		{"ready", "healthy", 0, 400 * time.Millisecond, "Up Less than a second (healthy)"},
		{"ready", "none", 0, time.Second, "Up 1 second"},
		{"ready", "none", 0, 59 * time.Second, "Up 59 seconds"},
		{"ready", "none", 0, 60 * time.Second, "Up About a minute"},
		{"ready", "none", 0, 59 * time.Minute, "Up 59 minutes"},
		{"ready", "none", 0, 89 * time.Minute, "Up About an hour"},
		{"ready", "none", 0, 90 * time.Minute, "Up 2 hours"},
		{"ready", "none", 0, 47 * hour, "Up 47 hours"},
		{"ready", "none", 0, 2 * day, "Up 2 days"},
		{"ready", "none", 0, 15 * day, "Up 2 weeks"},
		{"ready", "none", 0, 70 * day, "Up 2 months"},
		{"ready", "none", 0, 800 * day, "Up 2 years"},
		{"unhealthy", "unhealthy", 0, 3 * time.Minute, "Up 3 minutes (unhealthy)"},
		{"draining", "healthy", 0, 3 * time.Minute, "Up 3 minutes (draining)"},
		{"stopping", "healthy", 0, 3 * time.Minute, "Up 3 minutes (stopping)"},
		{"backoff", "none", 1, 5 * time.Second, "Restarting (1) 5 seconds ago"},
		{"failed", "none", 1, 5 * time.Second, "Failed (1) 5 seconds ago"},
	} {
		if got := StatusText(c.state, c.health, c.code, c.since); got != c.want {
			t.Errorf("StatusText(%s, %s, %d, %s) = %q, want %q", c.state, c.health, c.code, c.since, got, c.want)
		}
	}
}

func TestReadinessTellsASlowStartFromACrashLoop(t *testing.T) {
	worker := func(state string, failing bool, cause string) Worker {
		return Worker{Name: "app.1", State: state, Failing: failing, Cause: cause}
	}
	for name, c := range map[string]struct {
		service Service
		ready   bool
		failing bool
		waiting string
	}{
		"a start that takes its time": {
			service: Service{Name: "app", State: "running", Desired: 1, Workers: []Worker{worker("starting", false, "")}},
			waiting: "app: 0 of 1 workers ready: app.1 has been starting: bulsa logs app.1",
		},
		"a worker that died and tries again": {
			service: Service{Name: "app", State: "running", Desired: 1, Workers: []Worker{worker("backoff", false, "exit 1")}},
			waiting: "app: 0 of 1 workers ready: app.1 died and starts again: exit 1",
		},
		"a crash loop": {
			service: Service{Name: "app", State: "running", Desired: 1, Workers: []Worker{worker("backoff", true, "exit 1")}},
			failing: true,
			waiting: "app: 0 of 1 workers ready: app.1 died and starts again: exit 1",
		},
		"a crash loop beside a worker that serves": {
			service: Service{Name: "app", State: "running", Desired: 2, Ready: 1, Workers: []Worker{worker("backoff", true, "exit 1")}},
			waiting: "app: 1 of 2 workers ready: app.1 died and starts again: exit 1",
		},
		"a failed service": {
			service: Service{Name: "app", State: "failed", Cause: "the port is fixed", Desired: 2, Workers: []Worker{worker("failed", true, "the port is fixed")}},
			failing: true,
			waiting: "app: 0 of 2 workers ready: the port is fixed",
		},
		"a release that fails, before a new one has begun": {
			service: Service{Name: "app", State: "failed", Cause: "exit 1", Desired: 1, Release: 2, Workers: []Worker{worker("failed", true, "exit 1")}},
			waiting: "app: 0 of 1 workers ready: exit 1",
		},
		"a service that waits for another": {
			service: Service{Name: "app", State: "waiting", Cause: "waits for db", Desired: 2},
			waiting: "app: waits for db",
		},
		"a service that has done its work": {
			service: Service{Name: "app", State: "completed", Desired: 1},
			ready:   true,
		},
	} {
		r := Project{Ready: c.ready, Services: []Service{c.service}}.Readiness(time.Now())
		if r.Ready != c.ready || r.Failing != c.failing {
			t.Errorf("%s: ready %v, failing %v, want %v, %v", name, r.Ready, r.Failing, c.ready, c.failing)
		}
		if c.waiting != "" && (len(r.Waiting) != 1 || r.Waiting[0] != c.waiting) {
			t.Errorf("%s: waiting %q, want %q", name, r.Waiting, c.waiting)
		}
	}
}
