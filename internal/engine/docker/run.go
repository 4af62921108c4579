package docker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"bulsa/internal/engine"
)

// outputGrace is how long the end of a dead container's output may take.
const outputGrace = time.Second

// run is one run of a worker in a container.
type run struct {
	engine  *Engine
	launch  engine.Launch
	ctx     context.Context // ends with the run
	cancel  context.CancelFunc
	gone    chan struct{} // closed after the run is over
	endOnce sync.Once

	looking sync.Mutex // held while Docker is asked about the container; taken before mu

	mu        sync.Mutex // never held while Docker is asked: requests wait for it
	seen      engine.Instance
	container string // id; empty: not created yet
	named     string // its name
	started   string // Docker's StartedAt: another one is another run
	glance    string // of the last look
	waiting   bool   // for the engine, or for another container to end, before it begins
	paused    bool
	dead      bool // its first process has ended, whether Docker knows or not
	stopping  bool // bulsa asked it to end: the container is removed afterwards, unless it stays
	abandoned bool // its container may still run, because the engine is away
	sent      int  // signals that bulsa sent and whose events have not come
	foreign   string
	lenders   []string // ids of containers whose namespaces this one uses
	expelled  bool     // one of those has ended, and bulsa ends this one
	over      bool
	health    engine.Health
	lines     map[engine.Port]*line
	output    *output
	settled   bool
}

func newRun(e *Engine, l engine.Launch) *run {
	r := &run{engine: e, launch: l, gone: make(chan struct{}), lines: map[engine.Port]*line{}}
	r.seen = engine.Instance{ID: l.ID, Worker: l.Worker, Started: time.Now()}
	r.ctx, r.cancel = context.WithCancel(e.ctx)
	return r
}

func (r *run) instance() engine.Instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// begin finds or makes a container and starts it.
func (r *run) begin(ctx context.Context) error {
	conn, err := r.engine.connection(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*callTimeout)
	defer cancel()
	if err := r.engine.sweep(ctx, conn); err != nil {
		return err
	}
	found, err := r.takeOver(ctx, conn)
	if err != nil {
		return err
	}
	if found.id == "" {
		if found.id, err = r.create(ctx, conn, found.inherited); err != nil {
			return err
		}
	}
	if !found.running {
		r.succeed(ctx, conn, found)
	}
	since := time.Time{} // of the output
	if !found.running {
		if !found.fresh() {
			since = time.Now()
		}
		if found.id, err = r.startContainer(ctx, conn, found); err != nil {
			return err
		}
	}
	if err := r.attach(ctx, conn, found, since); err != nil {
		return err
	}
	r.rename(ctx, conn)
	return nil
}

// startContainer starts what was found or made, and says which container it is then:
// one that shared with another one that is gone can never start again.
func (r *run) startContainer(ctx context.Context, conn *connection, found candidate) (string, error) {
	_, err := conn.ContainerStart(ctx, found.id, client.ContainerStartOptions{})
	if err == nil || isAway(err) {
		return found.id, r.explainStart(err)
	}
	r.discard(conn, found.id)
	if found.fresh() || len(lendingServices(*r.launch.Release.Service.Container)) == 0 {
		return "", r.explainStart(err)
	}
	id, err := r.create(ctx, conn, found.inherited)
	if err != nil {
		return "", err
	}
	if _, err = conn.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil && !isAway(err) {
		r.discard(conn, id)
	}
	return id, r.explainStart(err)
}

// beginLate starts the container once the engine is back, and once those are
// gone that it must not run beside.
func (r *run) beginLate(err error) {
	r.waits(true)
	r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("%v; the start waits for it", err)})
	for isAway(err) || isOccupied(err) {
		select {
		case <-r.engine.awaitBack():
		case <-occupiedUntil(err):
		case <-time.After(retryEvery):
		case <-r.ctx.Done():
			return
		}
		if !r.goesOn() {
			return
		}
		err = r.begin(r.ctx)
		r.waits(isAway(err) || isOccupied(err))
	}
	if err != nil {
		r.finish(engine.Exit{Code: -1, Cause: err.Error()})
		return
	}
	r.emit(engine.Fact{Kind: engine.Renewed, Renewed: r.instance()})
}

