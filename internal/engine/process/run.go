package process

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/logs"
	"bulsa/internal/node"
	"bulsa/internal/node/inspector"

	"bulsa/internal/upstream"
)

const (
	// instanceMark and masterMark are how processes that left a worker's session are found.
	instanceMark = "BULSA_INSTANCE="
	masterMark   = "BULSA_MASTER_ID="

	// outputGrace is how long the end of a dead worker's output may take. Only a
	// process that got rid of its environment and session can hold it up.
	outputGrace = 250 * time.Millisecond
	// killPatience is how long processes may survive SIGKILL (in an uninterruptible
	// system call) before the run counts as ended without them.
	killPatience = 5 * time.Second
	// signalHeadStart is how long before the disconnect the stop signal comes.
	signalHeadStart = 100 * time.Millisecond
	// stopSlack lets the supervisor's own kill at the end of the grace come first.
	stopSlack = time.Second
)

// run is one run of a worker.
type run struct {
	engine   *Engine
	launch   engine.Launch
	plan     *plan
	instance engine.Instance // guarded by engine.mu

	env      []string         // the worker's surroundings, without what only Node's start needs
	port     int              // PORT as bulsa set it, which only this run has; 0: it did not
	told     int              // what Node programs are told in its place: where the world reaches them; 0: that
	listener *privateListener // offered as LISTEN_FDS; nil: none
	child    *child           // set under mu
	began    time.Time        // just before it was executed
	stdin    *os.File         // nil, or what keeps its standard input open
	pipes    []*os.File       // read ends of stdout and stderr
	stderr   *inspector.Quiet // the second of them
	flushed  []func()         // wait for the logs to have read them
	looking  chan struct{}    // holds one: who looks into it

	stopping chan struct{} // closed when it is asked to end

	ctx      context.Context // ends when the leader has ended
	cancel   context.CancelFunc
	helpers  sync.WaitGroup // watch and commands
	cluster  *cluster       // of the service; nil: the worker cannot join
	nodeID   int            // cluster.worker.id
	gate     *node.Gate     // nil: no process can join
	stranger string         // the folder of bulsa's that its user cannot enter; "": none
	socket   string         // mode listen: path of its own socket

	mu        sync.Mutex
	over      bool // reaped: the number is no longer ours, no fact follows
	killed    bool
	stopped   time.Time                          // when it was asked to end
	members   []*line                            // its Node processes that have joined
	joined    int                                // how many have
	app       *line                              // of them, the first that asked to listen; nil: none has
	loop      *eventLoop                         // nil: it is not watched
	lines     map[engine.Port]upstream.Connector // connectors of what it listens on
	asked     bool                               // it asked to listen
	serving   bool                               // it was said to listen, or to need no port
	online    bool
	voluntary bool
	refusal   string // why the last port it asked for was refused
}

