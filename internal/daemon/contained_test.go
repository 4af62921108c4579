package daemon

import (
	"testing"
	"time"

	"bulsa/internal/inner"
	"bulsa/internal/supervisor"
	"bulsa/internal/worker"
)

func TestTheEndFitsIntoTheTimeOfAContainer(t *testing.T) {
	for _, c := range []Contained{
		{First: true},
		{Told: inner.Told{Report: "/run/x", Grace: 2 * time.Second}},
		{Told: inner.Told{Report: "/run/x", Grace: time.Hour}},
	} {
		if whole := c.Drain() + c.StopGrace(); whole >= c.grace() {
			t.Errorf("%+v: requests and workers have %s together", c, whole)
		}
	}
	if d := (Contained{}).Drain(); d != drainAtExit {
		t.Errorf("outside of a container requests have %s", d)
	}
}

func TestTheStatusOfAFailureIsTheWorkers(t *testing.T) {
	for _, x := range []struct {
		exit *worker.Exit
		want int
	}{
		{&worker.Exit{Code: 3}, 3}, {&worker.Exit{Code: -1, Signal: "SIGKILL"}, 137}, {&worker.Exit{Code: -1}, 1}, {nil, 1},
	} {
		if f := failed(supervisor.WorkerStatus{Name: "app.1", Exit: x.exit}, "ended"); f.Status != x.want {
			t.Errorf("%+v: status %d, want %d", x.exit, f.Status, x.want)
		}
	}
}
