package docker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

const (
	// silence is how long a container may run without listening before a user is
	// told where bulsa looks for it.
	silence = 10 * time.Second
	// outputGrace is how long the end of a dead container's output may take.
	outputGrace = time.Second
)

// run is one run of a worker in a container.
type run struct {
	engine  *Engine
	launch  engine.Launch
	ctx     context.Context // ends with the run
	cancel  context.CancelFunc
	gone    chan struct{} // closed after the run is over
	endOnce sync.Once

	mu        sync.Mutex // held while the container is looked at
	seen      engine.Instance
	container string // id; empty: not created yet
	started   string // Docker's StartedAt: another one is another run
	glance    string // of the last look
	paused    bool
	stopping  bool // bulsa asked it to end: the container is removed afterwards
	sent      int  // signals that bulsa sent and whose events have not come
	foreign   string
	over      bool
	health    engine.Health
	lines     map[engine.Port]*line
	output    *output
	settled   bool
}

// line is one address that is waited for or in use.
type line struct {
	address string
	cancel  context.CancelFunc
	open    bool
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
	found, err := r.takeOver(ctx, conn)
	if err != nil {
		return err
	}
	if found.id == "" {
		if found.id, err = r.create(ctx, conn); err != nil {
			return err
		}
	}
	since := time.Time{} // of the output
	if !found.running {
		if !found.fresh() {
			since = time.Now()
		}
		if _, err := conn.ContainerStart(ctx, found.id, client.ContainerStartOptions{}); err != nil {
			if !isAway(err) {
				r.discard(conn, found.id)
			}
			return r.explainStart(err)
		}
	}
	return r.attach(ctx, conn, found, since)
}

// beginLate starts the container once the engine is back.
func (r *run) beginLate(err error) {
	r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("%v; the start waits for it", err)})
	for isAway(err) {
		select {
		case <-r.engine.awaitBack():
		case <-time.After(retryEvery):
		case <-r.ctx.Done():
			return
		}
		err = r.begin(r.ctx)
	}
	if err != nil {
		r.finish(engine.Exit{Code: -1, Cause: err.Error()})
		return
	}
	r.emit(engine.Fact{Kind: engine.Renewed, Renewed: r.instance()})
}

// candidate is a container that a run can use.
type candidate struct {
	id      string
	running bool // since an earlier run of bulsa, or because somebody started it
	exited  bool
}

// fresh reports whether the container never ran.
func (c candidate) fresh() bool { return !c.running && !c.exited }

// takeOver looks for a container of this worker and release that nobody holds,
// and retires the worker's other leftovers.
func (r *run) takeOver(ctx context.Context, conn *connection) (candidate, error) {
	filters := ofProject(r.engine.cfg.Project).Add("label", labelWorker+"="+r.launch.Worker)
	list, err := conn.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return candidate{}, fmt.Errorf("cannot list containers: %w", err)
	}
	best := candidate{}
	for _, pass := range []container.ContainerState{container.StateRunning, container.StatePaused, container.StateExited} {
		for _, c := range list.Items {
			if best.id == "" && c.State == pass && c.Labels[labelRelease] == r.launch.Release.Digest && r.hold(c.ID) {
				best = candidate{id: c.ID, running: pass != container.StateExited, exited: pass == container.StateExited}
			}
		}
	}
	for _, c := range list.Items {
		if c.ID != best.id && r.engine.claim(c.ID) {
			r.engine.work.Go(func() { r.engine.retire(conn, c.ID) })
		}
	}
	return best, nil
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

// discard gives a container up and removes it.
func (r *run) discard(conn *connection, id string) {
	e := r.engine
	e.mu.Lock()
	delete(e.holders, id)
	e.doomed[id] = true
	e.mu.Unlock()
	r.mu.Lock()
	r.container = ""
	r.mu.Unlock()
	e.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		e.remove(ctx, conn, id)
	})
}

// create makes a container with all that belongs to it, and does not start it.
func (r *run) create(ctx context.Context, conn *connection) (string, error) {
	s := r.launch.Release.Service
	r.engine.making.Lock()
	err := conn.ensure(ctx, r.engine.cfg.Project, s)
	r.engine.making.Unlock()
	if err != nil {
		return "", err
	}
	b := blueprint{project: r.engine.cfg.Project, launch: r.launch, loopback: conn.loopback, api: conn.ClientVersion()}
	options, err := b.options()
	if err != nil {
		return "", err
	}
	if s.Container.Healthcheck.StartInterval != 0 && (options.Config.Healthcheck == nil || options.Config.Healthcheck.StartInterval == 0) {
		r.emit(engine.Fact{Kind: engine.Notice, Message: "healthcheck.start_interval has no effect: this Docker is older than 25"})
	}
	if named, err := conn.ImageInspect(ctx, s.Container.Image); err == nil && named.ID == options.Config.Image {
		options.Config.Image = s.Container.Image // docker ps shows what a container was created from
	}
	id, err := createNamed(ctx, conn, options, b.name())
	if err != nil {
		return "", explainCreate(s, err)
	}
	r.hold(id)
	if err := r.furnish(ctx, conn, b, id); err != nil {
		r.discard(conn, id)
		return "", err
	}
	return id, nil
}

