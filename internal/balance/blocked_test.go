package balance

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The load of bench/mixed in a world without noise: light requests beside work
// that blocks a worker's event loop for 300 ms.
const (
	lightRate = 100                     // a second
	lightCost = 300 * time.Microsecond  // on the loop
	wayThere  = 600 * time.Microsecond  // from the pick to the worker, and back
	blockCost = 300 * time.Millisecond  // on the loop
	waitTime  = time.Second             // of a request that only waits
	blockPast = 5 * time.Millisecond    // from an answer to the block that follows it
	lookPause = 5 * time.Millisecond    // between two looks at the loops
	loopFloor = 200 * time.Millisecond  // a loop that has not turned for that long is silent
	sickCost  = 100 * time.Millisecond  // of what an ill worker does, again and again
	sickPause = 200 * time.Millisecond  // from begin to begin
	jobPause  = 1500 * time.Millisecond // between two background jobs of a worker
	fullWait  = 20 * time.Millisecond   // for a processor, on a full machine: on average of the third of times in which it is not free
)

// blockedLoad is what comes beside the light requests.
type blockedLoad struct {
	name                string
	blocks, waits, past float64 // requests a second that block, that wait, that answer and then block
	background          bool    // a job of each worker's own blocks it now and then
	sick                bool    // one worker does little but block
	full                bool    // workers, proxy and looks wait for a processor now and then
	better              float64 // how many times better than least_conn it must be
}

var blockedLoads = []blockedLoad{
	{name: "requests that block", blocks: 1.5, better: 2},
	{name: "background jobs", background: true, better: 6},
	{name: "requests that block and many that wait", blocks: 1, waits: 10, better: 7},
	{name: "requests that answer and block then", past: 1.5, better: 4},
	{name: "one worker that is ill", sick: true, better: 50},
	{name: "requests that block, on a full machine", blocks: 1.5, full: true, better: 1},
	{name: "requests that block and many that wait, on a full machine", blocks: 1, waits: 10, full: true, better: 1.1},
	{name: "background jobs, on a full machine", background: true, full: true, better: 1.3},
}

// world is a proxy, its pool and its workers; events happen in the order of time.
type world struct {
	now     time.Duration
	events  eventQueue
	turn    int
	pool    *Pool
	workers []*loopWorker
	seed    uint64
	span    time.Duration
	took    []time.Duration // of light requests
	full    *rand.Rand      // nil: a processor is always free
}

// wait is how long something waits for a processor.
func (w *world) wait(mean time.Duration) time.Duration {
	if w.full == nil || w.full.IntN(3) > 0 {
		return 0
	}
	return time.Duration(w.full.ExpFloat64() * float64(mean))
}

// loopWorker is a worker with one event loop, which does its tasks one by one.
type loopWorker struct {
	endpoint *Endpoint
	tasks    []loopTask
	since    time.Duration // when the task at hand began; negative: it waits for events
	looked   time.Duration
	mean     float64 // ns
	silent   bool
}

type loopTask struct {
	cost time.Duration
	done func()
}

type event struct {
	at   time.Duration
	turn int
	do   func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].turn < q[j].turn
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func (w *world) after(d time.Duration, do func()) {
	w.turn++
	heap.Push(&w.events, event{w.now + d, w.turn, do})
}

// run lets the load come for span and collects what the light requests took.
func (w *world) run(load blockedLoad) {
	if load.full {
		w.full = w.random(4)
	}
	w.requests(load)
	if load.background {
		for i, worker := range w.workers {
			w.after(jobPause*time.Duration(i)/time.Duration(len(w.workers)), func() { w.job(worker) })
		}
	}
	if load.sick {
		w.illness()
	}
	w.look()
	for len(w.events) > 0 {
		next := heap.Pop(&w.events).(event)
		if next.at > w.span+2*time.Second {
			break
		}
		w.now = next.at
		next.do()
	}
}

// requests begins the streams of requests, each with random times of its own.
func (w *world) requests(load blockedLoad) {
	w.stream(w.random(0), lightRate, func(at time.Duration, e *Endpoint, worker *loopWorker) {
		worker.add(w, lightCost+w.wait(fullWait), func() {
			w.after(wayThere, func() { w.took = append(w.took, w.now-at); w.release(e, at) })
		})
	})
	w.stream(w.random(1), load.blocks, func(at time.Duration, e *Endpoint, worker *loopWorker) {
		worker.add(w, blockCost, func() { w.after(wayThere, func() { w.release(e, at) }) })
	})
	w.stream(w.random(2), load.waits, func(at time.Duration, e *Endpoint, worker *loopWorker) {
		worker.add(w, lightCost+w.wait(fullWait), func() {
			w.after(waitTime, func() {
				worker.add(w, lightCost+w.wait(fullWait), func() { w.after(wayThere, func() { w.release(e, at) }) })
			})
		})
	})
	w.stream(w.random(3), load.past, func(at time.Duration, e *Endpoint, worker *loopWorker) {
		worker.add(w, lightCost+w.wait(fullWait), func() {
			w.after(wayThere, func() { w.release(e, at) })
			w.after(blockPast, func() { worker.add(w, blockCost, func() {}) })
		})
	})
}

