// Package process is the engine that runs workers as operating-system processes.
//
// A worker is a session of its own. Its run is over, and Exited is sent, only
// when nothing of that session is left and nothing that left the session for
// one of its own (bulsa is the child subreaper and knows its descendants by
// their BULSA_INSTANCE). There should be one Engine per program: what dies
// without a parent comes to the program, and the engine reaps it.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/logs"
	"bulsa/internal/node"
	"bulsa/internal/node/libuv"
	"bulsa/internal/relay"
	"bulsa/internal/shim"
	"bulsa/internal/spec"
	"bulsa/internal/tcpdiag"
)

// closeGrace is how long Close waits for killed workers and for the reader of facts.
const closeGrace = 10 * time.Second

var errClosed = errors.New("bulsa is closing: no worker is started any more")

// Config is what an Engine needs.
type Config struct {
	Project    string
	RuntimeDir string         // exists, mode 0700: private sockets, the preload, the state file
	Sockets    engine.Sockets // opens what Node workers ask to listen on
	Logs       *logs.Store    // nil: output is dropped
	Logger     *slog.Logger   // nil: silent
	MasterID   string         // uuid that tells this bulsa from others; MASTER_ID questions are answered with it
	Shim       []string       // argv prefix that leads to shim.Exec; nil: this program
	CacheDir   string         // where layouts of Node binaries are kept; "": in memory alone
	Guard      []string       // argv prefix that leads to Guard; nil: nobody ends what workers leave when bulsa is killed, until the next one starts
}

// Engine runs workers as processes. Make one with New.
type Engine struct {
	cfg      Config
	log      *slog.Logger
	facts    *engine.Stream
	children *children
	table    *processTable
	state    *stateFile
	guard    *guard // nil: none
	ports    portPicker
	oom      oomCounter
	catalog  *libuv.Catalog
	unread   tcpdiag.Closed // of the workers' TCP connections
	watching sync.Once      // for unread

	ctx     context.Context // ends when Close begins
	cancel  context.CancelFunc
	working sync.WaitGroup // runs and commands
	helpers sync.WaitGroup // reaper and state writer

	mu      sync.Mutex
	closed  bool
	runs    map[engine.InstanceID]*run
	plans   map[string]*plan
	cluster map[string]*cluster // by service
	preload string              // path, once it is written

	gates      atomic.Int64 // opened so far
	commands   atomic.Int32 // in flight
	executions map[*execution]struct{}
	doors      map[int]*door // by port
}

var _ engine.Engine = (*Engine)(nil)

