package external

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"bulsa/internal/engine"
)

// pipeGrace is how long a finished command's output may stay open in a child of its own.
const pipeGrace = 100 * time.Millisecond

// Exec runs a command beside bulsa, as its user: a check of a server that bulsa
// can only see from outside.
func (e *Engine) Exec(ctx context.Context, id engine.InstanceID, c engine.Command) (engine.Result, error) {
	r := e.begin(id)
	if r == nil {
		return engine.Result{ExitCode: -1}, engine.ErrNoInstance
	}
	defer e.work.Done()
	if len(c.Args) == 0 {
		return engine.Result{ExitCode: -1}, fmt.Errorf("cannot run a command for %s: it is empty", r.instance.Worker)
	}
	limited, cancel := context.WithCancel(r.ctx)
	if c.Timeout > 0 {
		limited, cancel = context.WithTimeout(r.ctx, c.Timeout)
	}
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return runCommand(ctx, limited, r.instance.Worker, c)
}

func (e *Engine) begin(id engine.InstanceID) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.runs[id]; r != nil {
		e.work.Add(1)
		return r
	}
	return nil
}

// runCommand runs the command until limited ends; ctx is the caller's own.
func runCommand(ctx, limited context.Context, worker string, c engine.Command) (engine.Result, error) {
	kept := &keeper{max: c.MaxOutput}
	command := exec.CommandContext(limited, c.Args[0], c.Args[1:]...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Stdout, command.Stderr = kept, kept
	command.WaitDelay = pipeGrace
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	began := time.Now()
	if err := command.Start(); err != nil {
		return engine.Result{ExitCode: -1}, fmt.Errorf("cannot run a command for %s: %w", worker, err)
	}
	err := command.Wait()
	result := engine.Result{
		ExitCode: command.ProcessState.ExitCode(), Output: string(kept.b), Wall: time.Since(began),
		CPU: command.ProcessState.UserTime() + command.ProcessState.SystemTime(),
	}
	if limited.Err() != nil && err != nil {
		result.ExitCode = -1
		result.TimedOut = errors.Is(limited.Err(), context.DeadlineExceeded)
	}
	if ctx.Err() != nil {
		return result, ctx.Err()
	}
	return result, nil
}

// keeper keeps the first max bytes and drops the rest. os/exec writes from one
// goroutine when output and error are the same writer.
type keeper struct {
	max int
	b   []byte
}

func (k *keeper) Write(p []byte) (int, error) {
	if room := min(len(p), k.max-len(k.b)); room > 0 {
		k.b = append(k.b, p[:room]...)
	}
	return len(p), nil
}
