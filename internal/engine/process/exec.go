package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/node"
)

// pipeGrace is how long a finished command's output may stay open in a process
// that left its session.
const pipeGrace = 100 * time.Millisecond

// Exec runs a command with the worker's environment, user and folder, in a
// session of its own; nothing of that session outlives it.
func (e *Engine) Exec(ctx context.Context, id engine.InstanceID, c engine.Command) (engine.Result, error) {
	r := e.find(id)
	if r == nil || !e.begin(r) {
		return engine.Result{ExitCode: -1}, engine.ErrNoInstance
	}
	defer e.working.Done()
	defer r.helpers.Done()
	if len(c.Args) == 0 {
		return engine.Result{ExitCode: -1}, fmt.Errorf("cannot run a command in %s: it is empty", r.launch.Worker)
	}
	path, err := lookPath(c.Args[0], r.plan.command.Dir, r.env)
	if err != nil {
		return engine.Result{ExitCode: -1}, fmt.Errorf("cannot run a command in %s: %w", r.launch.Worker, err)
	}
	x := &execution{run: r, began: time.Now()}
	defer e.expect(x)()
	if err := x.start(path, c); err != nil {
		return engine.Result{ExitCode: -1}, fmt.Errorf("cannot run a command in %s: cannot execute %s: %w", r.launch.Worker, path, err)
	}
	x.wait(ctx, c.Timeout)
	result := x.finish()
	if ctx.Err() != nil && !result.TimedOut {
		return result, ctx.Err()
	}
	return result, nil
}

// begin registers a command with its run, unless that is ending.
func (e *Engine) begin(r *run) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.runs[r.launch.ID] != r || r.ctx.Err() != nil {
		return false
	}
	e.working.Add(1)
	r.helpers.Add(1)
	return true
}

// expect makes ready for what x may connect to; the end is called when it has ended.
func (e *Engine) expect(x *execution) (end func()) {
	e.commands.Add(1)
	closeDoors, unexpect := e.openDoors(x.run), func() {}
	if e.cfg.Sockets != nil {
		unexpect = e.cfg.Sockets.Expect(e)
	}
	return func() {
		e.mu.Lock()
		delete(e.executions, x)
		e.mu.Unlock()
		e.commands.Add(-1)
		unexpect()
		closeDoors()
	}
}

// execution is one command that runs.
type execution struct {
	run    *run
	child  *child
	began  time.Time
	output *os.File
	kept   keeper
	ended  chan struct{} // the leader is a zombie
	read   chan struct{} // the output is at its end
	late   bool
	broken bool // ended by us before its time
}

func (x *execution) start(path string, c engine.Command) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer write.Close()
	x.child, err = x.run.engine.children.start(spawn{
		kind: command, path: path, args: c.Args, dir: x.run.plan.command.Dir, env: node.Outside(x.run.env, false),
		files: []uintptr{null.Fd(), write.Fd(), write.Fd()}, credential: x.run.plan.credential,
	})
	if err != nil {
		read.Close()
		return err
	}
	x.run.engine.mu.Lock()
	x.run.engine.executions[x] = struct{}{}
	x.run.engine.mu.Unlock()
	x.output, x.kept.max = read, c.MaxOutput
	x.ended, x.read = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(x.ended)
		x.child.awaitExit()
	}()
	go func() {
		defer close(x.read)
		x.kept.readFrom(read)
	}()
	return nil
}

// wait returns when the command's leader has ended, killing it when its time
// is over, its run ends or the caller gives up.
func (x *execution) wait(ctx context.Context, timeout time.Duration) {
	var over <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-x.ended:
		return
	case <-over:
		x.late = true
	case <-ctx.Done():
		x.broken = true
	case <-x.run.ctx.Done():
		x.broken = true
	case <-x.run.engine.ctx.Done():
		x.broken = true
	}
	_ = x.child.signalGroup(syscall.SIGKILL)
	<-x.ended
}

// finish kills what the command left in its session, collects the cost and the output.
func (x *execution) finish() engine.Result {
	x.killRest()
	status, cost := x.run.engine.children.reap(x.child)
	select {
	case <-x.read:
	case <-time.After(pipeGrace):
	}
	x.output.Close()
	<-x.read
	result := engine.Result{
		ExitCode: status.ExitStatus(), TimedOut: x.late, Output: string(x.kept.b),
		CPU: cost, Wall: time.Since(x.began),
	}
	if status.Signaled() {
		result.ExitCode = 128 + int(status.Signal())
	}
	if x.late || x.broken {
		result.ExitCode = -1
	}
	return result
}

// killRest waits until no process of the command's session lives.
func (x *execution) killRest() {
	deadline := time.Now().Add(killPatience)
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		_ = x.child.signalGroup(syscall.SIGKILL) // what it does not reach is in the table
		left := members(x.run.engine.table.read(0), x.child.pid)
		if len(left) == 0 || time.Now().After(deadline) {
			return
		}
		for _, p := range left {
			_ = signalProcess(p, syscall.SIGKILL) // the next look at the table tells whether it worked
		}
		time.Sleep(pause)
	}
}

// keeper keeps the first max bytes and drops the rest, so that the writer never waits.
type keeper struct {
	max int
	b   []byte
}

func (k *keeper) readFrom(f *os.File) {
	chunk := make([]byte, 4096)
	for {
		n, err := f.Read(chunk)
		room := min(n, k.max-len(k.b))
		k.b = append(k.b, chunk[:max(room, 0)]...)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}