func newRun(e *Engine, l engine.Launch, p *plan) *run {
	r := &run{engine: e, launch: l, plan: p, lines: map[engine.Port]upstream.Connector{}, stopping: make(chan struct{}), looking: make(chan struct{}, 1)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// start prepares the worker's surroundings and executes it.
func (r *run) start() error {
	r.meetUser()
	if err := r.choosePort(); err != nil {
		r.release()
		return err
	}
	r.env = unique(r.plan.env, r.standardEnv())
	how, conn, err := r.prepare()
	if err != nil {
		r.release()
		return err
	}
	defer closeFDs(how.FDs)
	before := listeners()
	r.began = time.Now()
	if err := r.spawn(how); err != nil {
		if conn != nil {
			conn.Close()
		}
		r.release()
		return err
	}
	r.engine.started(r, engine.Instance{
		ID: r.launch.ID, Worker: r.launch.Worker, PID: r.child.pid,
		Ref: strconv.Itoa(r.child.pid), Started: time.Now(),
	})
	r.attach(conn)
	r.admit()
	r.tellStranger()
	r.watch(before)
	return nil
}

// release gives back what a run that did not start had taken.
func (r *run) release() {
	r.cancel()
	if r.gate != nil {
		r.gate.Close()
	}
	r.listener.close()
	r.stdin.Close() // nil is no file, and an error that says so
	for _, p := range r.pipes {
		p.Close()
	}
}

// standardEnv is what every worker gets on top of its service's environment.
func (r *run) standardEnv() []string {
	env := []string{
		"BULSA_SERVICE=" + r.plan.service.Name,
		"BULSA_WORKER=" + strconv.Itoa(r.launch.Number),
		"NODE_APP_INSTANCE=" + strconv.Itoa(r.launch.Number-1),
		instanceMark + string(r.launch.ID),
		masterMark + r.engine.cfg.MasterID,
	}
	if r.port != 0 {
		env = append(env, "PORT="+strconv.Itoa(r.port))
	}
	return env
}

// choosePort decides what PORT says, and opens the socket for LISTEN_FDS. Every
// run has a port of its own. Node programs are told the one that the world reaches
// them at, because bulsa listens for them.
func (r *run) choosePort() error {
	ports := r.plan.service.Ports
	if len(ports) == 0 {
		return nil
	}
	var err error
	if _, chosen := variable(r.plan.env, "PORT"); !chosen {
		if r.port, err = r.engine.ports.pick(time.Now()); err != nil {
			return err
		}
		if r.joins() {
			r.told = toldPort(ports)
		}
	}
	if watchable && r.plan.command.Kind == node.KindOther {
		r.listener, err = newPrivateListener()
	}
	return err
}

// prepare makes the command line, for a Node worker with its end of the channel.
func (r *run) prepare() (node.Start, *net.UnixConn, error) {
	c := r.plan.command
	if !r.joins() {
		return node.Start{Args: c.Args, Dir: c.Dir}, nil, nil
	}
	return r.prepareNode()
}

// spawn executes the prepared command with its output captured.
func (r *run) spawn(how node.Start) error {
	path := r.plan.path
	args := how.Args
	if args[0] != r.plan.command.Args[0] {
		var err error
		if path, err = lookPath(args[0], how.Dir, r.env); err != nil {
			return err
		}
	}
	env := unique(r.env, how.Env)
	if r.listener != nil {
		env = unique(env, []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=bulsa"})
		shim := r.engine.cfg.Shim
		args = append(append(append([]string{}, shim...), path), args...)
		path = shim[0]
	}
	files, opened, err := r.files(how)
	defer closeAll(opened)
	if err != nil {
		return err
	}
	started, err := r.engine.children.start(spawn{
		kind: worker, path: path, args: args, dir: how.Dir, env: env, files: files, credential: r.plan.credential,
	})
	if err != nil {
		return fmt.Errorf("cannot execute %s: %w", path, err)
	}
	r.mu.Lock()
	r.child = started
	r.mu.Unlock()
	r.capture()
	return nil
}

// files lists the child's descriptors by number, and the files that this side
// closes once the child has them.
func (r *run) files(how node.Start) (numbers []uintptr, opened []*os.File, err error) {
	input, err := r.standardInput()
	if err != nil {
		return nil, nil, err
	}
	opened = append(opened, input)
	numbers = []uintptr{input.Fd()}
	for range 2 {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, opened, err
		}
		r.pipes = append(r.pipes, read)
		opened = append(opened, write)
		numbers = append(numbers, write.Fd())
	}
	set := func(n int, f *os.File) {
		for len(numbers) <= n {
			numbers = append(numbers, none)
		}
		numbers[n] = f.Fd()
	}
	if r.listener != nil {
		set(3, r.listener.file)
	}
	for n, f := range how.FDs {
		set(n, f)
	}
	return numbers, opened, nil
}

// standardInput is at its end, or never comes to one: many programs end with it.
func (r *run) standardInput() (*os.File, error) {
	if !r.plan.service.Command.StdinOpen {
		return os.Open(os.DevNull)
	}
	read, write, err := os.Pipe()
	r.stdin = write
	return read, err
}

func closeFDs(files map[int]*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// capture hands the worker's output to the logs, or drops it.
func (r *run) capture() {
	limits := logs.Limits{MaxSize: r.plan.service.Logs.MaxSize, MaxFiles: r.plan.service.Logs.MaxFiles}
	r.stderr = inspector.NewQuiet(r.pipes[1])
	for i, stream := range []string{"stdout", "stderr"} {
		var output io.ReadCloser = r.pipes[0]
		if i == 1 {
			output = r.stderr
		}
		if r.engine.cfg.Logs == nil {
			r.flushed = append(r.flushed, drop(output))
			continue
		}
		r.flushed = append(r.flushed, r.engine.cfg.Logs.Capture(r.launch.Worker, stream, limits, output))
	}
}

func drop(f io.ReadCloser) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer f.Close()
		b := make([]byte, 4096)
		for {
			if _, err := f.Read(b); err != nil {
				return
			}
		}
	}()
	return func() { <-done }
}

// live waits for the end of the run and tells it.
func (r *run) live() {
	oomBefore := oomKills()
	r.child.awaitExit()
	r.cancel()
	r.clean()
	r.closeChannels()
	r.helpers.Wait()
	status := r.reap()
	r.listener.close()
	r.stdin.Close() // nil is no file, and an error that says so
	r.flush()
	exit := r.exit(status, oomBefore)
	r.engine.forget(r)
	r.engine.facts.Send(engine.Fact{Kind: engine.Exited, Instance: r.launch.ID, At: time.Now(), Exit: exit})
}

// clean returns when nothing of the run is left but the zombie of its leader.
// What was asked to end may go on until its grace is over; else it is killed.
// What has left the group is asked when the leader, who may end it itself, is gone.
func (r *run) clean() {
	var killing time.Time
	var victims []processInfo
	defer func() { r.engine.children.collect(victims) }()
	pause := time.Millisecond
	for {
		now := time.Now()
		kill := r.mustKill(now)
		if kill {
			_ = r.child.signalGroup(syscall.SIGKILL) // what it does not reach is in the table
		}
		left := r.engine.left(r)
		if len(left) == 0 && !slices.ContainsFunc(victims, processInfo.alive) {
			return
		}
		if !kill {
			victims = append(victims, r.ask(left, victims)...)
		} else {
			for _, p := range left {
				_ = signalProcess(p, syscall.SIGKILL) // the next look at the table tells whether it worked
			}
			victims = append(victims, left...)
			if killing.IsZero() {
				killing, pause = now, time.Millisecond
			}
			if now.Sub(killing) > killPatience {
				r.engine.log.Warn(fmt.Sprintf("%s: %d processes survive SIGKILL", r.launch.Worker, len(left)))
				return
			}
		}
		time.Sleep(pause)
		pause = min(2*pause, 20*time.Millisecond)
	}
}

// ask sends the stop signal, once, to what has left the group that got it already.
// It returns those that were not among asked.
func (r *run) ask(left, asked []processInfo) (more []processInfo) {
	for _, p := range left {
		if p.group == r.child.pid || slices.ContainsFunc(asked, p.same) {
			continue
		}
		_ = signalProcess(p, r.plan.stop) // it may have ended, which is as good
		more = append(more, p)
	}
	return more
}

func (r *run) mustKill(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.killed || r.stopped.IsZero() || now.After(r.stopped.Add(r.plan.service.Stop.Grace+stopSlack))
}

func (r *run) reap() syscall.WaitStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	status, _ := r.engine.children.reap(r.child)
	return status
}

