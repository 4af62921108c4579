package supervisor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/probe"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// historyKept bounds the changes of state that `bulsa inspect` shows of a worker.
const historyKept = 50

// port is one address on which the current instance takes requests.
type port struct {
	address   string
	connector balance.Connector // nil: the workers accept by themselves (a shared socket)
}

// message is what comes to a worker's loop: a fact for its machine, a fact of
// the engine, a signal to send on a user's behalf, or a new generation.
type message struct {
	fact       worker.Fact
	engine     *engine.Fact
	signal     string
	reply      chan<- error  // of signal
	generation int           // the worker counts as this generation from now on
	balance    *spec.Balance // how requests are shared out from now on
}

// workerLoop owns one worker: its machine, its instance and its endpoints. All
// of it is touched by run's goroutine alone.
type workerLoop struct {
	key        string // unique in bulsa: a slot has two loops while one replaces the other
	sequence   int    // order of creation within the service
	number     int
	name       string
	release    *spec.Release
	generation int
	service    *service
	engine     engine.Engine
	inbox      *mailbox[message]
	done       chan struct{} // closed when the loop has been asked to end

	machine   worker.Machine
	instance  engine.Instance
	ports     map[engine.Port]port
	published map[engine.Port]*balance.Endpoint
	retired   []*balance.Endpoint // of this instance, out of rotation, perhaps still busy
	asked     string              // signal that a user sent to this instance
	balance   spec.Balance        // how requests are shared out
	replace   string              // why another should take its place
	unusable  string
	halted    string // why the instance stands still
	ended     time.Time
	history   []Change
	checks    checkTotals
	reported  time.Time // end of the last check of the engine's own that is in checks
	checkStop context.CancelFunc
	deaths    map[string]uint64 // by kind of cause
	working   sync.WaitGroup    // checks and drain watches
	sent      *picture
	current   atomic.Pointer[WorkerStatus] // the last picture, for readers
	inner     innerState
	figures   *loopFigures // of the instance's event loop; new ones for each instance
	blocks    *blocks
}

// checkTotals sums up all health checks of a worker.
type checkTotals struct {
	passed, failed uint64
	last, cpu      time.Duration
}

func (c *checkTotals) add(r worker.CheckResult) {
	if r.Passed() {
		c.passed++
	} else {
		c.failed++
	}
	c.last = r.End.Sub(r.Start)
	c.cpu += r.CPU
}

// run is the loop. It ends when done is closed; whatever the worker still runs
// is left to the engine.
func (w *workerLoop) run() {
	defer w.working.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.arm(timer)
		select {
		case <-w.done:
			w.forget()
			return
		case <-timer.C:
			w.step(&worker.Fact{Kind: worker.Wake})
		case <-w.inbox.ready:
			for items := w.inbox.take(); len(items) > 0; items = items[1:] {
				w.receive(&items[0])
			}
		}
	}
}

// arm sets the loop's only timer to the machine's next wake-up.
func (w *workerLoop) arm(timer *time.Timer) {
	wake := w.machine.Wake()
	if wake.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(max(0, time.Until(wake)))
}

func (w *workerLoop) receive(m *message) {
	switch {
	case m.engine != nil:
		w.observe(m.engine)
	case m.signal != "":
		m.reply <- w.send(m.signal)
	case m.generation != 0:
		w.generation = m.generation
	case m.balance != nil:
		w.rebalance(*m.balance)
	default:
		if m.fact.Kind == worker.Checked {
			w.checks.add(m.fact.Result)
		}
		w.step(&m.fact)
	}
}

// send delivers a user's signal. A death that follows it is not a crash.
func (w *workerLoop) send(signal string) error {
	if w.instance.ID == "" {
		return fmt.Errorf("%s does not run: it is %s", w.name, w.machine.State())
	}
	w.asked = signal
	return w.service.engine.Signal(context.Background(), w.instance.ID, signal)
}

// observe turns a fact of the engine into one for the machine.
func (w *workerLoop) observe(f *engine.Fact) {
	if f.Instance != w.instance.ID {
		return // about an earlier run
	}
	instance := string(f.Instance)
	switch f.Kind {
	case engine.Listening:
		w.opened(f)
		w.step(&worker.Fact{Kind: worker.Listening, Instance: instance, Serves: true, Cause: f.Message})
	case engine.Settled:
		w.step(&worker.Fact{Kind: worker.Listening, Instance: instance, Cause: "it runs"})
	case engine.Checked:
		w.checked(f)
	case engine.Reported:
		w.told(f.Report)
	case engine.Renewed:
		w.instance = f.Renewed
		w.report()
	case engine.Closed:
		w.closed(f.Port)
	case engine.Notice:
		w.service.emit(w.name, "notice", f.Message, "")
	case engine.Halted:
		w.halted = f.Message
		w.report()
	case engine.Unusable:
		w.unusable = f.Message
		w.service.emit(w.name, "unusable", f.Message, "")
		w.step(&worker.Fact{Kind: worker.Unusable, Instance: instance, Cause: f.Message})
	case engine.Exited:
		w.exited(f)
	}
}