// createNamed gives the container its name; while another one still has it, as
// the one that it replaces does, with a few letters more.
func createNamed(ctx context.Context, conn *connection, options client.ContainerCreateOptions, name string) (string, error) {
	options.Name = name
	for {
		made, err := conn.ContainerCreate(ctx, options)
		if err == nil {
			return made.ID, nil
		}
		if !errdefs.IsConflict(err) || ctx.Err() != nil {
			return "", err
		}
		options.Name = fmt.Sprintf("%s-%04x", name, rand.N(1<<16))
	}
}

// furnish joins the other networks and writes the files that are not mounted.
func (r *run) furnish(ctx context.Context, conn *connection, b blueprint, id string) error {
	c := r.launch.Release.Service.Container
	for i, n := range c.Network.Networks {
		if i == 0 {
			continue
		}
		e, err := b.endpoint(n)
		if err != nil {
			return err
		}
		if _, err := conn.NetworkConnect(ctx, n.Name, client.NetworkConnectOptions{Container: id, EndpointConfig: e}); err != nil {
			return fmt.Errorf("cannot join network %s: %w", n.Name, err)
		}
	}
	if len(c.Files) == 0 {
		return nil
	}
	content, err := packFiles(c.Files)
	if err != nil {
		return err
	}
	if _, err := conn.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: "/", Content: content}); err != nil {
		return fmt.Errorf("cannot write secrets and configs: %w", err)
	}
	return nil
}

func explainCreate(s spec.Service, err error) error {
	if errdefs.IsNotFound(err) && strings.Contains(err.Error(), "No such image") {
		how := "pull it, as bulsa up does"
		if s.Container.Build != nil {
			how = "bulsa up --build makes it again"
		}
		return fmt.Errorf("the image %s is gone: %s", s.Container.Image, how)
	}
	return fmt.Errorf("cannot create a container: %w", plain(err))
}

// plain is Docker's error without what only its developers need.
func plain(err error) error {
	if isAway(err) {
		return err
	}
	text := strings.TrimSpace(strings.TrimPrefix(err.Error(), "Error response from daemon: "))
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	if strings.Contains(text, "no space left on device") {
		text += " (free some, as with docker system prune)"
	}
	return errors.New(text)
}

// explainStart says what is wrong with a container that does not start.
func (r *run) explainStart(err error) error {
	if isAway(err) {
		return err
	}
	missing := regexp.MustCompile(`exec: \\?"([^"\\]+)\\?": (executable file not found|stat [^:]+: no such file)`).FindStringSubmatch(err.Error())
	if missing != nil {
		return fmt.Errorf("command not found: %s: it is not in the image %s", missing[1], r.launch.Release.Service.Container.Image)
	}
	return fmt.Errorf("Docker cannot start its container: %w", plain(err))
}

// attach begins to follow the container of the run.
func (r *run) attach(ctx context.Context, conn *connection, found candidate, since time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := conn.ContainerInspect(ctx, found.id, client.ContainerInspectOptions{})
	if err != nil {
		return fmt.Errorf("cannot look at container %s: %w", short(found.id), err)
	}
	r.started = c.Container.State.StartedAt
	r.seen.Ref, r.seen.PID = short(found.id), r.visiblePID(conn, c.Container.State.Pid)
	if at, err := time.Parse(time.RFC3339Nano, r.started); err == nil && found.running {
		r.seen.Started = at
		since = r.lastLine(at)
	}
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
	r.foreign = unix.SignalName(unix.Signal(n))
}

// look asks Docker how the container is. The exit code is that of an event that
// told of its end; it may be running again by now.
func (r *run) look(ctx context.Context, conn *connection, exitCode string) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.started == "" {
		return // attach looks by itself
	}
	c, err := conn.ContainerInspect(ctx, r.container, client.ContainerInspectOptions{})
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

// update compares the container with what was told of it. r.mu is held.
func (r *run) update(conn *connection, c container.InspectResponse) {
	if h, checked := healthOf(c.State); checked && !sameHealth(h, r.health) && c.State.Running {
		r.health = h
		r.send(engine.Fact{Kind: engine.Checked, Health: h})
	}
	switch {
	case !c.State.Running && !c.State.Restarting:
		r.ended(exitOf(c.State))
	case c.State.Paused:
		if !r.paused {
			r.paused = true
			r.closeLines()
			r.send(engine.Fact{Kind: engine.Notice, Message: "its container is paused: it takes no requests until docker unpause"})
		}
	default:
		if r.paused {
			r.paused = false
			r.send(engine.Fact{Kind: engine.Notice, Message: "its container goes on"})
		}
		r.openLines(conn, c)
	}
}