// waits notes whether the run waits to begin: then a stop has nobody to ask.
func (r *run) waits(is bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = is
	if is && r.stopping {
		r.ended(engine.Exit{Code: -1, Cause: "asked to end before it started"})
	}
}

// goesOn reports whether the start is still wanted, and ends the wait for it.
func (r *run) goesOn() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = false
	return !r.over
}

// hold makes the run the owner of a container.
func (r *run) hold(id string) bool {
	if !r.engine.hold(id, r) {
		return false
	}
	r.mu.Lock()
	r.container = id
	r.mu.Unlock()
	return true
}

// discard gives a container up and removes it; one that keeps data stays, so
// that the next one finds its anonymous volumes.
func (r *run) discard(conn *connection, id string) {
	e := r.engine
	keep := r.launch.Release.Service.KeepsData()
	e.mu.Lock()
	delete(e.holders, id)
	if !keep {
		e.doom(id, r.launch.Worker, nil)
	}
	e.mu.Unlock()
	r.mu.Lock()
	r.container = ""
	r.mu.Unlock()
	if keep {
		return
	}
	e.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		e.remove(ctx, conn, id)
	})
}

// attach begins to follow the container of the run.
func (r *run) attach(ctx context.Context, conn *connection, found candidate, since time.Time) error {
	r.looking.Lock()
	defer r.looking.Unlock()
	c, err := conn.ContainerInspect(ctx, found.id, client.ContainerInspectOptions{})
	if err != nil {
		return fmt.Errorf("cannot look at container %s: %w", short(found.id), err)
	}
	conn.borrowAddress(ctx, &c.Container)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lenders = lendersOf(c.Container.HostConfig)
	r.started, r.named = c.Container.State.StartedAt, strings.TrimPrefix(c.Container.Name, "/")
	r.seen.Ref, r.seen.PID = short(found.id), r.visiblePID(conn, c.Container.State.Pid)
	if at, err := time.Parse(time.RFC3339Nano, r.started); err == nil && found.running {
		r.seen.Started = at
		since = r.lastLine(at)
	}
	r.watchProcess(r.seen.PID)
	r.engine.keepFolder(found.id, c.Container.Config.Labels)
	r.listen(c.Container)
	r.output = r.engine.capture(conn, r, found.id, since)
	if found.running {
		r.send(engine.Fact{Kind: engine.Notice, Message: "took over container " + short(found.id) + ", which was running"})
	}
	r.update(conn, c.Container)
	return nil
}

// visiblePID is the pid of a container of this machine: with another one's
// nobody here can do anything.
func (r *run) visiblePID(conn *connection, pid int) int {
	if strings.HasPrefix(conn.DaemonHost(), "unix://") && !conn.loopback {
		return pid
	}
	return 0
}

// lastLine is where the captured output ends, at the earliest when the
// container started.
func (r *run) lastLine(started time.Time) time.Time {
	if r.engine.cfg.Logs == nil {
		return started
	}
	lines, err := r.engine.cfg.Logs.Tail(1, r.launch.Worker)
	if err != nil || len(lines) == 0 || lines[0].At.Before(started) {
		return started
	}
	return lines[0].At.Add(time.Nanosecond)
}

// differs reports whether a listing shows something new.
func (r *run) differs(glance string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	differs := glance != r.glance
	r.glance = glance
	return differs && r.started != ""
}

// signalled notes a signal that was sent through Docker.
func (r *run) signalled(number string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent > 0 {
		r.sent--
		return
	}
	n, _ := strconv.Atoi(number)
	r.foreign = engine.SignalName(unix.Signal(n))
}

