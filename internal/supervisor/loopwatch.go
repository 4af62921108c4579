package supervisor

import (
	"sync"
	"sync/atomic"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/eventloop"
	"bulsa/internal/worker"
)

const (
	// lookOften is the time between two looks at a loop while requests arrive,
	// lookAtBusy while some are in flight or a loop is late, lookSeldom otherwise.
	// For each loop a pause is at least lookPause long, so that many loops do not cost
	// more than two or three hundredths of a core.
	lookOften  = 5 * time.Millisecond
	lookAtBusy = 20 * time.Millisecond
	lookSeldom = 200 * time.Millisecond
	lookPause  = 100 * time.Microsecond
	// arrivalsLast is how long after a request looks stay frequent.
	arrivalsLast = time.Second
	// late is what makes a loop worth frequent looks.
	late = 50 * time.Millisecond
	// pingOften is the time between two questions, while requests arrive, to a
	// worker that cannot be looked at.
	pingOften = 100 * time.Millisecond
	// asleep: when bulsa itself did not run for that long, no loop is blamed for it.
	asleep = time.Second
)

// loopWatch watches the event loops of one service's workers, in a goroutine of
// its own. It is woken by requests, and otherwise looks now and then. What it
// sees goes sideways: to the endpoints for the next pick, and to the status. A
// loop that is silent for too long becomes a fact for its worker.
type loopWatch struct {
	service  *service
	observer engine.Observer
	bell     chan struct{} // a request arrives
	findings chan finding
	working  sync.WaitGroup // diagnoses

	seen    *ServiceStatus
	loops   []*watched
	looked  time.Time // when it last looked
	excused time.Time // silence before it does not count
	arrival time.Time // when a request was last seen to arrive
	second  time.Time // when the last figures were published
	pinged  time.Time
}

// watched is the loop of one instance.
type watched struct {
	worker   WorkerStatus
	loop     engine.Loop
	meter    eventloop.Meter
	state    eventloop.State
	running  time.Duration
	boots    time.Time // when it was last seen to start: what it computes then holds up nobody
	requests uint64    // that its endpoints have ended
	sick     bool      // its worker's machine has been told, or will be
	block    block
	over     time.Duration // how long a block lasted that ended before its diagnosis; 0: none did
	alarm    alarm

	diagnosing bool // a diagnosis is under way
}

// loopFigures is where the figures of one instance's loop are published.
type loopFigures struct {
	last   atomic.Pointer[eventloop.Figures]
	silent atomic.Int64 // ns for which the loop had not turned at the last look, and 1; 0: it is not watched
}

// blocks counts what kept the loops of a worker from turning, over its instances.
type blocks struct {
	number atomic.Uint64
	time   atomic.Int64 // ns, of those under way as far as they were seen
}

// now is the last figures, with how long the loop was blocked at the last look.
func (f *loopFigures) now() *eventloop.Figures {
	last := f.last.Load()
	if last == nil {
		return nil
	}
	fresh := *last
	fresh.Blocked, _ = f.silence()
	return &fresh
}

// silence is how long the loop has not turned, as far as is known.
func (f *loopFigures) silence() (d time.Duration, known bool) {
	silent := f.silent.Load()
	return time.Duration(max(silent-1, 0)), silent > 0
}

func newLoopWatch(s *service, o engine.Observer) *loopWatch {
	return &loopWatch{service: s, observer: o, bell: make(chan struct{}, 1), findings: make(chan finding, 16)}
}

func (lw *loopWatch) run() {
	defer lw.working.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-lw.service.done:
			return
		case f := <-lw.findings:
			lw.learn(f)
			continue
		case <-lw.bell:
			lw.arrival = time.Now()
		case <-timer.C:
		}
		began := time.Now()
		lw.refresh()
		lw.look(began)
		lw.judge(began)
		lw.tell(began)
		lw.ask(began)
		timer.Reset(lw.pause(began))
	}
}

// refresh follows the service's instances.
func (lw *loopWatch) refresh() {
	st := lw.service.status.Load()
	if st == lw.seen {
		return
	}
	lw.seen = st
	known := map[engine.InstanceID]*watched{}
	for _, x := range lw.loops {
		known[x.worker.instance] = x
	}
	lw.loops = lw.loops[:0:0]
	for i, one := range st.Workers {
		if fresh := st.live[i].current.Load(); fresh != nil {
			one = *fresh
		}
		if one.instance == "" || !runs(one.State) {
			continue
		}
		x := known[one.instance]
		if x == nil {
			loop := lw.observer.Loop(one.instance)
			if loop == nil {
				continue
			}
			x = &watched{loop: loop, boots: one.Since}
		}
		x.worker = one
		lw.loops = append(lw.loops, x)
	}
}

