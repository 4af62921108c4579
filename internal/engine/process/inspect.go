package process

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"bulsa/internal/engine"
	"bulsa/internal/node"
	"bulsa/internal/node/inspector"
)

// Inspect opens the inspector of a Node worker, lets use look through it, and
// closes it again. Of several who want that one waits for the other. The error
// says why the worker cannot be looked into.
func (e *Engine) Inspect(ctx context.Context, id engine.InstanceID, use func(context.Context, *inspector.Session) error) error {
	r := e.find(id)
	if r == nil || !e.begin(r) {
		return engine.ErrNoInstance
	}
	defer e.working.Done()
	defer r.helpers.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)() // what has ended cannot be looked into
	if err := r.inspect(ctx, use); err != nil {
		return fmt.Errorf("cannot look into %s: %w", r.launch.Worker, err)
	}
	return nil
}

// Inspectable reports whether Inspect may look into a worker, as far as bulsa
// knows without asking the system.
func (e *Engine) Inspectable(id engine.InstanceID) bool {
	r := e.find(id)
	if r == nil {
		return false
	}
	_, err := r.inspectable()
	return err == nil
}

func (r *run) inspect(ctx context.Context, use func(context.Context, *inspector.Session) error) error {
	pid, err := r.inspectable()
	if err != nil {
		return err
	}
	select {
	case r.looking <- struct{}{}:
	case <-ctx.Done():
		return errors.New("somebody else looks into it, or it has not reacted to an earlier look yet")
	}
	r.stderr.Hush()
	session, late, err := inspector.Open(ctx, pid)
	if late != nil {
		r.closeLate(late)
		return err
	}
	if err == nil {
		err = use(ctx, session)
		if closing := session.Close(); closing != nil {
			r.closeLate(session.CloseLate)
			return errors.Join(err, closing)
		}
	}
	<-r.looking
	return err
}

// closeLate closes an inspector beside that opens when nobody wants it any more,
// or does not close in time. Nobody else looks into the worker meanwhile.
func (r *run) closeLate(late func(context.Context)) {
	if !r.engine.begin(r) {
		return // it is ending, and its inspector with it
	}
	go func() {
		defer r.engine.working.Done()
		defer r.helpers.Done()
		defer func() { <-r.looking }()
		late(r.ctx)
	}()
}

// inspectable returns the worker's Node process, or why it must not be looked into.
func (r *run) inspectable() (pid int, err error) {
	channel := r.speaker()
	switch {
	case channel == nil && r.joins() && r.plan.command.Kind == node.KindNode:
		return 0, errors.New("it has not started its Node program yet")
	case channel == nil && r.joins() && r.plan.command.Kind == node.KindWrapper:
		return 0, fmt.Errorf("%s has started no Node program yet that runs as a worker of bulsa's cluster, or is to start none (see x-bulsa.node)", filepath.Base(r.plan.command.Args[0]))
	case channel == nil:
		return 0, errors.New("it is no Node program that runs as a worker of bulsa's cluster (see x-bulsa.node)")
	case channel.PID() == 0:
		return 0, errors.New("it has not started its Node program yet")
	case channel.HandlesSignal():
		return 0, errors.New("the application handles SIGUSR1 itself, the signal that opens the inspector: let it use SIGUSR2")
	}
	return channel.PID(), nil
}
