package supervisor

import (
	"time"

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
	Desired   int      // workers wanted
	Ready     int      // workers in rotation
	Stopped   bool     // stopped by the user
	Waiting   string   // what it waits for before its first start (depends_on), or ""
	Completed bool     // every worker ended with status 0 and the restart policy wants no more
	Ports     []string // "0.0.0.0:3333->3000", filled in by the daemon
	Workers   []WorkerStatus
	Service   spec.Service
}

// WorkerStatus is one worker.
type WorkerStatus struct {
	Name     string // SERVICE.N
	Number   int
	Release  int
	PID      int
	Ref      string // pid, container id or address
	State    worker.State
	Health   string // none starting healthy unhealthy
	Restarts int
	Started  time.Time    // of the current or last run
	Ended    time.Time    // of the last run; zero while it runs
	Next     time.Time    // when the next start is due, in backoff and failed
	Exit     *worker.Exit // of the last run that ended
	Cause    string       // why it is in this state
	Address  string       // where its requests go
	InFlight int
	Streak   int                  // failed checks in a row
	Checks   []worker.CheckResult // the last five, oldest first
	CheckCPU time.Duration        // all checks of this worker so far
	History  []Change             // the last changes of state, oldest first
	Warnings []string             // a check that costs too much, or is slower than its interval
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
