package api

import (
	"testing"
	"time"
)

func TestAContainerIsAsGoodAsTheBestOfItsReadyWorkers(t *testing.T) {
	ready := func(l *EventLoop) Worker { return Worker{State: "ready", EventLoop: l} }
	loop := func(p50, blocked float64) *EventLoop {
		return &EventLoop{Source: "outside", LoopLatencyP50: &p50, Blocked: blocked}
	}
	for _, x := range []struct {
		name    string
		workers []Worker
		latency time.Duration
		silent  bool
	}{
		{"one hangs", []Worker{ready(loop(0.5, 3)), ready(loop(0.002, 0))}, 2 * time.Millisecond, false},
		{"all hang", []Worker{ready(loop(0.5, 3)), ready(loop(0.002, 1))}, 2 * time.Millisecond, true},
		{"none is ready", []Worker{{State: "backoff"}}, 0, true},
		{"there are none", nil, 0, true},
		{"one is not watched", []Worker{ready(loop(0.5, 3)), ready(nil)}, 0, false},
		{"who is not ready does not count", []Worker{{State: "starting", EventLoop: loop(0, 0)}, ready(loop(0.1, 2))}, 100 * time.Millisecond, true},
	} {
		r := &Inside{Workers: x.workers}
		if latency, _, silent := r.Loop(); latency != x.latency || silent != x.silent {
			t.Errorf("%s: latency %s, silent %v", x.name, latency, silent)
		}
	}
}
