package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// launch is what a bulsa that becomes a project is told; for a detached one it
// travels as JSON.
type launch struct {
	Project  spec.Project   `json:"project"`
	Warnings []spec.Warning `json:"warnings"`
	Admin    string         `json:"admin"`
}

// launch runs the project in the foreground or in the background. It must not run yet.
func (p *program) launch(ctx context.Context, l launch, detach bool, limit time.Duration) error {
	if err := notRunning(ctx, l.Project.Name); err != nil {
		return err
	}
	if detach {
		return p.detach(ctx, l, limit)
	}
	return p.foreground(ctx, l, nil)
}

// A bulsa that was killed amid many connections takes a moment to be gone: its
// socket still lets us in, and nobody answers there.
const (
	dyingTime = 10 * time.Second
	dyingPoll = 20 * time.Millisecond
)

// notRunning fails when a project of this name runs already.
func notRunning(ctx context.Context, name string) error {
	running, project, err := reach(ctx, name)
	if errors.Is(err, client.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	running.Close()
	return fmt.Errorf("project %q already runs (pid %d): end it with bulsa down -p %s, or choose another name with --name", name, project.PID, name)
}

// reach returns a connection to a project that answers. The error matches
// client.ErrNotRunning when it does not run, or not any more.
func reach(ctx context.Context, name string) (*client.Client, api.Project, error) {
	for begun := time.Now(); ; {
		c, err := client.Dial(name)
		if err != nil {
			return nil, api.Project{}, err
		}
		project, err := c.Project(ctx)
		if err == nil {
			return c, project, nil
		}
		c.Close()
		if !errors.Is(err, client.ErrEnded) || time.Since(begun) > dyingTime {
			return nil, api.Project{}, err
		}
		select {
		case <-time.After(dyingPoll):
		case <-ctx.Done():
			return nil, api.Project{}, ctx.Err()
		}
	}
}

// foreground is this process as the project, until it ends.
func (p *program) foreground(ctx context.Context, l launch, onReady func()) error {
	// A reader of our output that goes away must not end the project. SIGPIPE is
	// caught, not ignored: workers would inherit an ignored signal.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	return daemon.Run(ctx, daemon.Options{
		Project:  l.Project,
		Warnings: l.Warnings,
		Admin:    l.Admin,
		Version:  version,
		Stdout:   p.stdout,
		Stderr:   p.stderr,
		OnReady:  onReady,
	})
}
