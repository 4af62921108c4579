package view

import (
	"testing"
	"time"

	"bulsa/internal/admin"
)

func TestAWorkerThatIsBeingReplacedHasOneRow(t *testing.T) {
	old := admin.WorkerMetrics{
		Worker: "app.1", State: "ready", Up: true, PID: 7, Restarts: map[string]uint64{"exit": 3}, ChecksPassed: 90,
		InFlight: 2, CPU: new(5 * time.Second), Memory: new(int64(100)), Blocks: 4,
	}
	fresh := admin.WorkerMetrics{
		Worker: "app.1", State: "starting", Up: true, PID: 8, Restarts: map[string]uint64{"exit": 2, "signal": 1}, ChecksPassed: 1,
		CPU: new(time.Second), Memory: new(int64(50)), Blocks: 1,
	}
	for _, rows := range [][]admin.WorkerMetrics{{old, fresh}, {fresh, old}} {
		got := oneEach(append(rows, admin.WorkerMetrics{Worker: "app.2"}))
		if len(got) != 2 || got[1].Worker != "app.2" {
			t.Fatalf("%+v", got)
		}
		w := got[0]
		if w.PID != 7 || w.State != "ready" || w.ChecksPassed != 90 || w.Blocks != 4 || w.InFlight != 2 ||
			w.Restarts["exit"] != 3 || w.Restarts["signal"] != 1 || *w.CPU != 6*time.Second || *w.Memory != 150 {
			t.Errorf("%+v", w)
		}
	}
	if old.Restarts["signal"] != 0 {
		t.Error("what was published has changed")
	}
}
