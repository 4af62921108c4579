// Package daemon is the composition root: it builds every room, runs one
// project in the foreground of its process, and takes it down again.
package daemon

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"bulsa/internal/admin"
	"bulsa/internal/compose"
	"bulsa/internal/diagnose"
	"bulsa/internal/engine"
	"bulsa/internal/engine/docker"
	"bulsa/internal/engine/external"
	"bulsa/internal/engine/process"
	"bulsa/internal/logs"
	"bulsa/internal/ports"
	"bulsa/internal/proxy"
	"bulsa/internal/sample"
	"bulsa/internal/shim"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
	"bulsa/internal/view"
	"bulsa/internal/worker"
)

// Options is what one run of a project needs.
type Options struct {
	Project  spec.Project
	Warnings []spec.Warning
	Admin    string // address of the admin server, "" for the default, "off" for none
	Version  string
	Stdout   io.Writer // workers' output, each line with the worker's name in front; nil: none
	Stderr   io.Writer // what bulsa has to say
	OnReady  func()    // called once, when every service is ready
}

// drainAtExit is how long requests in flight may still take after the listeners are
// closed, before the workers are asked to end.
const drainAtExit = 30 * time.Second

// Guard is the process that ends what is left when bulsa is killed; see process.Guard.
func Guard(args []string) int { return process.Guard(args) }

// Daemon runs one project.
type Daemon struct {
	options    Options
	inside     Contained
	started    time.Time
	logger     *slog.Logger
	logs       *logs.Store
	events     *supervisor.Events
	supervisor *supervisor.Supervisor
	engines    map[spec.Engine]engine.Engine
	containers *docker.Engine
	server     *proxy.Server
	ports      *ports.Book
	admin      *admin.Server
	adminURL   string
	sampler    *sample.Sampler
	processes  *process.Engine
	examiner   *diagnose.Examiner
	console    *console
	down       chan struct{} // closed: asked to end
	downOnce   sync.Once
	hurried    context.Context // ended: whoever asked for the end wants no longer drain
	hurry      context.CancelFunc

	mu      sync.Mutex // guards project; held while a change is applied
	project spec.Project
}

// Run runs the project until ctx ends, a SIGINT or SIGTERM comes, `bulsa down`
// is called, or every service has completed. The first signal ends it
// gracefully, the second at once. A *spec.Problem means that the configuration
// cannot work and nothing was started.
func Run(ctx context.Context, o Options) error {
	if err := check(o.Project); err != nil {
		return err
	}
	TuneCollector()
	control, err := admin.ListenControl(o.Project.Name)
	if err != nil {
		return err
	}
	d, err := build(o)
	if err != nil {
		control.Close()
		return err
	}
	var keeping sync.WaitGroup
	defer keeping.Wait()
	kept, end := context.WithCancel(ctx)
	defer end()
	keeping.Go(func() { keepMemorySmall(kept) })
	return d.run(ctx, control)
}

// check finds what can be known to be wrong before anything is started.
func check(p spec.Project) error {
	for _, sv := range p.Services {
		if err := ports.CheckCertificates(p, sv); err != nil {
			return err
		}
		if sv.Engine != spec.EngineProcess {
			continue
		}
		if err := process.Check(sv); err != nil {
			return p.Placed(sv.Name, err)
		}
	}
	return nil
}

// Prepare makes sure that the images of p's containers are there: pulled, or
// built, again with rebuild. It shows the progress on out. The project that it
// returns is the one to run.
func Prepare(ctx context.Context, p spec.Project, rebuild bool, out io.Writer) (spec.Project, error) {
	return docker.Prepare(ctx, p, docker.Images{Build: rebuild, Out: out})
}

// singleCalls reads BULSA_IO_URING.
func singleCalls() (bool, error) {
	switch choice := os.Getenv("BULSA_IO_URING"); choice {
	case "", "on":
		return false, nil
	case "off":
		return true, nil
	default:
		return false, fmt.Errorf("BULSA_IO_URING is %q: write on or off, or leave it out", choice)
	}
}