// look asks Docker how the container is. The exit code is that of an event that
// told of its end; it may be running again by now.
func (r *run) look(ctx context.Context, conn *connection, exitCode string) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r.looking.Lock()
	defer r.looking.Unlock()
	id, follows := r.following()
	if !follows {
		return // attach looks by itself
	}
	c, err := conn.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err == nil {
		conn.borrowAddress(ctx, &c.Container)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	code, told := strconv.Atoi(exitCode)
	switch {
	case errdefs.IsNotFound(err):
		x := engine.Exit{Code: -1, Signal: "SIGKILL", Cause: "its container was removed by hand"}
		r.ended(x)
	case err != nil:
		return // the next look will tell
	case c.Container.State.StartedAt != r.started:
		x := engine.Exit{Cause: "its container was restarted by hand", Voluntary: true}
		if told == nil {
			x = exitOf(&container.State{ExitCode: code, Error: x.Cause})
			x.Voluntary = true
		}
		r.ended(x)
	default:
		r.update(conn, c.Container)
	}
}

// following is the container that the run has attached to and is not over with.
func (r *run) following() (id string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.container, !r.over && r.started != ""
}

// update compares the container with what was told of it. r.mu is held.
func (r *run) update(conn *connection, c container.InspectResponse) {
	if h, checked := healthOf(c.State); checked && !sameHealth(h, r.health) && c.State.Running {
		r.health = h
		r.send(engine.Fact{Kind: engine.Checked, Health: h})
	}
	switch {
	case !c.State.Running && !c.State.Restarting:
		r.ended(exitOf(c.State))
	case r.dead: // Docker will tell
	case c.State.Paused:
		if !r.paused {
			r.paused = true
			r.closeLines()
			r.send(engine.Fact{Kind: engine.Halted, Message: "its container is paused: it takes no requests until docker unpause"})
			r.send(engine.Fact{Kind: engine.Notice, Message: "its container is paused: it takes no requests until docker unpause"})
		}
	default:
		if r.paused {
			r.paused = false
			r.send(engine.Fact{Kind: engine.Halted})
			r.send(engine.Fact{Kind: engine.Notice, Message: "its container goes on"})
		}
		r.openLines(conn, c)
	}
}

// ended ends the run beside the caller, who holds r.mu.
func (r *run) ended(x engine.Exit) {
	if r.over {
		return
	}
	if r.expelled && !r.stopping {
		x.Voluntary, x.Cause = true, "the container that it shares with has ended"
	} else if r.foreign != "" && !r.stopping {
		x.Voluntary = x.Signal == "" || x.Signal == r.foreign
		if x.Cause == "" {
			x.Cause = fmt.Sprintf("%s was sent to its container by hand", r.foreign)
		}
	}
	r.over = true
	r.engine.work.Go(func() { r.finishOver(x) })
}

// finish ends a run that has no container.
func (r *run) finish(x engine.Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended(x)
}

// finishOver waits for the output, tells the end and cleans up.
func (r *run) finishOver(x engine.Exit) {
	r.output.drain(outputGrace)
	if x.Cause == "" && x.Code > 0 && r.engine.cfg.Logs != nil {
		x.Cause = strings.TrimSpace(r.engine.cfg.Logs.Last(r.launch.Worker))
	}
	stays := r.stays()
	r.mu.Lock()
	id, remove := r.container, r.abandoned || r.stopping && !stays
	r.mu.Unlock()
	e := r.engine
	e.mu.Lock()
	remove = (remove || e.closed) && id != ""
	conn := e.conn
	if remove {
		e.doom(id, r.launch.Worker, r.launch.Release.Service.Container.Shared())
	}
	if remove && e.lost != nil {
		e.left = append(e.left, id)
		remove = false
	}
	e.mu.Unlock()
	e.forget(r)
	e.recall(id)
	e.facts.Send(engine.Fact{Kind: engine.Exited, Instance: r.launch.ID, At: time.Now(), Exit: x})
	if remove && conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		e.remove(ctx, conn, id)
	}
}

// emit sends a fact while the run is not over.
func (r *run) emit(f engine.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send(f)
}

// send is emit for callers that hold r.mu.
func (r *run) send(f engine.Fact) {
	if r.over {
		return
	}
	f.Instance, f.At = r.launch.ID, time.Now()
	r.engine.facts.Send(f)
}
