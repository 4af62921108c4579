//go:build linux

package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/internal/engine"
)

// instant is an engine whose workers are there at once and whose commands
// return at once. It notes when each command began.
type instant struct {
	interval time.Duration
	facts    chan engine.Fact
	running  sync.Map // engine.InstanceID -> *rhythm
	noting   atomic.Bool

	mu   sync.Mutex
	late []time.Duration
}

// rhythm is when the last check of one worker ended: its next one is due an
// interval later. A worker has one check at a time.
type rhythm struct {
	worker string
	ended  time.Time
}

var _ engine.Engine = (*instant)(nil)

func newInstant(workers int, interval time.Duration) *instant {
	return &instant{interval: interval, facts: make(chan engine.Fact, 2*workers)}
}

func (e *instant) Properties() engine.Properties { return engine.Properties{Isolated: true} }

func (e *instant) Start(_ context.Context, l engine.Launch) (engine.Instance, error) {
	e.running.Store(l.ID, &rhythm{worker: l.Worker})
	e.facts <- engine.Fact{Kind: engine.Settled, Instance: l.ID, At: time.Now()}
	return engine.Instance{ID: l.ID, Worker: l.Worker, PID: l.Number, Started: time.Now()}, nil
}

func (e *instant) Exec(_ context.Context, id engine.InstanceID, _ engine.Command) (engine.Result, error) {
	began := time.Now()
	v, ok := e.running.Load(id)
	if !ok {
		return engine.Result{ExitCode: -1}, engine.ErrNoInstance
	}
	r := v.(*rhythm)
	if e.noting.Load() && !r.ended.IsZero() {
		e.note(began.Sub(r.ended.Add(e.interval)))
	}
	r.ended = time.Now()
	return engine.Result{Output: "ok"}, nil
}

func (e *instant) note(late time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.late = append(e.late, late)
}

func (e *instant) record(on bool) { e.noting.Store(on) }

// lateness returns what was noted, in ascending order.
func (e *instant) lateness() []time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return sorted(e.late)
}

func (e *instant) Signal(_ context.Context, id engine.InstanceID, _ string) error { return e.end(id) }

func (e *instant) Stop(_ context.Context, id engine.InstanceID) error { return e.end(id) }

func (e *instant) Kill(_ context.Context, id engine.InstanceID) error { return e.end(id) }

func (e *instant) end(id engine.InstanceID) error {
	if _, ok := e.running.LoadAndDelete(id); !ok {
		return engine.ErrNoInstance
	}
	e.facts <- engine.Fact{Kind: engine.Exited, Instance: id, At: time.Now()}
	return nil
}

func (e *instant) List(context.Context) ([]engine.Instance, error) { return nil, nil }

func (e *instant) Facts() <-chan engine.Fact { return e.facts }

func (e *instant) Close() error {
	close(e.facts)
	return nil
}
