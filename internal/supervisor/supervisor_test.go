package supervisor

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// fakeEngine runs nothing: the test plays the workers.
type fakeEngine struct {
	mu       sync.Mutex
	running  map[engine.InstanceID]engine.Launch
	started  []engine.Launch
	log      []string
	facts    chan engine.Fact
	obedient bool // listens at once, and exits when asked to
	healthy  func(l engine.Launch) bool
	blocked  chan struct{} // Start waits for it when not nil
}

func newFake() *fakeEngine {
	return &fakeEngine{running: map[engine.InstanceID]engine.Launch{}, facts: make(chan engine.Fact, 1000), obedient: true,
		healthy: func(engine.Launch) bool { return true }}
}

func (f *fakeEngine) Properties() engine.Properties { return engine.Properties{Isolated: true} }

func (f *fakeEngine) Start(_ context.Context, l engine.Launch) (engine.Instance, error) {
	if f.blocked != nil {
		<-f.blocked
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running[l.ID] = l
	f.started = append(f.started, l)
	f.log = append(f.log, "start "+l.Worker)
	if f.obedient {
		f.facts <- engine.Fact{Kind: engine.Listening, Instance: l.ID, Port: engine.Main, Address: "test", Connector: fakeConnector{}}
	}
	return engine.Instance{ID: l.ID, Worker: l.Worker, PID: 1000 + len(f.started), Started: time.Now()}, nil
}

func (f *fakeEngine) Signal(_ context.Context, id engine.InstanceID, signal string) error {
	return f.end(id, engine.Exit{Code: -1, Signal: signal})
}

func (f *fakeEngine) Stop(_ context.Context, id engine.InstanceID) error {
	f.mu.Lock()
	obedient := f.obedient
	f.mu.Unlock()
	if !obedient {
		return nil
	}
	return f.end(id, engine.Exit{})
}

func (f *fakeEngine) Kill(_ context.Context, id engine.InstanceID) error {
	return f.end(id, engine.Exit{Code: -1, Signal: "SIGKILL"})
}

// end makes an instance exit.
func (f *fakeEngine) end(id engine.InstanceID, e engine.Exit) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.running[id]
	if !ok {
		return engine.ErrNoInstance
	}
	delete(f.running, id)
	f.log = append(f.log, "end "+l.Worker)
	f.facts <- engine.Fact{Kind: engine.Exited, Instance: id, At: time.Now(), Exit: e}
	return nil
}

func (f *fakeEngine) Exec(_ context.Context, id engine.InstanceID, _ engine.Command) (engine.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.running[id]
	if !ok {
		return engine.Result{}, engine.ErrNoInstance
	}
	if f.healthy(l) {
		return engine.Result{}, nil
	}
	return engine.Result{ExitCode: 1, Output: "sick"}, nil
}

func (f *fakeEngine) List(context.Context) ([]engine.Instance, error) { return nil, nil }
func (f *fakeEngine) Facts() <-chan engine.Fact                       { return f.facts }
func (f *fakeEngine) Close() error                                    { close(f.facts); return nil }

// set changes what the workers do from now on.
func (f *fakeEngine) set(change func(*fakeEngine)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// instances are the running ones of a worker, in the order of their start.
func (f *fakeEngine) instances(name string) []engine.InstanceID {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []engine.InstanceID
	for _, l := range f.started {
		if _, runs := f.running[l.ID]; runs && l.Worker == name {
			out = append(out, l.ID)
		}
	}
	return out
}

func (f *fakeEngine) history() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.log, ", ")
}

type fakeConnector struct{}

func (fakeConnector) Connect(context.Context) (net.Conn, error) {
	return nil, fmt.Errorf("nobody is there")
}

func aService(name string, replicas int) spec.Service {
	return spec.Service{
		Name: name, Engine: spec.EngineProcess, Replicas: replicas,
		Restart: spec.Restart{Condition: spec.RestartAlways, Delay: 100 * time.Millisecond, MaxDelay: 30 * time.Second, ResetAfter: 10 * time.Second,
			Budget: 15, Window: 10 * time.Minute, FailedRetry: time.Minute},
		Stop:    spec.Stop{Signal: "SIGTERM", Grace: 10 * time.Second, Drain: 30 * time.Second},
		Balance: spec.Balance{Policy: "least_latency", Weight: 1, MaxFails: 3, FailTimeout: 10 * time.Second},
		Update:  spec.Update{Parallelism: 1},
	}
}