// stream sends requests at random times (a Poisson process).
func (w *world) stream(random *rand.Rand, rate float64, serve func(at time.Duration, e *Endpoint, worker *loopWorker)) {
	if rate == 0 {
		return
	}
	pause := time.Duration(random.ExpFloat64() / rate * float64(time.Second))
	w.after(pause, func() {
		if w.now > w.span {
			return
		}
		at, e := w.now, w.pool.Pick(Request{Now: w.clock()})
		i := slices.IndexFunc(w.workers, func(x *loopWorker) bool { return x.endpoint == e })
		w.after(wayThere+w.wait(fullWait), func() { serve(at, e, w.workers[i]) })
		w.stream(random, rate, serve)
	})
}

// random is the same for every policy.
func (w *world) random(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, stream)) }

func (w *world) clock() time.Time { return start.Add(w.now) }

func (w *world) release(e *Endpoint, at time.Duration) { e.Release(w.clock(), true, w.now-at) }

func (w *world) job(worker *loopWorker) {
	worker.add(w, blockCost, func() {})
	w.after(jobPause, func() { w.job(worker) })
}

func (w *world) illness() {
	w.workers[0].add(w, sickCost, func() {})
	w.after(sickPause, w.illness)
}

// add gives a task to the loop.
func (x *loopWorker) add(w *world, cost time.Duration, done func()) {
	x.tasks = append(x.tasks, loopTask{cost, done})
	if len(x.tasks) == 1 {
		x.turn(w)
	}
}

func (x *loopWorker) turn(w *world) {
	x.since = w.now
	w.after(x.tasks[0].cost, func() {
		x.tasks[0].done()
		x.tasks = x.tasks[1:]
		if x.since = -1; len(x.tasks) > 0 {
			x.turn(w)
		}
	})
}

// look reports every loop to its endpoint as the supervisor does.
func (w *world) look() {
	for _, x := range w.workers {
		l := Loop{At: w.clock()}
		running := time.Duration(0)
		if x.since >= 0 {
			l.Since, running = start.Add(x.since), w.now-x.since
		}
		x.mean += (float64(min(running, loopFloor)) - x.mean) * (w.now - x.looked).Seconds()
		x.looked = w.now
		x.silent = running > loopFloor || x.silent && running > loopFloor/2
		l.Latency, l.Silent = time.Duration(x.mean), x.silent
		x.endpoint.SetLoop(l)
	}
	w.after(lookPause+w.wait(3*fullWait), w.look) // the goroutine that looks waits longest: one of many
}

func newWorld(t *testing.T, policy string, workers int, seed uint64, span time.Duration) *world {
	es := names(workers)
	w := &world{pool: pool(t, policy, es...), seed: seed, span: span}
	for _, e := range es {
		w.workers = append(w.workers, &loopWorker{endpoint: e, since: -1})
	}
	return w
}

// lateShare is the share of light requests that met a blocked loop, over some
// runs with random times of their own.
func lateShare(t *testing.T, policy string, load blockedLoad) float64 {
	const runs, span = 40, 5 * time.Second
	late, count, all := 10*time.Millisecond, 0, 0
	if load.full {
		late = 100 * time.Millisecond // less may be the machine's doing
	}
	for seed := range uint64(runs) {
		w := newWorld(t, policy, 4, seed, span)
		w.run(load)
		for _, took := range w.took {
			if all++; took > late {
				count++
			}
		}
	}
	return float64(count) / float64(all)
}

func TestLightRequestsMeetBlockedLoopsLessOftenThanByConnections(t *testing.T) {
	for _, load := range blockedLoads {
		t.Run(load.name, func(t *testing.T) {
			t.Parallel()
			conns, latency := lateShare(t, "least_conn", load), lateShare(t, "least_latency", load)
			t.Logf("late: %.4f by least_conn, %.4f by least_latency", conns, latency)
			if latency*load.better > conns {
				t.Errorf("%.4f of all are late, by least_conn %.4f: not %v times better", latency, conns, load.better)
			}
		})
	}
}
