package supervisor

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bulsa/internal/eventloop"
)

// deaf is a doctor who learns nothing as long as he may look: the process is stopped.
type deaf struct{}

func (deaf) Diagnose(ctx context.Context, _ eventloop.Subject) (eventloop.Diagnosis, error) {
	<-ctx.Done()
	return eventloop.Diagnosis{}, ctx.Err()
}

// TestAHungWorkerIsKilledWithWhatIsInIt: when its time is over, whatever the diagnosis
// does, and without a drain: its client waits for what cannot come.
func TestAHungWorkerIsKilledWithWhatIsInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, deaf{}, false, watchedService(2))
		defer w.finish()
		for range 2 {
			defer w.request("app").Release(time.Now(), false, 0) // both are busy for good
		}
		hung := w.engine.instances("app.1")[0]
		w.loop("app.1").block()
		w.pass(4900 * time.Millisecond)
		w.expect("app", "app.1 ready, app.2 ready")
		w.pass(400 * time.Millisecond)
		w.expect("app", "app.1 ready, app.2 ready")
		if now := w.engine.instances("app.1")[0]; now == hung {
			t.Fatal("it still runs")
		}
		if events := w.events("unhealthy"); len(events) != 1 || !strings.Contains(events[0], "silent for 5.") {
			t.Errorf("events %q", events)
		}
		if r := w.rows("app")[0]; r.Restarts != 1 {
			t.Errorf("%d restarts", r.Restarts)
		}
	})
}

// TestALoneHungWorkerIsKilledWhenItsSuccessorServes: until then it may turn again.
func TestALoneHungWorkerIsKilledWhenItsSuccessorServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, false, watchedService(1))
		defer w.finish()
		defer w.request("app").Release(time.Now(), false, 0)
		w.loop("app.1").block()
		w.pass(5300 * time.Millisecond)
		w.expect("app", "app.1 ready")
		if n := len(w.engine.instances("app.1")); n != 1 {
			t.Errorf("%d instances run", n)
		}
		if want := "start app.1, start app.1, end app.1"; w.engine.history() != want {
			t.Errorf("order %q, want %q", w.engine.history(), want)
		}
	})
}

// TestAWorkerThatHangsWhileItDrainsIsKilled: the drain would wait for nothing.
func TestAWorkerThatHangsWhileItDrainsIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, false, watchedService(2))
		defer w.finish()
		for range 2 {
			defer w.request("app").Release(time.Now(), false, 0)
		}
		hung := w.loop("app.2")
		w.sup.Scale([]Scale{{Service: "app", Number: 1}})
		w.pass(time.Second)
		w.expect("app", "app.1 ready, app.2 draining")
		hung.block()
		w.pass(5300 * time.Millisecond)
		w.expect("app", "app.1 ready")
	})
}
