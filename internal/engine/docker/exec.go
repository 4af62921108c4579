package docker

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"bulsa/internal/engine"
)

// reapPatience is how long a command that was killed may take to be gone.
const reapPatience = 5 * time.Second

// Exec runs a command inside the container. What it costs is not known.
func (e *Engine) Exec(ctx context.Context, id engine.InstanceID, c engine.Command) (engine.Result, error) {
	r := e.find(id)
	if r == nil {
		return engine.Result{ExitCode: -1}, engine.ErrNoInstance
	}
	conn, container, err := r.reach(ctx)
	if err != nil {
		return engine.Result{ExitCode: -1}, err
	}
	began := time.Now()
	limit := ctx
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		limit, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	made, err := conn.ExecCreate(limit, container, client.ExecCreateOptions{Cmd: c.Args, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return engine.Result{ExitCode: -1}, fmt.Errorf("cannot run a command in %s: %w", r.launch.Worker, noInstance(err))
	}
	text, err := execute(limit, conn, made.ID, c.MaxOutput)
	result := engine.Result{ExitCode: -1, Output: text}
	if limit.Err() != nil {
		killExec(conn, container, made.ID)
		result.Wall, result.TimedOut = time.Since(began), ctx.Err() == nil
		return result, ctx.Err()
	}
	if err != nil {
		return result, fmt.Errorf("cannot run a command in %s: %w", r.launch.Worker, err)
	}
	result.ExitCode, err = exitCode(ctx, conn, made.ID)
	result.Wall = time.Since(began)
	return result, err
}

// execute starts the command and reads its output to the end, or to that of ctx.
func execute(ctx context.Context, conn *connection, exec string, most int) (string, error) {
	attached, err := conn.ExecAttach(ctx, exec, client.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	defer attached.Close()
	defer context.AfterFunc(ctx, attached.Close)()
	kept := &capped{most: most}
	_, err = stdcopy.StdCopy(kept, kept, attached.Reader)
	return kept.String(), err
}

// capped keeps the first bytes of what is written to it.
type capped struct {
	strings.Builder
	most int
}

func (c *capped) Write(b []byte) (int, error) {
	c.Builder.Write(b[:min(len(b), max(0, c.most-c.Len()))])
	return len(b), nil
}

// exitCode waits the little while that Docker needs to know it.
func exitCode(ctx context.Context, conn *connection, exec string) (int, error) {
	for {
		found, err := conn.ExecInspect(ctx, exec, client.ExecInspectOptions{})
		if err != nil {
			return -1, err
		}
		if !found.Running {
			return found.ExitCode, nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return -1, ctx.Err()
		}
	}
}

// killExec ends a command that took too long. Docker's API cannot: where the
// container runs on this machine, its process is killed with its whole session,
// elsewhere it is left to the container's end.
func killExec(conn *connection, container, exec string) {
	ctx, cancel := context.WithTimeout(context.Background(), reapPatience)
	defer cancel()
	for {
		found, err := conn.ExecInspect(ctx, exec, client.ExecInspectOptions{})
		if err != nil || !found.Running || !runsIn(found.PID, container) {
			return
		}
		_ = syscall.Kill(-found.PID, syscall.SIGKILL) // runc gives every command a session of its own
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// runsIn reports whether a process of this machine belongs to a container.
func runsIn(pid int, container string) bool {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return pid > 0 && err == nil && strings.Contains(string(groups), container)
}
