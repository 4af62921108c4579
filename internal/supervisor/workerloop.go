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
func (wl *workerLoop) run() {
	defer wl.working.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wl.arm(timer)
		select {
		case <-wl.done:
			wl.forget()
			return
		case <-timer.C:
			wl.step(&worker.Fact{Kind: worker.Wake})
		case <-wl.inbox.ready:
			for items := wl.inbox.take(); len(items) > 0; items = items[1:] {
				wl.receive(&items[0])
			}
		}
	}
}

// arm sets the loop's only timer to the machine's next wake-up.
func (wl *workerLoop) arm(timer *time.Timer) {
	wake := wl.machine.Wake()
	if wake.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(max(0, time.Until(wake)))
}

func (wl *workerLoop) receive(m *message) {
	switch {
	case m.engine != nil:
		wl.observe(m.engine)
	case m.signal != "":
		m.reply <- wl.send(m.signal)
	case m.generation != 0:
		wl.generation = m.generation
	case m.balance != nil:
		wl.rebalance(*m.balance)
	default:
		if m.fact.Kind == worker.Checked {
			wl.checks.add(m.fact.Result)
		}
		wl.step(&m.fact)
	}
}

// send delivers a user's signal. A death that follows it is not a crash.
func (wl *workerLoop) send(signal string) error {
	if wl.instance.ID == "" {
		return fmt.Errorf("%s does not run: it is %s", wl.name, wl.machine.State())
	}
	wl.asked = signal
	return wl.service.engine.Signal(context.Background(), wl.instance.ID, signal)
}

// observe turns a fact of the engine into one for the machine.
func (wl *workerLoop) observe(f *engine.Fact) {
	if f.Instance != wl.instance.ID {
		return // about an earlier run
	}
	instance := string(f.Instance)
	switch f.Kind {
	case engine.Listening:
		wl.opened(f)
		wl.step(&worker.Fact{Kind: worker.Listening, Instance: instance, Serves: true, Cause: f.Message})
	case engine.Settled:
		wl.step(&worker.Fact{Kind: worker.Listening, Instance: instance, Cause: "it runs"})
	case engine.Checked:
		wl.checked(f)
	case engine.Reported:
		wl.told(f.Report)
	case engine.Renewed:
		wl.instance = f.Renewed
		wl.report()
	case engine.Closed:
		wl.closed(f.Port)
	case engine.Notice:
		wl.service.emit(wl.name, "notice", f.Message, "")
	case engine.Halted:
		wl.halted = f.Message
		wl.report()
	case engine.Unusable:
		wl.unusable = f.Message
		wl.service.emit(wl.name, "unusable", f.Message, "")
		wl.step(&worker.Fact{Kind: worker.Unusable, Instance: instance, Cause: f.Message})
	case engine.Exited:
		wl.exited(f)
	}
}

// opened notes one more address, or another way to one; a worker that is in
// rotation already joins with it at once.
func (wl *workerLoop) opened(f *engine.Fact) {
	if wl.published[f.Port] != nil {
		wl.closed(f.Port)
	}
	connector := f.Connector
	if known, ok := wl.ports[f.Port]; ok && known.address != f.Address {
		wl.closed(f.Port) // it moved
	}
	wl.ports[f.Port] = port{address: f.Address, connector: connector}
	if f.FixedPort {
		wl.service.inbox.put(serviceMessage{fixedPort: true})
	}
	if wl.published != nil {
		wl.publish()
	}
}

// checked takes over what the engine's own checks say; those that are new count.
func (wl *workerLoop) checked(f *engine.Fact) {
	report := worker.Report{Status: f.Health.Status, Streak: f.Health.Streak}
	for _, c := range f.Health.Log {
		r := worker.CheckResult{Start: c.Start, End: c.End, ExitCode: c.ExitCode, Output: c.Output}
		if r.End.After(wl.reported) {
			wl.checks.add(r)
			wl.reported = r.End
		}
		report.Log = append(report.Log, r)
	}
	wl.step(&worker.Fact{Kind: worker.Reported, Instance: string(f.Instance), Report: report})
}

