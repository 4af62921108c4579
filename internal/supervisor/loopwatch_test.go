package supervisor

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/eventloop"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// seeing is a fake engine whose workers' loops can be seen.
type seeing struct {
	*fakeEngine
	loopsMu sync.Mutex
	loops   map[engine.InstanceID]*fakeLoop
	blind   bool // loops can only be asked
}

func (s *seeing) Loop(id engine.InstanceID) engine.Loop {
	s.loopsMu.Lock()
	defer s.loopsMu.Unlock()
	l := s.loops[id]
	if l == nil {
		l = &fakeLoop{began: time.Now(), turns: 1, blind: s.blind}
		s.loops[id] = l
	}
	return l
}

// fakeLoop waits for events unless it is blocked, and answers unless it is.
type fakeLoop struct {
	mu        sync.Mutex
	began     time.Time
	blocked   time.Time // since when; zero: it is not
	turns     uint64
	looks     int
	asks      int
	pending   time.Time
	answer    *eventloop.Answer
	inspected bool
	blind     bool
}

func (l *fakeLoop) PID() int { return 4711 }

func (l *fakeLoop) Look() (eventloop.Reading, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blind {
		return eventloop.Reading{}, false
	}
	l.looks++
	now := time.Now()
	if l.blocked.IsZero() {
		return eventloop.Reading{Polling: true, Iterations: l.turns, Idle: now.Sub(l.began)}, true
	}
	return eventloop.Reading{Running: now.Sub(l.blocked), Iterations: l.turns, Idle: l.blocked.Sub(l.began)}, true
}

func (l *fakeLoop) Ask(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.pending.IsZero() {
		return
	}
	l.asks++
	if l.pending = time.Now(); l.blocked.IsZero() {
		l.reply()
	}
}

func (l *fakeLoop) reply() {
	l.answer = &eventloop.Answer{At: time.Now(), RoundTrip: time.Since(l.pending), Asked: l.pending, Iterations: l.turns, Inspected: l.inspected}
	l.pending = time.Time{}
}

func (l *fakeLoop) Heard() (eventloop.Answer, time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answer == nil {
		return eventloop.Answer{}, l.pending, false
	}
	return *l.answer, l.pending, true
}

// set changes the loop, and returns how often it was asked so far.
func (l *fakeLoop) set(change func(*fakeLoop)) (asks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
	return l.asks
}

func (l *fakeLoop) block() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked = time.Now()
}

func (l *fakeLoop) unblock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = l.began.Add(time.Since(l.blocked))
	l.blocked = time.Time{}
	l.turns += 10
	if !l.pending.IsZero() {
		l.reply()
	}
}

// loopWorld is a world in which loops can be seen.
type loopWorld struct {
	*world
	seeing *seeing
}

func startSeeing(t *testing.T, d eventloop.Diagnoser, blind bool, services ...spec.Service) *loopWorld {
	t.Helper()
	s := &seeing{fakeEngine: newFake(), loops: map[engine.InstanceID]*fakeLoop{}, blind: blind}
	w := &loopWorld{world: &world{t: t, engine: s.fakeEngine}, seeing: s}
	w.sup = New(Config{Project: "test", Engines: map[spec.Engine]engine.Engine{spec.EngineProcess: s}, Pools: NewPools(), Events: NewEvents()})
	w.sup.DiagnoseWith(d)
	w.apply(services...)
	w.pass(2 * time.Second)
	return w
}

// loop is that of a worker's first instance.
func (w *loopWorld) loop(name string) *fakeLoop {
	return w.seeing.Loop(w.engine.instances(name)[0]).(*fakeLoop)
}

func (w *loopWorld) request(name string) *balance.Endpoint {
	return w.pool(name).Pick(balance.Request{Now: time.Now()})
}

// served is which workers get the next ten requests, which come together.
func (w *loopWorld) served(name string) string {
	got := map[string]bool{}
	for range 10 {
		e := w.request(name)
		defer e.Release(time.Now(), true, time.Millisecond)
		got[strings.TrimPrefix(e.Config().Worker, name+".")] = true
	}
	out := ""
	for _, n := range []string{"1", "2", "3", "4"} {
		if got[n] {
			out += n
		}
	}
	return out
}

func (w *world) events(kind string) (out []string) {
	past, _ := w.sup.Events(context.Background(), false)
	for _, e := range past {
		if e.Kind == kind {
			out = append(out, e.Worker+" "+e.Message+e.Cause)
		}
	}
	return out
}

func watchedService(replicas int) spec.Service {
	s := aService("app", replicas)
	s.Ports = []spec.Port{{Published: 3333, Target: 3000}}
	s.EventLoop = spec.EventLoop{Monitor: true}
	s.Health.Replace = true
	return s
}