// look reads every loop, from outside where that is possible.
func (lw *loopWatch) look(now time.Time) {
	if now.Sub(lw.looked) > asleep {
		lw.excused = now
	}
	lw.looked = now
	for _, x := range lw.loops {
		if r, ok := x.loop.Look(); ok {
			x.meter.Look(now, r)
		} else {
			x.meter.Lost()
		}
		if answer, pending, ok := x.loop.Heard(); ok || !pending.IsZero() { // it may hang before its first answer
			x.meter.Hear(now, answer, pending)
		}
		if x.worker.State == worker.Starting {
			x.boots = now
		}
		x.running = min(x.meter.Running(now), now.Sub(lw.excused))
		if x.meter.Source() != eventloop.Unknown {
			x.worker.figures.silent.Store(int64(x.running) + 1)
		}
		if ended := x.ended(); ended != x.requests {
			x.requests, lw.arrival = ended, now
		}
	}
}

// ended counts the requests that have come and gone.
func (x *watched) ended() (n uint64) {
	for _, e := range x.worker.endpoints {
		n += e.Answered() + e.Failed()
	}
	return n
}

func (x *watched) inFlight() (n int) {
	for _, e := range x.worker.endpoints {
		n += e.InFlight()
	}
	return n
}

// judge tells the endpoints how their loops are. While no request arrives, that
// a loop is in the middle of something is old before anybody asks.
func (lw *loopWatch) judge(now time.Time) {
	var pool []eventloop.State
	for _, x := range lw.loops {
		x.state.Running, x.state.Latency = x.running, x.meter.Latency()
		if x.worker.State == worker.Ready {
			pool = append(pool, x.state)
		}
	}
	eventloop.Judge(pool)
	for _, x := range lw.loops {
		if x.worker.State != worker.Ready {
			continue
		}
		x.state.Silent, pool = pool[0].Silent, pool[1:]
		l := balance.Loop{At: now, Latency: x.state.Latency, Silent: x.state.Silent}
		if x.running > 0 && (x.state.Silent || lw.arriving(now)) {
			l.Since = now.Add(-x.running)
		}
		if x.meter.Source() == eventloop.Unknown {
			continue
		}
		for _, e := range x.worker.endpoints {
			e.SetLoop(l)
		}
	}
}

func (lw *loopWatch) arriving(now time.Time) bool { return now.Sub(lw.arrival) < arrivalsLast }

// tell announces what is blocked, and publishes the figures once a second.
func (lw *loopWatch) tell(now time.Time) {
	for _, x := range lw.loops {
		lw.watchBlock(x, now)
	}
	if now.Sub(lw.second) < time.Second {
		return
	}
	lw.second = now
	for _, x := range lw.loops {
		f := x.meter.Second(now)
		if f.Source == eventloop.Unknown {
			continue
		}
		f.PID = x.loop.PID()
		x.worker.figures.last.Store(&f)
	}
}

// ask asks each worker once a second for what only it knows. One that has had
// nothing to do is left alone: an idle application stays idle. A worker that
// cannot be looked at is asked for a sign of life all the same.
func (lw *loopWatch) ask(now time.Time) {
	if lw.second != now && (!lw.arriving(now) || now.Sub(lw.pinged) < pingOften) {
		return
	}
	lw.pinged = now
	for _, x := range lw.loops {
		outside := x.meter.Source() == eventloop.Outside
		switch {
		case lw.second != now:
			if !outside {
				x.loop.Ask(false)
			}
		case outside && x.meter.Idled() && x.inFlight() == 0:
		default:
			x.loop.Ask(outside || lw.arriving(now) || !x.meter.Told())
		}
	}
}

// pause is how long nothing has to be looked at. Unless that is short anyway, the
// next request ends it.
func (lw *loopWatch) pause(now time.Time) time.Duration {
	pause := lookSeldom
	if lw.arriving(now) {
		pause = lookOften
	} else {
		for _, x := range lw.loops {
			if x.running > late || x.inFlight() > 0 {
				pause = lookAtBusy
			}
		}
		lw.await()
	}
	return max(pause, lookPause*time.Duration(len(lw.loops)))
}

func (lw *loopWatch) await() {
	for _, pool := range lw.service.supervisor.pools.of(lw.service) {
		pool.Await(lw.bell)
	}
}