// openLines waits for the ports that are not in use yet, and for those whose
// address has changed. r.mu is held.
func (r *run) openLines(conn *connection, c container.InspectResponse) {
	s := r.launch.Release.Service
	wanted := targets(s, exposedPorts(c))
	if len(wanted) == 0 {
		r.settle()
		return
	}
	for _, t := range wanted {
		where := address(c, s, t.number, conn.loopback)
		known := r.lines[t.key]
		if where == "" || known != nil && known.address == where {
			continue
		}
		if known != nil {
			r.closeLine(t.key)
			r.send(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("its address changed from %s to %s", known.address, where)})
		}
		ctx, cancel := context.WithCancel(r.ctx)
		l := &line{address: where, cancel: cancel}
		r.lines[t.key] = l
		r.engine.work.Go(func() { r.awaitLine(ctx, t, l, c.HostConfig.NetworkMode.IsHost(), conn.loopback) })
	}
}

// settle tells once that there is no port to wait for.
func (r *run) settle() {
	if r.settled {
		return
	}
	r.settled = true
	s := r.launch.Release.Service
	if s.Health.HTTP != "" || s.Health.TCP {
		r.send(engine.Fact{Kind: engine.Unusable, Message: "x-bulsa.probe has no port to look at: add expose, or ports"})
		return
	}
	r.send(engine.Fact{Kind: engine.Settled})
}

// awaitLine tells when the container takes connections at an address.
func (r *run) awaitLine(ctx context.Context, t target, l *line, fixed, relayed bool) {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	c := connector{address: l.address, relayed: relayed}
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if c.answers(ctx) {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("nothing listens at %s yet: does the app listen on port %d, and on 0.0.0.0 instead of 127.0.0.1?", l.address, t.number)})
		case <-time.After(pause):
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	l.open = true
	r.send(engine.Fact{Kind: engine.Listening, Port: t.key, Address: l.address, Connector: c, FixedPort: fixed})
}

// closeLines takes all addresses out of use. r.mu is held.
func (r *run) closeLines() {
	for key := range r.lines {
		r.closeLine(key)
	}
}

func (r *run) closeLine(key engine.Port) {
	l := r.lines[key]
	delete(r.lines, key)
	l.cancel()
	if l.open {
		r.send(engine.Fact{Kind: engine.Closed, Port: key})
	}
}

// ended ends the run beside the caller, who holds r.mu.
func (r *run) ended(x engine.Exit) {
	if r.over {
		return
	}
	if r.foreign != "" && !r.stopping {
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
	r.mu.Lock()
	id, remove := r.container, r.stopping
	r.mu.Unlock()
	e := r.engine
	e.mu.Lock()
	remove = (remove || e.closed) && id != ""
	conn := e.conn
	if remove {
		e.doomed[id] = true
	}
	e.mu.Unlock()
	e.forget(r)
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

func (r *run) signal(ctx context.Context, name string) error {
	number := unix.SignalNum(name)
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
	return ended(err)
}

// ended turns Docker's refusal to signal what does not run into the contract's.
func ended(err error) error {
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
		return ended(err)
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

// abandon marks the run as one that is asked to end, and ends it if it has no
// container yet.
func (r *run) abandon() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
	if r.container != "" {
		return false
	}
	r.ended(engine.Exit{Code: -1, Cause: "asked to end before it started"})
	return true
}

// kill sends SIGKILL beside the caller: Docker answers when the container is dead.
func (r *run) kill() error {
	if r.abandon() {
		return nil
	}
	conn, id, err := r.reach(r.ctx)
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
		if _, err := conn.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "SIGKILL"}); ended(err) != nil && !errors.Is(ended(err), engine.ErrNoInstance) {
			r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("cannot kill its container: %v", plain(err))})
		}
	})
	return nil
}

// connector opens connections to an address of a container.
type connector struct {
	address string
	relayed bool // Docker's own proxy listens there, whether the app does or not
}

func (c connector) Connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.address)
}

// relayPatience is how long Docker's proxy may take to find that nobody listens.
const relayPatience = 100 * time.Millisecond

// answers reports whether the app takes connections. Docker's proxy hangs up at
// once where it does not.
func (c connector) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := c.Connect(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	if !c.relayed {
		return true
	}
	if err := conn.SetReadDeadline(time.Now().Add(relayPatience)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return err == nil || errors.Is(err, os.ErrDeadlineExceeded)
}
