package api

import (
	"testing"
	"time"
)

func TestAStartIsNoAlarmInItsFirstSeconds(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		ran      time.Duration
		restarts int
		want     string
	}{
		{0, 0, "app.1 starts, and does not listen yet"},
		{2 * time.Second, 1, "app.1 starts, and does not listen yet (restart 1: exit 1)"},
		{3 * time.Second, 0, "app.1 has run for 3 s but listens on no port: bulsa logs app.1"},
		{6 * time.Second, 1, "app.1 has run for 6 s (restart 1: exit 1) but listens on no port: bulsa logs app.1"},
	} {
		began := now.Add(-c.ran)
		w := Worker{Name: "app.1", Engine: "process", State: "starting", Health: "none", Cause: "restart 1: exit 1", Restarts: c.restarts, StartedAt: &began}
		if got := w.Waits(now); got != c.want {
			t.Errorf("after %s: %q, want %q", c.ran, got, c.want)
		}
	}
}
