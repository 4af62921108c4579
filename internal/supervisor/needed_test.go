package supervisor

import (
	"testing"
	"testing/synctest"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// ask is one request that comes to a service. It is not held: it leaves when nobody
// is there.
func (w *world) ask(name string) *balance.Endpoint {
	w.t.Helper()
	e := w.pool(name).Pick(balance.Request{Now: time.Now()})
	synctest.Wait()
	return e
}

// dies ends the only instance of a worker.
func (w *world) dies(worker string, e engine.Exit) {
	w.t.Helper()
	w.engine.end(w.engine.instances(worker)[0], e)
	synctest.Wait()
}

// TestADeathByARequestIsNotTheWorkers: with one in flight, or answered a moment ago,
// the worker starts again at once, and its budget is whole.
func TestADeathByARequestIsNotTheWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := aService("app", 1)
		sv.Restart.Budget = 2
		w := start(t, sv)
		defer w.finish()
		for range 5 {
			w.ask("app")
			w.dies("app.1", engine.Exit{Code: 1})
			w.pass(time.Second)
			w.expect("app", "app.1 ready")
			w.ask("app").Release(time.Now(), true, time.Millisecond)
			w.dies("app.1", engine.Exit{Code: 1})
			w.pass(time.Second)
			w.expect("app", "app.1 ready")
		}
		w.ask("app").Release(time.Now(), true, time.Millisecond)
		w.pass(2 * moment)
		w.dies("app.1", engine.Exit{Code: 1})
		w.expect("app", "app.1 backoff")
		w.pass(2 * moment)
		w.dies("app.1", engine.Exit{Code: 1})
		w.expect("app", "app.1 failed")
	})
}

// TestARequestThatWaitsCallsAWorker: one that failed, though it can serve, comes back
// before its time when nobody else is there.
func TestARequestThatWaitsCallsAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := aService("app", 2)
		sv.Restart.Budget = 1
		w := start(t, sv)
		defer w.finish()
		w.pass(2 * moment)
		w.dies("app.2", engine.Exit{Code: 1})
		w.pass(time.Second)
		w.ask("app").Release(time.Now(), true, time.Millisecond)
		w.pass(2 * moment)
		w.expect("app", "app.1 ready, app.2 failed") // the other one serves

		w.dies("app.1", engine.Exit{Code: 1})
		w.pass(20 * time.Second)
		w.expect("app", "app.1 failed, app.2 failed") // nobody asks
		if w.ask("app") != nil {
			t.Fatal("somebody is ready")
		}
		w.expect("app", "app.1 failed, app.2 ready") // one, whose time was nearest
	})
}

func TestNobodyCallsAWorkerThatWasNeverReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := aService("app", 1)
		sv.Restart.Budget = 1
		w := start(t)
		w.engine.set(func(f *fakeEngine) { f.obedient = false })
		w.apply(sv)
		defer func() {
			w.engine.set(func(f *fakeEngine) { f.obedient = true })
			w.finish()
		}()
		w.dies("app.1", engine.Exit{Code: 1})
		w.expect("app", "app.1 failed")
		w.ask("app")
		w.pass(10 * time.Second)
		w.expect("app", "app.1 failed")
	})
}

// TestOneWorkerAtATimeIsCalled: what requests do to the starts must not cost all
// processors. When one start takes long, the next worker is called, too.
func TestOneWorkerAtATimeIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := aService("app", 3)
		sv.Restart.Budget = 1
		w := start(t, sv)
		defer func() {
			w.engine.set(func(f *fakeEngine) { f.obedient = true })
			w.finish()
		}()
		w.pass(2 * moment)
		for _, name := range []string{"app.1", "app.2", "app.3"} {
			w.dies(name, engine.Exit{Code: 1})
		}
		w.engine.set(func(f *fakeEngine) { f.obedient = false })
		w.pass(time.Second)
		for range 10 {
			w.ask("app")
		}
		w.expect("app", "app.1 starting, app.2 failed, app.3 failed")
		w.pass(callLasts / 2)
		w.ask("app")
		w.expect("app", "app.1 starting, app.2 failed, app.3 failed")
		w.pass(callLasts)
		w.expect("app", "app.1 starting, app.2 starting, app.3 failed")
	})
}

// TestReplacementsAreRestarts: the successor of an unhealthy worker goes on with its
// counts, beside it and after it.
func TestReplacementsAreRestarts(t *testing.T) {
	for _, beside := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			sv := checked(aService("app", 1))
			if !beside {
				sv.Update.Order = spec.StopFirst
			}
			w := start(t, sv)
			defer w.finish()
			w.expect("app", "app.1 ready")
			w.engine.set(func(f *fakeEngine) { f.healthy = func(engine.Launch) bool { return false } })
			w.pass(10 * time.Minute)
			// The first run was healthy, the second gets as long as a first one, the later
			// ones get 1, 2 and 4 minutes.
			if n := len(w.engine.started); n < 4 || n > 6 {
				t.Errorf("beside %v: %d starts in 10 minutes", beside, n)
			}
			if r := w.rows("app"); r[len(r)-1].Restarts != len(w.engine.started)-1 {
				t.Errorf("beside %v: %d restarts with %d starts", beside, r[len(r)-1].Restarts, len(w.engine.started))
			}
		})
	}
}