func TestAHungWorkerGetsNothingWithinAQuarterOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, false, watchedService(4))
		defer w.finish()
		if got := w.served("app"); got != "1234" {
			t.Fatalf("served by %s", got)
		}
		w.loop("app.2").block()
		w.pass(230 * time.Millisecond)
		if got := w.served("app"); got != "134" {
			t.Errorf("after 230 ms served by %s", got)
		}
		w.pass(time.Second)
		if f := w.rows("app")[1].Loop; f == nil || f.Blocked < time.Second || f.Source != eventloop.Outside || f.PID != 4711 {
			t.Errorf("figures %+v", f)
		}
		w.loop("app.2").unblock()
		w.pass(250 * time.Millisecond)
		if got := w.served("app"); got != "1234" {
			t.Errorf("after it turns again served by %s", got)
		}
	})
}

func TestALoopIsWatchedMoreOftenWhileRequestsArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, false, watchedService(1))
		defer w.finish()
		l := w.loop("app.1")
		count := func() int {
			l.mu.Lock()
			defer l.mu.Unlock()
			before := l.looks
			l.mu.Unlock()
			w.pass(time.Second)
			l.mu.Lock()
			return l.looks - before
		}
		if n := count(); n > 6 {
			t.Errorf("%d looks in an idle second", n)
		}
		e := w.request("app")
		w.pass(time.Millisecond)
		if n := count(); n < 150 {
			t.Errorf("%d looks in the second after a request", n)
		}
		if n := count(); n < 40 || n > 60 {
			t.Errorf("%d looks in a second with a request in flight", n)
		}
		e.Release(time.Now(), true, time.Millisecond)
	})
}

func TestAnIdleWorkerIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, false, watchedService(1))
		defer w.finish()
		l := w.loop("app.1")
		nothing := func(*fakeLoop) {}
		before := l.set(nothing)
		w.pass(time.Minute)
		if asks := l.set(func(l *fakeLoop) { l.turns += 100 }); asks > before {
			t.Errorf("an idle worker was asked %d times in a minute", asks-before)
		}
		w.pass(3 * time.Second)
		if l.set(nothing) == before {
			t.Error("a worker that has worked was not asked")
		}
	})
}

func TestASilentLoopGetsItsWorkerReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, false, watchedService(2))
		defer w.finish()
		w.engine.set(func(f *fakeEngine) { f.obedient = true })
		w.loop("app.1").block()
		w.pass(4900 * time.Millisecond)
		w.expect("app", "app.1 ready, app.2 ready")
		w.pass(400 * time.Millisecond)
		if events := w.events("unhealthy"); len(events) != 1 || !strings.HasPrefix(events[0], "app.1 unhealthyevent loop silent for 5.") {
			t.Fatalf("events %q", events)
		}
		w.pass(time.Minute)
		w.expect("app", "app.1 ready, app.2 ready")
		if f := w.rows("app")[0].Loop; f == nil || f.Blocked != 0 {
			t.Errorf("the successor has the figures of another: %+v", f)
		}
	})
}

func TestALoopThatTurnsInTimeIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := watchedService(2)
		sv.Health.Replace = false
		w := startSeeing(t, nil, false, sv)
		defer w.finish()
		w.loop("app.1").block()
		w.pass(6 * time.Second)
		w.expect("app", "app.1 unhealthy, app.2 ready")
		w.loop("app.1").unblock()
		w.pass(time.Second)
		w.expect("app", "app.1 ready, app.2 ready")
		if got := w.events("unblocked"); len(got) != 1 || !strings.Contains(got[0], "was blocked for 6.0 s") {
			t.Errorf("events %q", got)
		}
	})
}

func TestAServiceWithoutPortsMayCompute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := watchedService(1)
		sv.Ports = nil
		w := startSeeing(t, nil, false, sv)
		defer w.finish()
		w.loop("app.1").block()
		w.pass(time.Minute)
		w.expect("app", "app.1 ready")
	})
}

func TestADebuggedWorkerIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, false, watchedService(1))
		defer w.finish()
		l := w.loop("app.1")
		l.set(func(l *fakeLoop) { l.inspected, l.turns = true, 100 })
		w.pass(2 * time.Second)
		l.block()
		w.pass(time.Minute)
		w.expect("app", "app.1 ready")
	})
}

func TestAWorkerThatCannotBeSeenIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, true, watchedService(2))
		defer w.finish()
		if f := w.rows("app")[0].Loop; f == nil || f.Source != eventloop.Ping {
			t.Fatalf("figures %+v", f)
		}
		w.loop("app.2").block()
		w.served("app")
		w.pass(time.Millisecond) // the request wakes the watch
		w.pass(450 * time.Millisecond)
		if got := w.served("app"); got != "1" {
			t.Errorf("served by %s", got)
		}
		w.pass(6 * time.Second)
		if events := w.events("unhealthy"); len(events) != 1 {
			t.Errorf("events %q", events)
		}
	})
}

// doctor finds fib after 100 ms.
type doctor struct {
	mu    sync.Mutex
	asked []eventloop.Subject
	err   error
}