// opened notes one more address, or another way to one; a worker that is in
// rotation already joins with it at once.
func (w *workerLoop) opened(f *engine.Fact) {
	if w.published[f.Port] != nil {
		w.closed(f.Port)
	}
	connector, _ := f.Connector.(balance.Connector)
	if known, ok := w.ports[f.Port]; ok && known.address != f.Address {
		w.closed(f.Port) // it moved
	}
	w.ports[f.Port] = port{address: f.Address, connector: connector}
	if f.FixedPort {
		w.service.inbox.put(serviceMessage{fixedPort: true})
	}
	if w.published != nil {
		w.publish()
	}
}

// checked takes over what the engine's own checks say; those that are new count.
func (w *workerLoop) checked(f *engine.Fact) {
	report := worker.Report{Status: f.Health.Status, Streak: f.Health.Streak}
	for _, c := range f.Health.Log {
		r := worker.CheckResult{Start: c.Start, End: c.End, ExitCode: c.ExitCode, Output: c.Output}
		if r.End.After(w.reported) {
			w.checks.add(r)
			w.reported = r.End
		}
		report.Log = append(report.Log, r)
	}
	w.step(&worker.Fact{Kind: worker.Reported, Instance: string(f.Instance), Report: report})
}

func (w *workerLoop) closed(p engine.Port) {
	delete(w.ports, p)
	if e := w.published[p]; e != nil {
		w.published = maps.Clone(w.published)
		delete(w.published, p)
		e.Drain()
		w.retired = append(w.retired, e)
		w.report()
	}
}

// step lets the machine think about one fact, carries out what it wants and
// reports the new picture to the service.
func (w *workerLoop) step(f *worker.Fact) {
	now := time.Now()
	before, cause := w.machine.State(), w.machine.Cause()
	effects := w.machine.Step(now, *f)
	w.note(now, before)
	for _, e := range effects {
		w.carryOut(e)
	}
	if f.Kind == worker.Wake && w.machine.State() == before && w.machine.Cause() == cause {
		return // a check has begun: nothing that anybody can see
	}
	w.report()
}

// note keeps a change of state for `bulsa inspect` and tells the world.
func (w *workerLoop) note(now time.Time, before worker.State) {
	after := w.machine.State()
	if after == before {
		return
	}
	if len(w.history) == historyKept {
		w.history = append(w.history[:0:0], w.history[1:]...)
	}
	w.history = append(w.history, Change{At: now, From: before, To: after, Cause: w.machine.Cause()})
	text := eventText(before, after)
	if after == worker.Stopping && w.machine.Silent() {
		text = "is killed"
	}
	w.service.emit(w.name, after.String(), text, w.machine.Cause())
}

// eventText is a change of state in words.
func eventText(before, after worker.State) string {
	switch after {
	case worker.Pending:
		return "stopped"
	case worker.Starting:
		if before == worker.Backoff || before == worker.Failed {
			return "started again"
		}
		return "started"
	case worker.Ready:
		if before == worker.Unhealthy {
			return "healthy again"
		}
		return "ready"
	case worker.Unhealthy:
		return "unhealthy"
	case worker.Draining:
		return "takes no new requests"
	case worker.Stopping:
		return "is asked to end"
	case worker.Backoff:
		return "died, starts again soon"
	default:
		return "failed"
	}
}

func (w *workerLoop) carryOut(e worker.Effect) {
	ctx := context.Background()
	switch e.Kind {
	case worker.Launch:
		w.launch(ctx, e)
	case worker.Check:
		w.check(e.Instance)
	case worker.Publish:
		w.replace = ""
		w.publish()
	case worker.Unpublish:
		w.unpublish(e.Instance)
	case worker.Terminate:
		w.stopCheck()
		w.complain("stop", w.engine.Stop(ctx, engine.InstanceID(e.Instance)))
	case worker.Kill:
		w.complain("kill", w.engine.Kill(ctx, engine.InstanceID(e.Instance)))
	case worker.Replace:
		w.replace = e.Cause
	case worker.Done:
		// The report that follows every step says that it is pending.
	}
}

// launch starts a run. A launch that fails is a death like any other.
func (w *workerLoop) launch(ctx context.Context, e worker.Effect) {
	w.forget()
	id := engine.InstanceID(e.Instance)
	w.instance = engine.Instance{ID: id, Worker: w.name}
	w.service.supervisor.route(id, w.inbox)
	started, err := w.engine.Start(ctx, engine.Launch{
		ID: id, Worker: w.name, Number: w.number, Release: w.release,
		Alone: w.service.replicas.Load() <= 1,
	})
	if err != nil {
		w.inbox.put(message{engine: &engine.Fact{Kind: engine.Exited, Instance: id, At: time.Now(),
			Exit: engine.Exit{Code: -1, Cause: err.Error()}}})
		return
	}
	w.instance = started
}