func (wl *workerLoop) closed(p engine.Port) {
	delete(wl.ports, p)
	if e := wl.published[p]; e != nil {
		wl.published = maps.Clone(wl.published)
		delete(wl.published, p)
		e.Drain()
		wl.retired = append(wl.retired, e)
		wl.report()
	}
}

// step lets the machine think about one fact, carries out what it wants and
// reports the new picture to the service.
func (wl *workerLoop) step(f *worker.Fact) {
	now := time.Now()
	before, cause := wl.machine.State(), wl.machine.Cause()
	effects := wl.machine.Step(now, *f)
	wl.note(now, before)
	for _, e := range effects {
		wl.carryOut(e)
	}
	if f.Kind == worker.Wake && wl.machine.State() == before && wl.machine.Cause() == cause {
		return // a check has begun: nothing that anybody can see
	}
	wl.report()
}

// note keeps a change of state for `bulsa inspect` and tells the world.
func (wl *workerLoop) note(now time.Time, before worker.State) {
	after := wl.machine.State()
	if after == before {
		return
	}
	if len(wl.history) == historyKept {
		wl.history = append(wl.history[:0:0], wl.history[1:]...)
	}
	wl.history = append(wl.history, Change{At: now, From: before, To: after, Cause: wl.machine.Cause()})
	text := eventText(before, after)
	if after == worker.Stopping && wl.machine.Silent() {
		text = "is killed"
	}
	wl.service.emit(wl.name, after.String(), text, wl.machine.Cause())
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

func (wl *workerLoop) carryOut(e worker.Effect) {
	ctx := context.Background()
	switch e.Kind {
	case worker.Launch:
		wl.launch(ctx, e)
	case worker.Check:
		wl.check(e.Instance)
	case worker.Publish:
		wl.replace = ""
		wl.publish()
	case worker.Unpublish:
		wl.unpublish(e.Instance)
	case worker.Terminate:
		wl.stopCheck()
		wl.complain("stop", wl.engine.Stop(ctx, engine.InstanceID(e.Instance)))
	case worker.Kill:
		wl.complain("kill", wl.engine.Kill(ctx, engine.InstanceID(e.Instance)))
	case worker.Replace:
		wl.replace = e.Cause
	case worker.Done:
		// The report that follows every step says that it is pending.
	}
}

// launch starts a run. A launch that fails is a death like any other.
func (wl *workerLoop) launch(ctx context.Context, e worker.Effect) {
	wl.forget()
	id := engine.InstanceID(e.Instance)
	wl.instance = engine.Instance{ID: id, Worker: wl.name}
	wl.service.supervisor.route(id, wl.inbox)
	started, err := wl.engine.Start(ctx, engine.Launch{
		ID: id, Worker: wl.name, Number: wl.number, Release: wl.release,
		Alone: wl.service.replicas.Load() <= 1,
	})
	if err != nil {
		wl.inbox.put(message{engine: &engine.Fact{Kind: engine.Exited, Instance: id, At: time.Now(),
			Exit: engine.Exit{Code: -1, Cause: err.Error()}}})
		return
	}
	wl.instance = started
}

// forget drops everything that belongs to the previous run.
func (wl *workerLoop) forget() {
	wl.stopCheck()
	if wl.instance.ID != "" {
		wl.service.supervisor.unroute(wl.instance.ID)
	}
	wl.ports = map[engine.Port]port{}
	wl.figures, wl.inner = &loopFigures{}, innerState{}
	wl.published, wl.retired = nil, nil
	wl.asked, wl.replace, wl.unusable, wl.halted = "", "", "", ""
	wl.ended = time.Time{}
}

// check runs one health check beside the loop; its result comes back as a fact.
func (wl *workerLoop) check(instance string) {
	ctx, cancel := context.WithCancel(context.Background())
	wl.checkStop = cancel
	target := probe.Target{Engine: wl.engine, Instance: engine.InstanceID(instance), Host: "localhost", Connect: wl.connect(), Loop: wl.figures.silence}
	health := wl.release.Service.Health
	wl.working.Add(1)
	go func() {
		defer wl.working.Done()
		defer cancel()
		result := probe.Run(ctx, health, target)
		wl.inbox.put(message{fact: worker.Fact{Kind: worker.Checked, Instance: instance, Result: result}})
	}()
}

// connect returns how a check reaches the worker's first address; nil while it has none.
func (wl *workerLoop) connect() func(context.Context) (net.Conn, error) {
	p, ok := wl.ports[engine.Main]
	if !ok {
		for _, p = range wl.ports {
			break
		}
	}
	if p.connector == nil {
		return nil
	}
	return p.connector.Connect
}

func (wl *workerLoop) stopCheck() {
	if wl.checkStop != nil {
		wl.checkStop()
		wl.checkStop = nil
	}
}

// publish puts every address of the instance into rotation. An endpoint that
// was drained stays so; one that is new gets its own counters.
func (wl *workerLoop) publish() {
	if wl.published == nil {
		wl.published = map[engine.Port]*balance.Endpoint{}
	}
	if wl.down() {
		return
	}
	wl.published = maps.Clone(wl.published) // pictures hold the one before
	for name, p := range wl.ports {
		if wl.published[name] == nil && p.connector != nil {
			wl.published[name] = balance.NewEndpoint(wl.endpointConfig(p))
		}
	}
	wl.steer()
}

// rebalance changes by what the worker gets requests: its addresses join the pool anew,
// unless only that changes which is the pool's or the route's.
func (wl *workerLoop) rebalance(b spec.Balance) {
	before := wl.balance
	wl.balance = b
	before.Policy, before.Sticky = b.Policy, b.Sticky
	if before == b || wl.published == nil || len(wl.release.Service.Servers) > 0 {
		return
	}
	old := wl.published
	wl.published = map[engine.Port]*balance.Endpoint{}
	wl.publish()
	for _, e := range old {
		e.Drain()
		wl.retired = append(wl.retired, e)
	}
	wl.report()
}

// down reports whether the user marked this external server as out of use.
func (wl *workerLoop) down() bool {
	servers := wl.release.Service.Servers
	return wl.number <= len(servers) && servers[wl.number-1].Down
}

func (wl *workerLoop) endpointConfig(p port) balance.Config {
	b := wl.balance
	c := balance.Config{
		Worker: wl.name, Instance: string(wl.instance.ID), Address: p.address, Connector: p.connector,
		Weight: b.Weight, MaxConns: b.MaxConns, MaxFails: b.MaxFails, FailTimeout: b.FailTimeout, SlowStart: b.SlowStart, Ready: time.Now(),
	}
	if servers := wl.release.Service.Servers; wl.number <= len(servers) {
		s := servers[wl.number-1]
		c.Weight, c.Backup, c.MaxConns = s.Weight, s.Backup, cmp.Or(s.MaxConns, b.MaxConns)
		c.MaxFails, c.FailTimeout = s.MaxFails, s.FailTimeout
	}
	return c
}

// unpublish takes the instance out of rotation and tells the machine when its
// last request has ended.
func (wl *workerLoop) unpublish(instance string) {
	for _, e := range wl.published {
		wl.retired = append(wl.retired, e)
	}
	wl.published = nil
	idle := make([]<-chan struct{}, 0, len(wl.retired))
	for _, e := range wl.retired {
		idle = append(idle, e.Drain())
	}
	wl.report() // out of the service's pool before the wait begins
	wl.working.Add(1)
	go func() {
		defer wl.working.Done()
		for _, ch := range idle {
			select {
			case <-ch:
			case <-wl.done:
				return
			}
		}
		wl.inbox.put(message{fact: worker.Fact{Kind: worker.Idle, Instance: instance}})
	}()
}

// complain reports an engine's refusal; that a run ended already is none.
func (wl *workerLoop) complain(what string, err error) {
	if err != nil && !isGone(err) {
		wl.service.emit(wl.name, "notice", fmt.Sprintf("cannot %s %s: %v", what, wl.name, err), "")
	}
}
