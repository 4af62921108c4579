// Package docker is the engine for containers of a Docker Engine (20.10 and
// newer). Docker starts and checks them; bulsa decides when, and restarts them
// itself: no container has a restart policy of Docker's.
//
// A container that dies stays, and its worker's next run starts it again, with
// its file system as it was. One that bulsa asked to end is removed.
package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"bulsa/internal/engine"
	"bulsa/internal/logs"
	"bulsa/internal/spec"
)

// closeGrace is how long Close waits for containers that were killed.
const closeGrace = 30 * time.Second

var errClosed = errors.New("bulsa is closing: no worker is started any more")

// Config is what an engine needs to know.
type Config struct {
	Project   string
	Logs      *logs.Store // nil: output is left to Docker
	Logger    *slog.Logger
	Host      string // where Docker is, as in DOCKER_HOST; empty: as docker's own client finds it
	Loopback  bool   // reach containers by ports published on loopback, as with a rootless engine
	ReportDir string // of bulsa's own, below one that nobody else can enter: where containers' reports come; empty: none are heard
}

// Engine runs containers. Make one with New. It does not talk to Docker before
// it has something to do.
type Engine struct {
	cfg    Config
	facts  *engine.Stream
	ctx    context.Context // ends with Close
	end    context.CancelFunc
	work   sync.WaitGroup // the watcher, logs, removals, waits for ports
	making sync.Mutex     // held while networks and volumes are made: Docker would make two of a name

	sweeping sync.Mutex    // held while leftovers are looked through; guards kept
	kept     *spec.Project // what Keep was told and no sweep has followed yet

	mu      sync.Mutex
	closed  bool
	conn    *connection
	lost    error         // why the engine is away; nil: it is not
	back    chan struct{} // closed when it is there again; nil: it is not away
	watched bool
	runs    map[engine.InstanceID]*run
	holders map[string]*run       // by container
	doomed  map[string]*departure // containers on their way out, by id
	left    []string              // of those, the ones that wait for the engine to be back
	folders map[string]string     // where containers report, by container
}

var _ engine.Engine = (*Engine)(nil)

// New makes an engine.
func New(c Config) *Engine {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: c, facts: engine.NewStream(), runs: map[engine.InstanceID]*run{}, holders: map[string]*run{}, doomed: map[string]*departure{}, folders: map[string]string{}}
	e.ctx, e.end = context.WithCancel(context.Background())
	return e
}

// Properties of the engine: every container has a network of its own, unless it
// was given the host's.
func (e *Engine) Properties() engine.Properties {
	return engine.Properties{Isolated: true, HasOutput: true, NoCosts: true, NoOrder: true}
}

// Facts is the stream of what happens.
func (e *Engine) Facts() <-chan engine.Fact { return e.facts.Facts() }

// Start starts a container for a worker: one of the same release that is left,
// running or not, else a new one. While the engine is away, or another container
// still writes to the same data, the start waits for it, beside the caller.
func (e *Engine) Start(ctx context.Context, l engine.Launch) (engine.Instance, error) {
	r := newRun(e, l)
	if err := e.admit(r); err != nil {
		return engine.Instance{}, fmt.Errorf("cannot start %s: %w", l.Worker, err)
	}
	err := r.begin(ctx)
	if isAway(err) || isOccupied(err) {
		e.work.Go(func() { r.beginLate(err) })
		return r.instance(), nil
	}
	if err != nil {
		e.forget(r)
		return engine.Instance{}, fmt.Errorf("cannot start %s: %w", l.Worker, err)
	}
	return r.instance(), nil
}

// Signal sends a signal to the container's first process.
func (e *Engine) Signal(ctx context.Context, id engine.InstanceID, signal string) error {
	r := e.find(id)
	if r == nil {
		return engine.ErrNoInstance
	}
	return r.signal(ctx, signal)
}

// Stop sends the container its stop signal.
func (e *Engine) Stop(ctx context.Context, id engine.InstanceID) error {
	r := e.find(id)
	if r == nil {
		return engine.ErrNoInstance
	}
	return r.stop(ctx)
}

// Kill ends the container with SIGKILL.
func (e *Engine) Kill(_ context.Context, id engine.InstanceID) error {
	r := e.find(id)
	if r == nil {
		return engine.ErrNoInstance
	}
	return r.kill()
}