// flush waits until the logs have all output.
func (r *run) flush() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, wait := range r.flushed {
			wait()
		}
	}()
	select {
	case <-done:
	case <-time.After(outputGrace):
		for _, p := range r.pipes {
			p.Close()
		}
		<-done
	}
}

// emit sends a fact while the run is not over.
func (r *run) emit(f engine.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	r.serving = r.serving || f.Kind == engine.Listening || f.Kind == engine.Settled
	switch f.Kind {
	case engine.Listening:
		r.lines[f.Port] = f.Connector
	case engine.Closed:
		delete(r.lines, f.Port)
	}
	f.Instance, f.At = r.launch.ID, time.Now()
	r.engine.facts.Send(f)
}

func (r *run) signal(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.child == nil {
		return engine.ErrNoInstance
	}
	return r.child.signalGroup(sig)
}

// stop sends the signal; a member of the cluster is disconnected a little later.
func (r *run) stop(now time.Time) error {
	r.mu.Lock()
	if r.stopped.IsZero() {
		r.stopped = now
		close(r.stopping)
	}
	r.mu.Unlock()
	return r.signal(r.plan.stop)
}

// kill ends the group now; what escaped from it follows when the leader has ended.
func (r *run) kill() {
	r.mu.Lock()
	r.killed = true
	r.mu.Unlock()
	_ = r.signal(syscall.SIGKILL) // it has ended already, which is as good
}
