// Package diagnose looks into workers: at what blocks an event loop, on demand at a
// Node process, and at all that is measured for the doctor, whose table it fills.
package diagnose

import (
	"context"
	"sync"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/doctor"
	"bulsa/internal/engine"
	"bulsa/internal/eventloop"
	"bulsa/internal/node/inspector"
	"bulsa/internal/proxy/stats"
	"bulsa/internal/relay"
	"bulsa/internal/supervisor"
)

// Config is what an Examiner goes by.
type Config struct {
	Processes Processes
	Dir       string // for profiles of workers that hang
	Status    func() *supervisor.Status
	Stats     func() stats.Snapshot
	History   func(worker string) []doctor.Sample // of its present run, oldest first
	Window    time.Duration                       // how far the histories go back
	Busy      func() float64                      // share of the machine's processors in use; NaN: unknown
	Cores     func() int                          // that bulsa may use
}

// Processes is what is asked of the engine that runs workers as processes.
type Processes interface {
	Lister
	Inspect(ctx context.Context, id engine.InstanceID, use func(context.Context, *inspector.Session) error) error
	Inspectable(id engine.InstanceID) bool
	Deaf(id engine.InstanceID) []string
	Unread(service string) []relay.Unread
}

var _ eventloop.Diagnoser = (*Examiner)(nil)

// Examiner finds out what is slow or ill, and keeps what has blocked event loops.
type Examiner struct {
	Config

	mu   sync.Mutex
	kept map[string][]api.Diagnosis // by worker, oldest first
}

// New is an Examiner that has found nothing yet.
func New(c Config) *Examiner { return &Examiner{Config: c, kept: map[string][]api.Diagnosis{}} }