// List returns the running instances, sorted by ID.
func (e *Engine) List(context.Context) ([]engine.Instance, error) {
	e.mu.Lock()
	runs := slices.Collect(maps.Values(e.runs)) // a run may hold its own lock and want this one
	e.mu.Unlock()
	list := make([]engine.Instance, 0, len(runs))
	for _, r := range runs {
		list = append(list, r.instance())
	}
	slices.SortFunc(list, func(a, b engine.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Away is why the engine cannot be reached; nil while it can, as far as is known.
func (e *Engine) Away() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lost
}

// Close kills what still runs, waits for it, and removes the project's
// containers and networks.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	used, conn := e.watched, e.conn
	runs := make([]*run, 0, len(e.runs))
	for _, r := range e.runs {
		runs = append(runs, r)
	}
	e.mu.Unlock()
	for _, r := range runs {
		_ = r.kill() // what does not die of it is waited for in vain, and told of
	}
	err := waitAll(runs)
	if used && conn != nil {
		err = errors.Join(err, e.clear(conn))
	}
	e.end()
	e.work.Wait()
	e.facts.Close(closeGrace)
	if conn != nil {
		conn.Close()
	}
	if err == nil {
		err = e.dropFolders()
	}
	return err
}

func waitAll(runs []*run) error {
	deadline := time.After(closeGrace)
	for _, r := range runs {
		select {
		case <-r.gone:
		case <-deadline:
			return fmt.Errorf("containers are still running %s after they were killed", closeGrace)
		}
	}
	return nil
}

// clear removes the project's containers and networks.
func (e *Engine) clear(conn *connection) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	list, err := conn.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ofProject(e.cfg.Project)})
	if err != nil {
		return fmt.Errorf("the project's containers may still run (docker ps --filter label=%s=%s lists them): %w", labelProject, e.cfg.Project, plain(err))
	}
	var removing sync.WaitGroup
	for _, c := range list.Items {
		removing.Go(func() { e.remove(ctx, conn, c.ID) })
	}
	removing.Wait()
	return conn.removeNetworks(ctx, e.cfg.Project)
}

// remove removes a container, running or not. Its volumes stay.
func (e *Engine) remove(ctx context.Context, conn *connection, id string) {
	_, err := conn.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) { // a conflict: its removal is under way
		e.cfg.Logger.Warn("cannot remove a container", "id", short(id), "reason", err)
	}
	e.dropFolder(id)
	if r := e.ofWorker(e.departed(id)); r != nil {
		r.rename(ctx, conn) // the name is free now
	}
}

// retire ends a container that nobody owns, in its own way, and removes it.
func (e *Engine) retire(conn *connection, id string) {
	_, _ = conn.ContainerStop(e.ctx, id, client.ContainerStopOptions{}) // what does not stop is removed by force
	e.remove(e.ctx, conn, id)
}

// connection returns the client, and starts watching with the first one.
func (e *Engine) connection(ctx context.Context) (*connection, error) {
	e.mu.Lock()
	conn, lost := e.conn, e.lost
	e.mu.Unlock()
	if lost != nil {
		return nil, lost
	}
	if conn != nil {
		return conn, nil
	}
	fresh, err := connect(ctx, e.cfg.Host, e.cfg.Loopback)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.conn != nil: // another start was faster
		if err == nil {
			fresh.Close()
		}
		return e.conn, nil
	case err != nil:
		return nil, err
	}
	e.conn = fresh
	if !e.watched && !e.closed {
		e.watched = true
		e.work.Go(func() { e.watch(fresh) })
	}
	return fresh, nil
}

// admit registers a run before it starts, so that Close waits for it.
func (e *Engine) admit(r *run) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	if e.runs[r.launch.ID] != nil {
		return fmt.Errorf("instance %s runs already", r.launch.ID)
	}
	e.runs[r.launch.ID] = r
	return nil
}

// hold makes r the owner of a container; false when it has another one already.
func (e *Engine) hold(id string, r *run) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if holder := e.holders[id]; holder != nil && holder != r || e.doomed[id] != nil {
		return false
	}
	e.holders[id] = r
	return true
}

func (e *Engine) forget(r *run) {
	e.mu.Lock()
	delete(e.runs, r.launch.ID)
	for id, holder := range e.holders {
		if holder == r {
			delete(e.holders, id)
		}
	}
	e.mu.Unlock()
	r.endOnce.Do(func() { r.cancel(); close(r.gone) })
}

func (e *Engine) find(id engine.InstanceID) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

// ofWorker is a run of the worker that has a container; nil: there is none.
func (e *Engine) ofWorker(worker string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.holders {
		if r.launch.Worker == worker {
			return r
		}
	}
	return nil
}

func (e *Engine) holder(container string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.holders[container]
}

// short is a container's id as docker ps shows it.
func short(id string) string { return id[:min(12, len(id))] }