// build makes the rooms, each on those before it.
func build(o Options) (*Daemon, error) {
	single, err := singleCalls()
	if err != nil {
		return nil, err
	}
	d := &Daemon{options: o, inside: Inside(), started: time.Now(), project: o.Project, down: make(chan struct{})}
	d.hurried, d.hurry = context.WithCancel(context.Background())
	stdout := o.Stdout
	if stdout != nil {
		stdout = &oneAtATime{out: stdout} // workers' lines and the access log's
	}
	d.console = newConsole(stdout, o.Stderr)
	d.logger = slog.New(d.console.handler())
	d.events = supervisor.NewEvents()
	if d.logs, err = logs.Open(logDir(o.Project.Name), d.tell); err != nil {
		return nil, fmt.Errorf("cannot keep logs: %w", err)
	}
	d.server = proxy.New(proxy.Config{Logger: d.logger, Version: o.Version, SingleCalls: single})
	pools := supervisor.NewPools()
	d.ports = ports.New(ports.Config{
		Server: d.server, Pools: pools, Notice: d.notice, Logger: d.logger, Stdout: d.accessOut(stdout), StateDir: stateDir(o.Project.Name),
	})
	if err := d.buildEngines(); err != nil {
		d.ports.Close()
		d.logs.Close()
		return nil, err
	}
	d.supervisor = supervisor.New(supervisor.Config{Project: o.Project.Name, Engines: d.engines, Pools: pools, Events: d.events})
	d.sampler = sample.New(d.server.Stats, d.logs.Volume)
	d.examiner = diagnose.New(diagnose.Config{
		Processes: d.processes, Dir: filepath.Join(logDir(o.Project.Name), "profiles"), Status: d.supervisor.Status, Stats: d.server.Stats,
		History: d.sampler.History, Window: sample.Kept * time.Second, Busy: d.sampler.MachineBusy, Cores: compose.CPUs,
	})
	d.supervisor.DiagnoseWith(d.examiner)
	token, err := admin.Token(o.Project.Name)
	if err != nil {
		d.close()
		return nil, err
	}
	d.admin = admin.New(admin.Config{Control: d, Version: o.Version, Token: token, Logger: d.logger})
	return d, nil
}

func (d *Daemon) buildEngines() error {
	guard := []string{"/proc/self/exe", shim.GuardArgument}
	if d.inside.First {
		guard = nil // the kernel ends all others with the first process
	}
	processes, err := process.New(process.Config{
		Project: d.options.Project.Name, RuntimeDir: runtimeDir(d.options.Project.Name),
		Sockets: d.ports, Logs: d.logs, Logger: d.logger, MasterID: newID(), CacheDir: cacheDir(),
		Guard: guard,
	})
	if err != nil {
		return fmt.Errorf("cannot run processes: %w", err)
	}
	d.containers = docker.New(docker.Config{Project: d.options.Project.Name, Logs: d.logs, Logger: d.logger,
		ReportDir: filepath.Join(runtimeDir(d.options.Project.Name), "inner")})
	d.processes = processes
	d.engines = map[spec.Engine]engine.Engine{
		spec.EngineProcess:  processes,
		spec.EngineExternal: external.New(),
		spec.EngineDocker:   d.containers,
	}
	return nil
}

// newID is a random UUID (RFC 9562, version 4): what Node workers know their
// primary by.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// accessOut is where access logs go that name no file: to standard output, and in the
// background, where nobody reads that, to a bounded file beside the workers' output.
func (d *Daemon) accessOut(stdout io.Writer) io.Writer {
	if stdout != nil {
		return stdout
	}
	return logs.NewJournal(d.accessFile(), logs.Limits{})
}

func (d *Daemon) accessFile() string {
	return filepath.Join(logDir(d.options.Project.Name), "access_log")
}

// accessLog is the file that a service's answers are logged to; "" for none, or standard output.
func (d *Daemon) accessLog(l spec.AccessLog) string {
	switch {
	case l.Format == "" || l.File == spec.StdoutLog && d.options.Stdout != nil:
		return ""
	case l.File == spec.StdoutLog:
		return d.accessFile()
	}
	return l.File
}

func (d *Daemon) notice(service, message string) {
	d.events.Emit(supervisor.Event{At: time.Now(), Service: service, Kind: "notice", Message: message})
}

// tell is a notice about one worker.
func (d *Daemon) tell(worker, message string) {
	d.events.Emit(supervisor.Event{At: time.Now(), Worker: worker, Kind: "notice", Message: message})
}

// run is the life of the project, from top to bottom.
func (d *Daemon) run(ctx context.Context, control net.Listener) error {
	defer d.logs.Close()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, d.inside.stopSignals()...)
	defer signal.Stop(signals)

	serving, stopServing := context.WithCancel(context.Background())
	defer stopServing()
	d.console.follow(serving, d.logs, d.supervisor)
	ended := d.keepEvents(serving)
	if err := d.begin(); err != nil {
		stopServing()
		ended(err.Error())
		d.close()
		control.Close()
		return err
	}
	go d.admin.ServeControl(control)
	go d.sampler.Run(serving, d.supervisor.Status, d.examiner.NameDeaf(d.tell))
	d.passOn(serving)
	d.reportOutside(serving)
	d.announce()
	go d.watchReady(serving)

	cause, outcome := d.wait(ctx, signals)
	if cut := d.end(signals); cut != nil && d.inside.First {
		outcome = cut
	}
	last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	d.admin.Shutdown(last)
	control.Close()
	stopServing()
	ended(cause)
	d.console.flush()
	return outcome
}