// world is a supervisor over a fake engine inside a synctest bubble.
type world struct {
	t      *testing.T
	engine *fakeEngine
	sup    *Supervisor
}

func start(t *testing.T, services ...spec.Service) *world {
	t.Helper()
	w := &world{t: t, engine: newFake()}
	w.sup = New(Config{Project: "test", Engines: map[spec.Engine]engine.Engine{spec.EngineProcess: w.engine}, Pools: NewPools(), Events: NewEvents()})
	w.apply(services...)
	return w
}

func (w *world) apply(services ...spec.Service) []string {
	w.t.Helper()
	changes, err := w.sup.Apply(spec.Project{Name: "test", Services: services})
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return changes
}

// finish ends the world; a loop that stays behind fails the bubble.
func (w *world) finish() {
	w.t.Helper()
	if err := w.sup.Shutdown(context.Background()); err != nil {
		w.t.Error(err)
	}
	w.engine.Close()
	w.sup.Wait()
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
}

func (w *world) rows(name string) []WorkerStatus {
	for _, sv := range w.sup.Status().Services {
		if sv.Name == name {
			return sv.Workers
		}
	}
	return nil
}

func (w *world) expect(name, want string) {
	w.t.Helper()
	var out []string
	for _, r := range w.rows(name) {
		out = append(out, r.Name+" "+r.State.String())
	}
	if got := strings.Join(out, ", "); got != want {
		w.t.Fatalf("%s: got %q, want %q", name, got, want)
	}
}

func (w *world) pool(name string) *balance.Pool {
	w.t.Helper()
	sv, err := w.sup.find(name)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := w.sup.pools.Of(sv.status.Load().Service, engine.Main)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestADeadWorkerIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 2))
		defer w.finish()
		w.expect("app", "app.1 ready, app.2 ready")

		w.engine.end(w.engine.instances("app.2")[0], engine.Exit{Code: 1, Cause: "boom"})
		synctest.Wait()
		w.expect("app", "app.1 ready, app.2 backoff")
		if n := len(w.pool("app").Endpoints()); n != 1 {
			t.Fatalf("%d endpoints while one worker is dead, want 1", n)
		}
		if cause := w.rows("app")[1].Cause; !strings.Contains(cause, "exit 1") || !strings.Contains(cause, "boom") {
			t.Errorf("cause %q does not say why", cause)
		}
		w.pass(150 * time.Millisecond)
		w.expect("app", "app.1 ready, app.2 ready")
		if n := len(w.pool("app").Endpoints()); n != 2 {
			t.Fatalf("%d endpoints, want 2", n)
		}
		if r := w.rows("app")[1]; r.Restarts != 1 || r.Deaths["exit"] != 1 {
			t.Errorf("restarts %d, deaths %v", r.Restarts, r.Deaths)
		}
	})
}

func TestScaleStartsAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 1))
		defer w.finish()
		if _, err := w.sup.Scale([]Scale{{Service: "app", Number: 3}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.expect("app", "app.1 ready, app.2 ready, app.3 ready")

		busy := w.pool("app").Endpoints()[2]
		r := balance.Request{Now: time.Now(), Tried: w.pool("app").Endpoints()[:2]}
		if got := w.pool("app").Pick(r); got != busy {
			t.Fatal("could not put a request on app.3")
		}
		w.sup.Scale([]Scale{{Service: "app", Number: 2}})
		synctest.Wait()
		w.expect("app", "app.1 ready, app.2 ready, app.3 draining")
		busy.Release(time.Now(), true, time.Millisecond)
		synctest.Wait()
		w.expect("app", "app.1 ready, app.2 ready")
	})
}

func TestAGracefulRestartStartsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 2))
		defer w.finish()
		if err := w.sup.Restart(nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.expect("app", "app.1 ready, app.2 ready")
		got := strings.Replace(w.engine.history(), "start app.2, start app.1, start", "start app.1, start app.2, start", 1)
		if want := "start app.1, start app.2, start app.1, end app.1, start app.2, end app.2"; got != want {
			t.Errorf("order %q, want %q", got, want)
		}
		if st := w.sup.Status().Services[0]; !st.Current() {
			t.Error("the restart is over, but the service does not say so")
		}
	})
}

func TestOneWorkerCanBeRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 2))
		defer w.finish()
		kept := w.engine.instances("app.1")[0]
		if err := w.sup.Restart([]string{"app.2"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := w.engine.instances("app.1"); len(got) != 1 || got[0] != kept {
			t.Error("app.1 was restarted too")
		}
		if len(w.engine.started) != 3 {
			t.Errorf("%d starts, want 3", len(w.engine.started))
		}
	})
}

func TestAServiceRestartsWithWhatItWantsToFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, app, other := aService("db", 1), aService("app", 1), aService("other", 1)
		app.DependsOn = []spec.Dependency{{Service: "db", Condition: "service_started", Required: true, Restart: true}}
		other.DependsOn = []spec.Dependency{{Service: "db", Condition: "service_started", Required: true}}
		w := start(t, db, app, other)
		defer w.finish()
		if err := w.sup.Restart([]string{"db"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		starts := map[string]int{}
		for _, l := range w.engine.started {
			starts[l.Worker]++
		}
		if starts["db.1"] != 2 || starts["app.1"] != 2 || starts["other.1"] != 1 {
			t.Errorf("starts %v, want two of db.1 and app.1", starts)
		}
	})
}

func checked(sv spec.Service) spec.Service {
	sv.Health = spec.Health{Test: []string{"CMD", "true"}, Interval: time.Second, Timeout: time.Second, Retries: 3, Passes: 1,
		Replace: true, StartInterval: time.Second}
	return sv
}

func TestAnUnhealthyWorkerIsReplacedStartFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, checked(aService("app", 1)))
		defer w.finish()
		w.expect("app", "app.1 ready")
		first := w.engine.instances("app.1")[0]
		w.engine.set(func(f *fakeEngine) { f.healthy = func(l engine.Launch) bool { return l.ID != first } })
		w.pass(3500 * time.Millisecond)
		w.expect("app", "app.1 ready")
		if got := w.engine.instances("app.1"); len(got) != 1 || got[0] == first {
			t.Fatalf("instances %v, the first was %s", got, first)
		}
		if got, want := w.engine.history(), "start app.1, start app.1, end app.1"; got != want {
			t.Errorf("order %q, want %q", got, want)
		}
	})
}

// TestWhatAnEngineChecksItselfDecides: Docker's word takes a worker out and has
// it replaced, as a failed check of bulsa's own does.
func TestWhatAnEngineChecksItselfDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := aService("app", 1)
		sv.Health.Replace = true
		w := start(t, sv)
		defer w.finish()
		w.expect("app", "app.1 ready")
		first := w.engine.instances("app.1")[0]
		sick := engine.Check{Start: time.Now(), End: time.Now().Add(time.Second), ExitCode: 1, Output: "sick"}
		w.engine.facts <- engine.Fact{Kind: engine.Checked, Instance: first, At: time.Now(), Health: engine.Health{Status: "unhealthy", Streak: 3, Log: []engine.Check{sick}}}
		w.pass(time.Second)
		w.expect("app", "app.1 ready")
		if got := w.engine.instances("app.1"); len(got) != 1 || got[0] == first {
			t.Errorf("instances %v, the sick one was %s", got, first)
		}
		if got, want := w.engine.history(), "start app.1, start app.1, end app.1"; got != want {
			t.Errorf("order %q, want %q", got, want)
		}
	})
}

func TestAnAddressThatChangesIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 1))
		defer w.finish()
		id := w.engine.instances("app.1")[0]
		w.engine.facts <- engine.Fact{Kind: engine.Listening, Instance: id, At: time.Now(), Port: engine.Main, Address: "moved", Connector: fakeConnector{}}
		w.engine.facts <- engine.Fact{Kind: engine.Renewed, Instance: id, At: time.Now(), Renewed: engine.Instance{ID: id, Worker: "app.1", Ref: "c0ffee", Started: time.Now()}}
		w.pass(time.Second)
		if all := w.pool("app").Endpoints(); len(all) != 1 || all[0].Config().Address != "moved" {
			t.Errorf("the pool has %d endpoints; want the new address alone", len(all))
		}
		if got := w.rows("app")[0]; got.Ref != "c0ffee" || got.Address != "moved" {
			t.Errorf("status = %s at %s", got.Ref, got.Address)
		}
	})
}

func TestAServiceWaitsForWhatItDependsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := aService("app", 1)
		app.DependsOn = []spec.Dependency{{Service: "db", Condition: "service_healthy", Required: true}}
		w := start(t)
		defer w.finish()
		w.engine.set(func(f *fakeEngine) { f.healthy = func(engine.Launch) bool { return false } })
		w.apply(checked(aService("db", 1)), app)
		w.expect("app", "")
		if got := w.sup.Status().Services[1].Waiting; !strings.Contains(got, "waits for db to be healthy") {
			t.Fatalf("waiting: %q", got)
		}
		w.engine.set(func(f *fakeEngine) { f.healthy = func(engine.Launch) bool { return true } })
		w.pass(1100 * time.Millisecond)
		w.expect("app", "app.1 ready")
	})
}

func TestAJobThatCompletesLetsItsDependentsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		job, app := aService("job", 1), aService("app", 1)
		job.Restart.Condition = spec.RestartNever
		app.DependsOn = []spec.Dependency{{Service: "job", Condition: "service_completed_successfully", Required: true}}
		w := start(t, job, app)
		defer w.finish()
		w.expect("app", "")
		w.engine.end(w.engine.instances("job.1")[0], engine.Exit{})
		synctest.Wait()
		w.expect("app", "app.1 ready")
		if !w.sup.Status().Services[0].Completed {
			t.Error("job is not completed")
		}
	})
}

func TestStartRunsWorkersAgainThatEndedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, job := aService("app", 2), aService("job", 1)
		app.Restart.Condition, job.Restart.Condition = spec.RestartNever, spec.RestartNever
		w := start(t, app, job)
		defer w.finish()
		w.engine.end(w.engine.instances("job.1")[0], engine.Exit{})
		for _, exit := range []engine.Exit{{}, {Code: 1}, {Signal: "SIGKILL"}} {
			w.engine.end(w.engine.instances("app.1")[0], exit)
			synctest.Wait()
			w.expect("app", "app.1 pending, app.2 ready")
			if err := w.sup.Start(nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			w.expect("app", "app.1 ready, app.2 ready")
		}
		w.expect("job", "job.1 pending") // it has completed
	})
}

func TestStopKeepsTheServiceKnownAndStartRunsItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 2))
		defer w.finish()
		if err := w.sup.Stop([]string{"app"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.expect("app", "app.1 pending, app.2 pending")
		w.sup.Start(nil)
		synctest.Wait()
		w.expect("app", "app.1 ready, app.2 ready")
	})
}

func TestAKilledWorkerComesBackAndNobodyCallsItACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 1))
		defer w.finish()
		for range 50 {
			e := w.pool("app").Pick(balance.Request{Now: time.Now()})
			e.Release(time.Now(), true, time.Millisecond)
			if err := w.sup.Kill(context.Background(), "app.1", "SIGKILL"); err != nil {
				t.Fatal(err)
			}
			w.pass(200 * time.Millisecond)
			w.expect("app", "app.1 ready")
		}
		if err := w.sup.Kill(context.Background(), "app.9", "SIGKILL"); err == nil || !strings.Contains(err.Error(), "app.1") {
			t.Errorf("killing a worker that does not exist: %v", err)
		}
	})
}

func TestASlowEngineHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 1))
		gate := make(chan struct{})
		w.engine.blocked = gate
		w.apply(aService("app", 1), aService("slow", 1))
		w.expect("app", "app.1 ready")
		w.expect("slow", "slow.1 starting")
		if err := w.sup.Kill(context.Background(), "app.1", "SIGKILL"); err != nil {
			t.Error(err)
		}
		close(gate)
		w.pass(200 * time.Millisecond)
		w.expect("slow", "slow.1 ready")
		w.expect("app", "app.1 ready")
		w.finish()
	})
}

func TestDependentsStopFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, app := aService("db", 1), aService("app", 1)
		app.DependsOn = []spec.Dependency{{Service: "db", Condition: "service_started", Required: true}}
		w := start(t, db, app)
		w.finish()
		if got, want := w.engine.history(), "start db.1, start app.1, end app.1, end db.1"; got != want {
			t.Errorf("order %q, want %q", got, want)
		}
	})
}

