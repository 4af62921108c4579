package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"bulsa/internal/api"
)

// Control is the running project as the admin server sees it. The daemon
// implements it. Project, Inspect and Metrics answer from published snapshots
// and never wait for a worker; all methods may be called at the same time.
//
// Names that come in as arguments have been checked against Project: they are
// services or workers of it. Errors made with NotFound, Invalid and Conflict become 404, 400 and 409, any
// other error 500; their text is shown to the user as it stands, one line.
type Control interface {
	Project() api.Project
	// Inspect knows services and workers by name. NotFound for any other.
	Inspect(name string) (api.Inspection, error)
	// Scale sets the numbers of workers of services, all of them or none. message has a
	// line for each; wait is as for Start.
	Scale(ctx context.Context, services []api.Scale, wait bool) (message string, err error)
	// Start, Stop and Restart act on the named services or workers, on all when none is
	// named. With wait they return when it is done; when ctx ends they return
	// earlier, and what was begun goes on.
	Start(ctx context.Context, names []string, wait bool) error
	Stop(ctx context.Context, names []string, wait bool) error
	Restart(ctx context.Context, names []string, wait bool) error
	// Kill sends signal ("SIGKILL", "TERM", "9") to one worker's whole process group.
	Kill(ctx context.Context, worker, signal string) error
	// Profile samples one Node worker's main thread for d, Phases traces its event
	// loop, Heap writes a snapshot of its heap.
	Profile(ctx context.Context, worker string, d time.Duration) (api.Profile, error)
	Phases(ctx context.Context, worker string, d time.Duration) (api.Phases, error)
	Heap(ctx context.Context, worker string, w io.Writer) error
	// Doctor says what is slow or ill in one service, "" for all. With profile it
	// looks into the busiest Node worker, too.
	Doctor(ctx context.Context, service string, profile bool) (api.Report, error)
	// Down begins the graceful end of the whole project and returns at once. What
	// still runs after within is killed; nil: each service has its own time.
	Down(ctx context.Context, within *time.Duration) error
	// Apply takes a resolved spec.Project as JSON and makes the running project
	// equal to it. message has one line for each thing that changed, or says that nothing did.
	Apply(ctx context.Context, raw json.RawMessage) (message string, err error)
	// Logs sends the last tail lines (-1: all that are kept) of the named workers
	// and services, all when none is named, and with follow the new ones until
	// ctx ends. The channel is closed at the end.
	Logs(ctx context.Context, tail int, follow bool, names []string) (<-chan api.LogLine, error)
	// Events sends the events that are kept, and with follow the new ones until
	// ctx ends. The channel is closed at the end.
	Events(ctx context.Context, follow bool) (<-chan api.Event, error)
	Metrics() Metrics
	// AppMetrics are those of the services' applications, as far as bulsa is told
	// them. It may take a second.
	AppMetrics() []AppFamily
}

// Metrics is what /metrics says, read at the moment of a scrape.
type Metrics struct {
	Workers       []WorkerMetrics
	Inner         []api.Worker // workers inside of containers
	Services      []ServiceMetrics
	AccessLogLost map[string]uint64 // by file
	Certificates  []Certificate
}

// Certificate is one that clients of a service may be shown.
type Certificate struct {
	Service string
	Name    string // its first name
	Expires time.Time
}

// WorkerMetrics is one worker of a Metrics. Counters count since the project's start.
type WorkerMetrics struct {
	Service      string
	Worker       string // SERVICE.N
	Engine       string
	State        string // as in api.Worker
	Health       string // none starting healthy unhealthy
	PID          int
	Release      int
	Up           bool              // it runs: starting, ready, unhealthy, draining or stopping
	Restarts     map[string]uint64 // by cause, a short fixed set of words: exit signal oom unhealthy request deploy
	CheckLast    time.Duration     // wall time of the last finished health check; 0: none yet
	CheckCPU     time.Duration     // user and system time of all checks so far
	ChecksPassed uint64
	ChecksFailed uint64
	InFlight     int
	CPU          *time.Duration // user and system time of its processes; nil: nobody knows
	Memory       *int64         // resident bytes of its processes
	Blocks       uint64         // how often its event loop did not turn for 250 ms or longer
	Blocked      time.Duration  // and how long that was
	EventLoop    *api.EventLoop // nil: nothing is known of one
}

// ServiceMetrics is the proxy's side of one service.
type ServiceMetrics struct {
	Service  string
	Requests map[int]uint64 // finished requests by status code
	Duration Histogram      // from the first byte of the request's head to the last byte of the answer
	Retries  uint64         // requests sent again to another worker
	InFlight int

	RetriesDelayed uint64 // retries that had to wait for the budget
	Connections    int    // of clients, now
	TurnedAway     uint64 // connections beyond a limit
	Queued         int    // requests in line, now
	QueueFull      uint64 // requests refused because the line was full
	Cut            uint64 // upgraded connections that were ended before either side ended them
	Passed         uint64 // connections given to workers as they are
	Tunnels        int    // those that bulsa carries, and upgraded ones, now
	LostSessions   uint64 // requests of sessions of socket.io that their worker did not know
}

// Histogram counts durations. Bounds and Counts have the same length.
type Histogram struct {
	Bounds []float64 // seconds, upper and inclusive, rising, without +Inf
	Counts []uint64  // cumulative: how many were at most the bound
	Count  uint64    // all
	Sum    float64   // seconds
}

type kind int

const (
	kindNotFound kind = iota + 1
	kindInvalid
	kindConflict
)

type kindError struct {
	kind    kind
	message string
}

func (e *kindError) Error() string { return e.message }

// NotFound is an error about a name that does not exist.
func NotFound(message string) error { return &kindError{kindNotFound, message} }

// Invalid is an error about a request that cannot be understood or is not allowed.
func Invalid(message string) error { return &kindError{kindInvalid, message} }

// Conflict is an error about a request that does not fit what is going on now.
func Conflict(message string) error { return &kindError{kindConflict, message} }

// status is the HTTP status of an error from Control.
func status(err error) int {
	var k *kindError
	if !errors.As(err, &k) {
		return 500
	}
	switch k.kind {
	case kindNotFound:
		return 404
	case kindConflict:
		return 409
	default:
		return 400
	}
}