func (d *doctor) Diagnose(ctx context.Context, s eventloop.Subject) (eventloop.Diagnosis, error) {
	d.mu.Lock()
	d.asked = append(d.asked, s)
	d.mu.Unlock()
	select {
	case <-time.After(100 * time.Millisecond):
		return eventloop.Diagnosis{Function: "fib", Place: "app.js:31"}, d.err
	case <-ctx.Done():
		return eventloop.Diagnosis{}, ctx.Err()
	}
}

func TestABlockIsAnnouncedWithWhatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &doctor{}
		w := startSeeing(t, d, false, watchedService(1))
		defer w.finish()
		w.served("app")
		w.loop("app.1").block()
		w.pass(500 * time.Millisecond)
		if got := w.events("blocked"); len(got) != 1 || got[0] != "app.1 its event loop is blocked, for 0.3 s so far in fib (app.js:31)" {
			t.Fatalf("events %q", got)
		}
		w.pass(2 * time.Second)
		w.loop("app.1").unblock()
		w.pass(time.Second)
		if got := w.events("unblocked"); len(got) != 1 || !strings.HasSuffix(got[0], "was blocked for 2.5 s in fib (app.js:31)") {
			t.Errorf("events %q", got)
		}
		if s := d.asked[0]; len(d.asked) != 1 || s.Worker != "app.1" || s.PID != 4711 || s.Last || s.For < blockedAfter || s.For > 2*blockedAfter {
			t.Errorf("asked %+v", d.asked)
		}
	})
}

func TestABlockThatEndsBeforeItIsExplainedIsAnnouncedAsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, &doctor{}, false, watchedService(1))
		defer w.finish()
		w.served("app")
		w.loop("app.1").block()
		w.pass(300 * time.Millisecond)
		w.loop("app.1").unblock()
		w.pass(time.Second)
		if got := w.events("blocked"); len(got) != 1 || got[0] != "app.1 its event loop was blocked for 0.3 s in fib (app.js:31)" {
			t.Errorf("events %q", got)
		}
		if got := w.events("unblocked"); len(got) != 0 {
			t.Errorf("its end is told twice: %q", got)
		}
	})
}

func TestWhatBlocksIsLookedAtBeforeTheWorkerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &doctor{}
		w := startSeeing(t, d, false, watchedService(2))
		defer w.finish()
		w.loop("app.1").block()
		w.pass(5500 * time.Millisecond)
		if got := w.events("unhealthy"); len(got) != 1 || !strings.HasSuffix(got[0], " in fib (app.js:31)") {
			t.Errorf("events %q", got)
		}
		if len(d.asked) != 2 || d.asked[0].Last || !d.asked[1].Last {
			t.Errorf("asked %+v", d.asked)
		}
	})
}

func TestNothingLearnedIsNoReasonToKeepAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, &doctor{err: errors.New("native code")}, false, watchedService(2))
		defer w.finish()
		w.loop("app.1").block()
		w.pass(5500 * time.Millisecond)
		if got := w.events("unhealthy"); len(got) != 1 || strings.Contains(got[0], "fib") {
			t.Errorf("events %q", got)
		}
	})
}

func TestFrequentBlocksAreAnnouncedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startSeeing(t, nil, false, watchedService(1))
		defer w.finish()
		for range 300 {
			w.loop("app.1").block()
			w.pass(600 * time.Millisecond)
			w.loop("app.1").unblock()
			w.pass(400 * time.Millisecond)
		}
		if got := w.events("blocked"); len(got) < 4 || len(got) > 6 {
			t.Errorf("%d events about 300 blocks in five minutes: %q", len(got), got)
		}
	})
}

func TestTheProbeOfALoopPassesWhileItTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sv := watchedService(1)
		sv.EventLoop.UnhealthyAfter = new(time.Duration)
		sv.Health = spec.Health{Loop: true, Interval: time.Second, Timeout: time.Second, Retries: 2, Passes: 1}
		w := startSeeing(t, nil, false, sv)
		defer w.finish()
		w.expect("app", "app.1 ready")
		w.loop("app.1").block()
		w.pass(6 * time.Second)
		w.expect("app", "app.1 unhealthy")
		if log := w.rows("app")[0].Checks; !strings.Contains(log[len(log)-1].Output, "has not turned for") {
			t.Errorf("the last check says %q", log[len(log)-1].Output)
		}
		w.loop("app.1").unblock()
		w.pass(3 * time.Second)
		w.expect("app", "app.1 ready")
	})
}

func TestALoopIsNotBlamedForASleepOfBulsa(t *testing.T) {
	w := &loopWatch{service: &service{}}
	loop := &fakeLoop{began: time.Now().Add(-time.Minute)}
	x := &watched{loop: loop, worker: WorkerStatus{State: worker.Ready, figures: &loopFigures{}}}
	w.loops = []*watched{x}
	now := time.Now()
	w.look(now)
	loop.blocked = now
	w.look(now.Add(100 * time.Millisecond))
	w.look(now.Add(time.Minute))
	if x.running != 0 {
		t.Errorf("silent for %v while nobody looked", x.running)
	}
	w.look(now.Add(time.Minute + time.Second))
	if x.running != time.Second {
		t.Errorf("silent for %v", x.running)
	}
}