// forget drops everything that belongs to the previous run.
func (w *workerLoop) forget() {
	w.stopCheck()
	if w.instance.ID != "" {
		w.service.supervisor.unroute(w.instance.ID)
	}
	w.ports = map[engine.Port]port{}
	w.figures, w.inner = &loopFigures{}, innerState{}
	w.published, w.retired = nil, nil
	w.asked, w.replace, w.unusable, w.halted = "", "", "", ""
	w.ended = time.Time{}
}

// check runs one health check beside the loop; its result comes back as a fact.
func (w *workerLoop) check(instance string) {
	ctx, cancel := context.WithCancel(context.Background())
	w.checkStop = cancel
	target := probe.Target{Engine: w.engine, Instance: engine.InstanceID(instance), Host: "localhost", Connect: w.connect(), Loop: w.figures.silence}
	health := w.release.Service.Health
	w.working.Add(1)
	go func() {
		defer w.working.Done()
		defer cancel()
		result := probe.Run(ctx, health, target)
		w.inbox.put(message{fact: worker.Fact{Kind: worker.Checked, Instance: instance, Result: result}})
	}()
}

// connect returns how a check reaches the worker's first address; nil while it has none.
func (w *workerLoop) connect() func(context.Context) (net.Conn, error) {
	p, ok := w.ports[engine.Main]
	if !ok {
		for _, p = range w.ports {
			break
		}
	}
	if p.connector == nil {
		return nil
	}
	return p.connector.Connect
}

func (w *workerLoop) stopCheck() {
	if w.checkStop != nil {
		w.checkStop()
		w.checkStop = nil
	}
}

// publish puts every address of the instance into rotation. An endpoint that
// was drained stays so; one that is new gets its own counters.
func (w *workerLoop) publish() {
	if w.published == nil {
		w.published = map[engine.Port]*balance.Endpoint{}
	}
	if w.down() {
		return
	}
	w.published = maps.Clone(w.published) // pictures hold the one before
	for name, p := range w.ports {
		if w.published[name] == nil && p.connector != nil {
			w.published[name] = balance.NewEndpoint(w.endpointConfig(p))
		}
	}
	w.steer()
}

// rebalance changes by what the worker gets requests: its addresses join the pool anew,
// unless only that changes which is the pool's or the route's.
func (w *workerLoop) rebalance(b spec.Balance) {
	before := w.balance
	w.balance = b
	before.Policy, before.Sticky = b.Policy, b.Sticky
	if before == b || w.published == nil || len(w.release.Service.Servers) > 0 {
		return
	}
	old := w.published
	w.published = map[engine.Port]*balance.Endpoint{}
	w.publish()
	for _, e := range old {
		e.Drain()
		w.retired = append(w.retired, e)
	}
	w.report()
}

// down reports whether the user marked this external server as out of use.
func (w *workerLoop) down() bool {
	servers := w.release.Service.Servers
	return w.number <= len(servers) && servers[w.number-1].Down
}

func (w *workerLoop) endpointConfig(p port) balance.Config {
	b := w.balance
	c := balance.Config{
		Worker: w.name, Instance: string(w.instance.ID), Address: p.address, Connector: p.connector,
		Weight: b.Weight, MaxConns: b.MaxConns, MaxFails: b.MaxFails, FailTimeout: b.FailTimeout, SlowStart: b.SlowStart, Ready: time.Now(),
	}
	if servers := w.release.Service.Servers; w.number <= len(servers) {
		s := servers[w.number-1]
		c.Weight, c.Backup, c.MaxConns = s.Weight, s.Backup, cmp.Or(s.MaxConns, b.MaxConns)
		c.MaxFails, c.FailTimeout = s.MaxFails, s.FailTimeout
	}
	return c
}

// unpublish takes the instance out of rotation and tells the machine when its
// last request has ended.
func (w *workerLoop) unpublish(instance string) {
	for _, e := range w.published {
		w.retired = append(w.retired, e)
	}
	w.published = nil
	idle := make([]<-chan struct{}, 0, len(w.retired))
	for _, e := range w.retired {
		idle = append(idle, e.Drain())
	}
	w.report() // out of the service's pool before the wait begins
	w.working.Add(1)
	go func() {
		defer w.working.Done()
		for _, ch := range idle {
			select {
			case <-ch:
			case <-w.done:
				return
			}
		}
		w.inbox.put(message{fact: worker.Fact{Kind: worker.Idle, Instance: instance}})
	}()
}

// complain reports an engine's refusal; that a run ended already is none.
func (w *workerLoop) complain(what string, err error) {
	if err != nil && !isGone(err) {
		w.service.emit(w.name, "notice", fmt.Sprintf("cannot %s %s: %v", what, w.name, err), "")
	}
}