// New makes an engine, raises the limit of open files, and kills what a killed
// bulsa with the same runtime folder has left running.
func New(c Config) (*Engine, error) {
	if c.Shim == nil {
		c.Shim = []string{"/proc/self/exe", shim.ExecArgument}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := raiseFileLimit(); err != nil {
		c.Logger.Warn("cannot raise the limit of open files", "error", err)
	}
	closeOnExec()
	if err := becomeSubreaper(); err != nil {
		c.Logger.Warn("cannot adopt orphans of workers", "error", err)
	}
	state, err := openState(c.RuntimeDir, c.MasterID)
	if err != nil {
		return nil, fmt.Errorf("cannot start the process engine: %w", err)
	}
	e := &Engine{
		cfg: c, log: c.Logger, facts: engine.NewStream(), state: state,
		children: newChildren(), table: &processTable{}, catalog: libuv.NewCatalog(c.CacheDir),
		runs: map[engine.InstanceID]*run{}, plans: map[string]*plan{}, cluster: map[string]*cluster{},
		executions: map[*execution]struct{}{}, doors: map[int]*door{},
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.killLeftovers()
	removeGates(c.RuntimeDir)
	if len(c.Guard) > 0 {
		if e.guard, err = startGuard(c.Guard, c.MasterID); err != nil {
			c.Logger.Warn("cannot start the guard; what workers leave when bulsa is killed stays until its next start", "error", err)
		}
	}
	e.helpers.Go(func() { e.state.keep(e.ctx, e.log) })
	e.helpers.Go(func() { e.reapOrphans(e.ctx) })
	return e, nil
}

// Properties of the engine: two runs of a worker never share a port, because
// each gets its own.
func (e *Engine) Properties() engine.Properties {
	return engine.Properties{Isolated: true, HasOutput: true}
}

// Start launches one worker; see engine.Engine.
func (e *Engine) Start(ctx context.Context, l engine.Launch) (engine.Instance, error) {
	if err := ctx.Err(); err != nil {
		return engine.Instance{}, err
	}
	p, err := e.plan(l.Release)
	if err != nil {
		return engine.Instance{}, fmt.Errorf("cannot start %s: %w", l.Worker, err)
	}
	r := newRun(e, l, p)
	if err := e.admit(r); err != nil {
		return engine.Instance{}, fmt.Errorf("cannot start %s: %w", l.Worker, err)
	}
	if err := r.start(); err != nil {
		e.forget(r)
		e.working.Done()
		if errors.Is(err, syscall.ENOENT) {
			e.dropPlan(l.Release) // the executable may have moved since it was looked up
		}
		return engine.Instance{}, fmt.Errorf("cannot start %s: %w", l.Worker, err)
	}
	go func() {
		defer e.working.Done()
		r.live()
	}()
	return r.instance, nil
}

// Signal sends a signal to every process of the worker's group.
func (e *Engine) Signal(_ context.Context, id engine.InstanceID, signal string) error {
	sig := engine.SignalNumber(signal)
	if sig == 0 {
		return fmt.Errorf("cannot signal %s: unknown signal %q (use a name as SIGTERM)", id, signal)
	}
	r := e.find(id)
	if r == nil {
		return engine.ErrNoInstance
	}
	return r.signal(sig)
}

// Stop asks the worker to end: the stop signal to the group, and the cluster's
// disconnect for a Node worker. A Node application without a handler for
// SIGTERM dies of it at once, as with `docker stop`; the proxy has drained it before.
func (e *Engine) Stop(_ context.Context, id engine.InstanceID) error {
	r := e.find(id)
	if r == nil {
		return engine.ErrNoInstance
	}
	return r.stop(time.Now())
}

// Kill ends all that is left of the worker.
func (e *Engine) Kill(_ context.Context, id engine.InstanceID) error {
	r := e.find(id)
	if r == nil {
		return engine.ErrNoInstance
	}
	r.kill()
	return nil
}

// List returns the running instances, sorted by ID.
func (e *Engine) List(context.Context) ([]engine.Instance, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]engine.Instance, 0, len(e.runs))
	for _, r := range e.runs {
		if r.instance.PID != 0 {
			list = append(list, r.instance)
		}
	}
	slices.SortFunc(list, func(a, b engine.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Facts is the stream of what happens to the workers.
func (e *Engine) Facts() <-chan engine.Fact { return e.facts.Facts() }

// Close kills all workers and commands and waits for them, at most for 10 seconds.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	left := make([]*run, 0, len(e.runs))
	for _, r := range e.runs {
		left = append(left, r)
	}
	e.mu.Unlock()
	for _, r := range left {
		r.kill()
	}
	e.cancel()
	if err := e.waitForAll(); err != nil {
		return err // what still lives may still need the rest
	}
	e.helpers.Wait()
	e.guard.dismiss()
	e.children.close()
	e.state.discard()
	e.facts.Close(closeGrace)
	return nil
}

func (e *Engine) waitForAll() error {
	done := make(chan struct{})
	go func() {
		e.working.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(closeGrace):
		return fmt.Errorf("workers are still alive %s after they were killed", closeGrace)
	}
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
	e.working.Add(1)
	return nil
}

// started makes the run visible to List and to Close.
func (e *Engine) started(r *run, instance engine.Instance) {
	e.mu.Lock()
	r.instance = instance
	closed := e.closed
	e.mu.Unlock()
	e.state.add(instance)
	if closed {
		r.kill()
	}
}

func (e *Engine) forget(r *run) {
	e.mu.Lock()
	delete(e.runs, r.launch.ID)
	e.mu.Unlock()
	e.state.remove(r.launch.ID)
}

// find returns the run of an instance that exists, else nil.
func (e *Engine) find(id engine.InstanceID) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.runs[id]
	if r == nil || r.instance.PID == 0 {
		return nil
	}
	return r
}

// cluster is one service's side of Node's cluster protocol.
type cluster struct {
	primary *node.Primary
	relay   *relay.Hub
	lastID  int         // cluster.worker.id given last; never used twice
	old     atomic.Bool // it was said that its Node is too old for the preload
	asks    atomic.Bool // a worker has asked for a port: the others will, however slowly they boot
}

// join gives the service's side of the protocol and a new worker id.
func (e *Engine) join(sv spec.Service) (*cluster, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.cluster[sv.Name]
	if c == nil {
		c = &cluster{primary: node.NewPrimary(e.cfg.MasterID), relay: relay.New()}
		e.cluster[sv.Name] = c
	}
	c.relay.Only(sv.Relay)
	c.lastID++
	return c, c.lastID
}

// Metrics are those of a service's application, which its workers keep.
func (e *Engine) Metrics(ctx context.Context, service string) []relay.Family {
	e.mu.Lock()
	c := e.cluster[service]
	e.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.relay.Metrics(ctx)
}

// Unread are the messages to their primary of a service's workers that nobody reads.
func (e *Engine) Unread(service string) []relay.Unread {
	e.mu.Lock()
	c := e.cluster[service]
	e.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.relay.Unread()
}

// preloadPath writes the preload for Node once and returns its path.
func (e *Engine) preloadPath() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.preload != "" {
		return e.preload, nil
	}
	path, err := node.WritePreload(e.cfg.RuntimeDir)
	if err != nil {
		return "", fmt.Errorf("cannot write the preload for Node: %w", err)
	}
	e.preload = path
	return path, nil
}

// raiseFileLimit lifts the soft limit of open files to the hard one. Calling
// syscall.Setrlimit also makes Go give children that limit, not the one it
// found at its own start (os.rlimit in Go's syscall package).
func raiseFileLimit() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = l.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}

// loopback says where to reach a program that listens on ip.
func loopback(ip net.IP, port int) string {
	switch {
	case ip == nil || ip.Equal(net.IPv4zero):
		ip = net.IPv4(127, 0, 0, 1)
	case ip.Equal(net.IPv6unspecified):
		ip = net.IPv6loopback
	}
	return net.JoinHostPort(ip.String(), fmt.Sprint(port))
}