func TestAStubbornWorkerIsKilledAfterItsGraceOrAtOnceWhenInAHurry(t *testing.T) {
	for _, force := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := start(t, aService("app", 2))
			w.engine.set(func(f *fakeEngine) { f.obedient = false })
			begun := time.Now()
			if force {
				w.sup.ForceStop()
			}
			w.finish()
			took, want := time.Since(begun), 10*time.Second
			if force {
				want = 0
			}
			if took != want {
				t.Errorf("force %v: took %s, want %s", force, took, want)
			}
		})
	}
}

// A service that was removed a moment ago is stopped like the others, and its
// workers' ends are waited for: an engine that is closed before tells of none.
func TestTheEndWaitsForServicesThatWereRemoved(t *testing.T) {
	for _, force := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, b := aService("a", 1), aService("b", 1)
			w := start(t, a, b)
			w.engine.set(func(f *fakeEngine) { f.obedient = false })
			begun := time.Now()
			w.apply(a)
			if force {
				w.sup.ForceStop()
			}
			w.finish()
			took, want := time.Since(begun), 10*time.Second
			if force {
				want = 0
			}
			if took != want || !strings.Contains(w.engine.history(), "end b.1") {
				t.Errorf("force %v: took %s, want %s: %s", force, took, want, w.engine.history())
			}
		})
	}
}

func TestAServiceThatComesBackIsAnotherThanTheOneThatLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := aService("a", 1)
		w := start(t, a)
		defer w.finish()
		w.engine.set(func(f *fakeEngine) { f.obedient = false })
		w.apply() // its worker ends when it is killed, in 10 s
		w.engine.set(func(f *fakeEngine) { f.obedient = true })
		w.apply(a)
		w.expect("a", "a.1 ready")
		if n := len(w.engine.instances("a.1")); n != 2 {
			t.Errorf("%d instances of a.1 run, want the one that leaves and the one that came", n)
		}
		w.pass(time.Minute)
		if n, endpoints := len(w.engine.instances("a.1")), w.pool("a").Endpoints(); n != 1 || len(endpoints) != 1 {
			t.Errorf("%d instances of a.1 run, %d take requests, want one", n, len(endpoints))
		}
	})
}

func TestApplyChangesOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := aService("a", 1), aService("b", 1)
		w := start(t, a, b)
		defer w.finish()
		if got := w.apply(a, b); len(got) != 0 {
			t.Errorf("nothing changed, but: %v", got)
		}
		b.Command.Args = []string{"other"}
		a.Replicas = 2
		got := w.apply(a, b)
		if want := []string{"a: scaled from 1 to 2", "b: changed, its workers are replaced"}; !slices.Equal(got, want) {
			t.Errorf("changes %q, want %q", got, want)
		}
		w.expect("a", "a.1 ready, a.2 ready")
		w.expect("b", "b.1 ready")
		if r := w.rows("b")[0].Release; r != 2 {
			t.Errorf("b runs release %d, want 2", r)
		}
		if got := w.apply(a); !slices.Equal(got, []string{"b: removed"}) {
			t.Errorf("changes %q", got)
		}
		if st := w.sup.Status(); len(st.Services) != 1 || len(w.engine.instances("b.1")) != 0 {
			t.Error("b is still there")
		}
	})
}

func TestAReleaseThatFailsLeavesTheOldOneServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 2))
		defer w.finish()
		w.engine.set(func(f *fakeEngine) { f.obedient = false }) // the new ones never listen
		bad := aService("app", 2)
		bad.Command.Args = []string{"broken"}
		w.apply(bad)
		w.pass(time.Minute)
		if n := len(w.pool("app").Endpoints()); n != 2 {
			t.Errorf("%d workers in rotation, want the two old ones", n)
		}
		w.engine.set(func(f *fakeEngine) { f.obedient = true })
	})
}

func TestACrashLoopEndsInFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, aService("app", 1))
		defer w.finish()
		deaths := 0
		for ; deaths < 30 && w.rows("app")[0].State != worker.Failed; deaths++ {
			w.pass(2 * time.Second) // it always lives for two seconds
			w.engine.end(w.engine.instances("app.1")[0], engine.Exit{Code: 1})
			w.pass(31 * time.Second)
		}
		w.expect("app", "app.1 failed")
		if deaths > 20 {
			t.Errorf("%d deaths before it counted as failed", deaths)
		}
		w.sup.Start(nil)
		synctest.Wait()
		w.expect("app", "app.1 ready")
	})
}
