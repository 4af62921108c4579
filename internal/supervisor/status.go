package supervisor

import (
	"maps"
	"sync/atomic"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/eventloop"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// Status is the immutable picture of the whole project, published for the
// admin server and the metrics. Nobody changes a Status after it was published.
type Status struct {
	Project  string
	Started  time.Time
	Services []ServiceStatus
}

// ServiceStatus is one service and its workers.
type ServiceStatus struct {
	Name      string
	Engine    spec.Engine
	Release   int
	Desired   int       // workers wanted
	Ready     int       // workers in rotation
	Stopped   bool      // stopped by the user
	Waiting   string    // what it waits for before its first start (depends_on), or ""
	Asked     time.Time // when somebody last asked for a change or a start: what went wrong before is no news
	Settled   bool      // what runs is what is desired: nothing to do, nothing under way
	Blocked   string    // what a replacement waits for that may never come
	Completed bool      // every worker ended with status 0 and the restart policy wants no more
	Ports     []string  // "0.0.0.0:3333->3000", filled in by the daemon
	Workers   []WorkerStatus
	Service   spec.Service

	live []liveWorker // beside Workers
}

// liveWorker is where the newest picture of a worker stands, and what its
// predecessors in the same slot counted.
type liveWorker struct {
	current  *atomic.Pointer[WorkerStatus]
	restarts int
	deaths   map[string]uint64
	blocked  Blocked
}

// Blocked is how often event loops did not turn for 250 ms or longer, and how long that was.
type Blocked struct {
	Times uint64
	For   time.Duration
}

// and adds what a worker counts now.
func (b Blocked) and(counts *blocks) Blocked {
	if counts == nil {
		return b
	}
	return Blocked{b.Times + counts.number.Load(), b.For + time.Duration(counts.time.Load())}
}

// now is the worker as it is, seen being what its service last saw of it.
func (l liveWorker) now(seen WorkerStatus) WorkerStatus {
	w := seen
	if fresh := l.current.Load(); fresh != nil {
		w = *fresh
	}
	w.Restarts += l.restarts
	deaths := maps.Clone(l.deaths)
	if deaths == nil {
		deaths = map[string]uint64{}
	}
	for cause, n := range w.Deaths {
		deaths[cause] += n
	}
	w.Deaths = deaths
	for _, e := range w.endpoints {
		w.InFlight += e.InFlight()
	}
	w.Loop, w.Blocked = w.figures.now(), l.blocked.and(w.blocks)
	return w
}

// WorkerStatus is one worker.
type WorkerStatus struct {
	Name         string // SERVICE.N
	Number       int
	Release      int
	PID          int
	Ref          string // pid, container id or address
	State        worker.State
	Health       string // none starting healthy unhealthy
	Restarts     int
	Since        time.Time    // when it entered this state
	Started      time.Time    // of the current or last run
	Ended        time.Time    // of the last run; zero while it runs
	Next         time.Time    // when the next start is due, in backoff and failed
	Exit         *worker.Exit // of the last run that ended
	Cause        string       // why it is in this state
	Address      string       // where its requests go
	InFlight     int
	Streak       int                  // failed checks in a row
	Checks       []worker.CheckResult // the last five, oldest first
	CheckCPU     time.Duration        // all checks of this worker so far
	CheckLast    time.Duration        // wall time of the last one
	ChecksPassed uint64
	ChecksFailed uint64
	Deaths       map[string]uint64  // by kind: exit signal oom request
	History      []Change           // the last changes of state, oldest first
	Finished     bool               // ended, and the restart policy wants no more of it
	Vain         []time.Time        // when the last runs died that were never ready, since one was
	SickAt       time.Time          // when a run turned unhealthy that was never ready, since one was; zero: none
	Unusable     string             // it runs, but can not serve as configured
	Halted       string             // it runs, but somebody has made it stand still
	Warnings     []string           // a check that costs too much, or is slower than its interval
	Loop         *eventloop.Figures // of its event loop; nil: nothing is known of one
	Blocked      Blocked            // of its event loops, since the project's start
	Inner        *api.Inside        // of a bulsa inside; nil: there is none, or it has not reported

	instance  engine.InstanceID
	inbox     *mailbox[message]
	figures   *loopFigures // of instance
	blocks    *blocks
	endpoints []*balance.Endpoint
}

// Change is one step in a worker's life.
type Change struct {
	At    time.Time
	From  worker.State
	To    worker.State
	Cause string
}

// Event is one line of `bulsa events`.
type Event struct {
	At      time.Time
	Service string
	Worker  string // "" when it is about the service
	Kind    string // start ready unhealthy drain stop exit backoff failed scale notice ...
	Message string
	Cause   string
}

// Current reports whether no replacement is under way: every worker that should
// run is ready and of the newest release and generation.
func (st ServiceStatus) Current() bool {
	return st.Stopped || st.Completed || st.Settled
}