// begin opens the published ports and starts the services.
func (d *Daemon) begin() error {
	adminListener, err := d.openAdmin()
	if err != nil {
		return err
	}
	retire, err := d.ports.Publish(d.project)
	if err != nil {
		if adminListener != nil {
			adminListener.Close()
		}
		return err
	}
	if adminListener != nil {
		go d.admin.ServeTCP(adminListener)
	}
	d.containers.Keep(d.project)
	if _, err := d.supervisor.Apply(d.project); err != nil {
		return err
	}
	retire()
	return nil
}

// wait returns when the project shall end, and why: a nil error when somebody asked,
// another when every service ended by itself and one of them failed.
func (d *Daemon) wait(ctx context.Context, signals <-chan os.Signal) (cause string, err error) {
	for {
		changed := d.supervisor.Changed()
		if over, err := completed(d.supervisor.Status()); over {
			return "every service has ended", err
		}
		select {
		case <-ctx.Done():
			return "cancelled", nil
		case s := <-signals:
			d.console.say("%s", goodbye(s))
			forgetEcho(signals)
			return "signal: " + s.String(), nil
		case <-d.down:
			return "asked by bulsa down", nil
		case <-changed:
		}
	}
}

// completed reports whether nothing runs or will run again by itself.
func completed(st *supervisor.Status) (bool, error) {
	var failure error
	for _, sv := range st.Services {
		if sv.Stopped || sv.Waiting != "" || len(sv.Workers) < sv.Desired || sv.Desired == 0 {
			return false, nil
		}
		for _, w := range sv.Workers {
			final := w.State == worker.Failed && w.Next.IsZero() // no retry will come
			if final {
				failure = failed(w, "failed")
				continue
			}
			if !w.Finished {
				return false, nil
			}
			if w.Exit != nil && (w.Exit.Code != 0 || w.Exit.Signal != "") {
				failure = failed(w, "ended")
			}
		}
	}
	return len(st.Services) > 0, failure
}

// end stops the project: no new clients, requests in flight answered, workers
// ended in order. A second signal cuts all of it short, and is the error then.
func (d *Daemon) end(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	done, over := make(chan struct{}), make(chan error, 1)
	go func() {
		defer cancel()
		over <- d.awaitSecond(signals, done)
	}()
	drain, stop := context.WithTimeout(ctx, d.inside.Drain())
	context.AfterFunc(d.hurried, stop)
	if err := d.server.Shutdown(drain); err != nil {
		d.console.say("%s", err)
	}
	stop()
	d.supervisor.Shutdown(context.Background())
	close(done)
	d.close()
	return <-over
}

// close ends engines, loops and listeners; nothing of the project runs afterwards.
func (d *Daemon) close() {
	for name, e := range d.engines {
		if err := e.Close(); err != nil {
			d.logger.Error("cannot end an engine cleanly", "engine", name, "error", err)
		}
	}
	d.ports.Close()
	d.supervisor.Wait()
}

// openAdmin opens the admin server's TCP socket, unless it is off.
func (d *Daemon) openAdmin() (net.Listener, error) {
	if d.options.Admin == "off" {
		return nil, nil
	}
	l, err := admin.ListenAdmin(d.options.Admin)
	if err != nil {
		return nil, &spec.Problem{What: err.Error()}
	}
	d.adminURL = "http://" + l.Addr().String()
	return l, nil
}

// announce says in a few lines what runs and where.
func (d *Daemon) announce() {
	for _, sv := range d.project.Services {
		d.console.say("%s: %s", sv.Name, summary(sv, d.ports.List(sv.Name)))
	}
	if d.adminURL != "" {
		d.console.say("admin: %s", d.adminURL)
	}
}

// watchReady calls OnReady once every service is ready.
func (d *Daemon) watchReady(ctx context.Context) {
	settling := time.NewTicker(view.SettleTime / 4)
	defer settling.Stop()
	for {
		changed := d.supervisor.Changed()
		if view.Ready(d.supervisor.Status(), time.Now()) {
			d.console.say("ready after %s", time.Since(d.started).Round(time.Millisecond))
			if d.options.OnReady != nil {
				d.options.OnReady()
			}
			return
		}
		select {
		case <-changed:
		case <-settling.C:
		case <-ctx.Done():
			return
		}
	}
}
