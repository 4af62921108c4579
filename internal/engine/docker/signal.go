package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

func (r *run) signal(ctx context.Context, name string) error {
	number := engine.SignalNumber(name)
	if number == 0 {
		return fmt.Errorf("%q is not a signal", name)
	}
	conn, id, err := r.reach(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.sent++
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = conn.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: name})
	return noInstance(err)
}

// noInstance turns Docker's refusal to signal what does not run into the contract's.
func noInstance(err error) error {
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return engine.ErrNoInstance
	}
	return err
}

// reach is where the container is; a run that still waits for its engine ends.
func (r *run) reach(ctx context.Context) (*connection, string, error) {
	r.mu.Lock()
	id, over := r.container, r.over
	r.mu.Unlock()
	if over {
		return nil, "", engine.ErrNoInstance
	}
	conn, err := r.engine.connection(ctx)
	return conn, id, err
}

// stop sends the stop signal of the file, else the image's, else SIGTERM.
func (r *run) stop(ctx context.Context) error {
	if r.abandon() {
		return nil
	}
	conn, id, err := r.reach(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := conn.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return noInstance(err)
	}
	name := c.Container.Config.StopSignal
	if name == "" {
		name = "SIGTERM"
	}
	if signal, err := spec.ParseSignal(name); err == nil {
		name = signal
	}
	if c.Container.State.Paused {
		_, _ = conn.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{}) // the signal tells whether it worked
	}
	return r.signal(ctx, name)
}

// abandon marks the run as one that is asked to end, and ends it if it has not
// begun.
func (r *run) abandon() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
	if r.container != "" && !r.waiting {
		return false
	}
	r.ended(engine.Exit{Code: -1, Cause: "asked to end before it started"})
	return true
}

// giveUp ends a run whose container cannot be killed because the engine is away.
// It is removed when the engine is back, by this bulsa or the next.
func (r *run) giveUp(id string, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned = true
	r.ended(engine.Exit{Code: -1, Cause: fmt.Sprintf("its container %s may still run: %v", short(id), why)})
}

// kill sends SIGKILL beside the caller: Docker answers when the container is dead.
func (r *run) kill() error {
	if r.abandon() {
		return nil
	}
	conn, id, err := r.reach(r.ctx)
	if isAway(err) {
		r.giveUp(id, err)
		return nil
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.sent++
	paused := r.paused
	r.mu.Unlock()
	r.engine.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		if paused {
			_, _ = conn.ContainerUnpause(ctx, id, client.ContainerUnpauseOptions{}) // the kill tells whether it worked
		}
		if _, err := conn.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); noInstance(err) != nil && !errors.Is(noInstance(err), engine.ErrNoInstance) {
			r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("cannot kill its container: %v", plain(err))})
		}
	})
	return nil
}
