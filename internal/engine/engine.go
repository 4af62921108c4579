// Package engine is the contract between bulsa and what runs workers:
// operating-system processes, servers that somebody else runs, containers.
// Every engine passes the suite in enginetest.
package engine

import (
	"context"
	"errors"
	"net"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/spec"
	"bulsa/internal/upstream"
)

// InstanceID names one run of a worker, unique within the bulsa process:
// "app.2#7" is the seventh run that was started for app.2.
type InstanceID string

// Launch is everything an engine needs to start one worker.
type Launch struct {
	ID      InstanceID
	Worker  string        // SERVICE.N
	Number  int           // N, from 1
	Release *spec.Release // of the service as it is to run; nobody changes it
	Alone   bool          // the service runs with this one worker only: a fixed port is no conflict
}

// Instance is one run of a worker.
type Instance struct {
	ID      InstanceID
	Worker  string
	PID     int    // 0 where the engine has none
	Ref     string // what `bulsa ps` shows under PID/ID: the pid, a container id, an address
	Started time.Time
}

// Exit is how a run ended.
type Exit struct {
	Code      int    // exit status; -1 when ended by a signal
	Signal    string // "SIGKILL"; empty when it exited by itself
	OOM       bool   // the kernel's out-of-memory killer did it
	Voluntary bool   // a Node worker disconnected itself (cluster.worker.kill or disconnect)
	Cause     string // one more line where the engine knows it: the address in use, the last line of stderr
}

// Connector and Passer are the same shapes as balance's; an engine's connector
// is handed through without either room importing the other.

// Port names one listening address of a service as the application asked for it.
// The first one asked for (or the one that equals a published target) is Main.
type Port string

// Main is the port that published addresses without a target lead to.
const Main Port = "main"

// FactKind says what happened to an instance.
type FactKind int

const (
	// Listening: the worker takes connections on Port through Connector. It may
	// come several times, once for each port.
	Listening FactKind = iota + 1
	// Closed: the worker closed the server on Port.
	Closed
	// Exited: the run has ended and nothing of its process group is left.
	Exited
	// Notice: something a user should read, in Message. No change of state.
	Notice
	// Unusable: the worker runs, but cannot serve as configured (Message says
	// why and what to change): it must be stopped and not be tried again.
	Unusable
	// Settled: the engine will send no Listening beyond what it sent, or needs
	// none: the program runs and has no port to wait for.
	Settled
	// Checked: the engine checks the instance by itself, and Health is what it
	// thinks now. It comes before Listening and Settled where there is a check.
	Checked
	// Reported: a bulsa inside the instance tells of its workers, in Report; nil:
	// it has stopped to.
	Reported
	// Renewed: Start returned before the instance had its final PID, Ref and
	// start; Renewed has them.
	Renewed
	// Halted: the instance stands still because somebody has stopped it there, as
	// with docker pause. Message says so; it is empty when it goes on. Closed and
	// Listening tell what that means for requests.
	Halted
)

// Health is an engine's own opinion of an instance, in Docker's words.
type Health struct {
	Status string  // starting | healthy | unhealthy
	Streak int     // failed checks in a row
	Log    []Check // the last results, oldest first
}

// Check is one health check that an engine ran by itself.
type Check struct {
	Start, End time.Time
	ExitCode   int
	Output     string
}

// Fact is what an engine observed. It carries the instance it is about.
type Fact struct {
	Kind      FactKind
	Instance  InstanceID
	At        time.Time
	Port      Port               // Listening, Closed
	Address   string             // Listening: for people: "ipc", "127.0.0.1:40123"
	Connector upstream.Connector // Listening; nil: the worker accepts by itself
	FixedPort bool               // Listening: the program binds this port by itself; a second run beside it would find it in use
	Exit      Exit               // Exited
	Health    Health             // Checked
	Renewed   Instance
	Report    *api.Inside
	Message   string // Notice, Unusable, Halted; Listening: why it counts as such, where nobody saw it
}

// Command is run inside a worker's surroundings: its environment, user and folder.
type Command struct {
	Args      []string // argv; a shell line is {"/bin/sh", "-c", line}
	Timeout   time.Duration
	MaxOutput int // bytes of standard output and error kept, together
}

// Result is what a Command did.
type Result struct {
	ExitCode int // -1: timed out (its whole process group was killed) or could not start
	TimedOut bool
	Output   string        // at most MaxOutput bytes
	CPU      time.Duration // user and system time of the command and its children
	Wall     time.Duration
}

// Properties tells what an engine does by itself.
type Properties struct {
	Respawns  bool // restarts dead workers by itself
	Isolated  bool // two runs of one worker never fight for a port: start-first is possible
	HasOutput bool // its workers' output is captured in bulsa's logs
	NoCosts   bool // what a command costs cannot be told: Result.CPU is 0
	NoOrder   bool // a command's output and errors come each in order, but not among each other
}

// ErrNoInstance is returned for an instance that does not run (any more).
var ErrNoInstance = errors.New("no such instance")

// Engine starts, stops, watches and lists workers. All methods may be called
// from several goroutines.
type Engine interface {
	Properties() Properties
	// Start launches one worker and returns as soon as it exists. Every fact
	// about it comes on Facts afterwards; after an error there will be none.
	Start(ctx context.Context, l Launch) (Instance, error)
	// Signal sends a signal (a name as "SIGTERM") to the whole worker: every
	// process of its group. ErrNoInstance when it has ended.
	Signal(ctx context.Context, id InstanceID, signal string) error
	// Stop asks the worker to end in its own way: Stop.Signal, and for a Node
	// worker the cluster's disconnect beside it. It does not wait.
	Stop(ctx context.Context, id InstanceID) error
	// Kill ends everything that is left of the worker at once. It does not wait.
	Kill(ctx context.Context, id InstanceID) error
	// Exec runs a command in the worker's surroundings and waits for it.
	Exec(ctx context.Context, id InstanceID, c Command) (Result, error)
	// List returns the running instances, sorted by ID.
	List(ctx context.Context) ([]Instance, error)
	// Facts is the stream of what happens. There is one reader. It is closed by Close.
	Facts() <-chan Fact
	// Close kills what still runs, waits for it and releases everything.
	Close() error
}

// Forgetter is an engine that keeps something of a worker between its runs: a
// container with what it wrote.
type Forgetter interface {
	// Forget removes what is left of a worker that will not run again.
	Forget(ctx context.Context, worker string)
}

// Binder is an engine that can see which ports its workers have bound by themselves.
type Binder interface {
	// BindsPort returns a port on which the instance listens without having it from
	// bulsa or from the kernel's choice, so that a second run beside it would find it
	// in use; 0: there is none, as far as can be seen.
	BindsPort(id InstanceID) int
}

// Ask is a worker's wish to listen somewhere, as Node's cluster tells it.
type Ask struct {
	Service string
	Worker  string
	Network string // tcp | tcp4 | tcp6 | unix | udp4 | udp6
	Host    string // "" for all addresses
	Port    int    // 0: any
	Path    string // unix
	Index   int    // distinguishes several asks for port 0
	Own     bool   // the port is the one that PORT of this worker names
	V6Only  bool
	Reuse   bool // UDP: other programs may have the same address
	Shared  bool // the workers want the listening socket itself

	Instance InstanceID
	Process  string     // who asks: a run may have several processes, also beside each other
	Key      string     // the process's own name for the server
	Sources  Sources    // what its sources say of PORT
	Waited   bool       // Grant.Wait has passed, and nothing has moved it meanwhile
	Moved    func(Port) // called when the server gets another place. It must not call Sockets
}

// Sources is whether a program's own sources mention PORT.
type Sources int

const (
	SourcesUnknown Sources = iota
	SourcesReadPort
	SourcesIgnorePort
)

// Grant answers an Ask.
type Grant struct {
	Port   Port    // under which Listening facts come; "": it is not decided yet
	Host   string  // what the application is told that it listens on
	Number int     // the port number it is told
	Shared uintptr // a descriptor of the listening socket, for Ask.Shared and for UDP; the engine duplicates it

	// Wait is how long the server may still turn out not to be the application: ask
	// again then, with Ask.Waited. Until Moved or that answer, it is told of by no fact.
	Wait time.Duration
}

// Sockets opens the public side of what workers ask to listen on. An error is
// told to the application (a syscall.Errno as itself, anything else as EADDRINUSE).
type Sockets interface {
	Claim(ctx context.Context, a Ask) (Grant, error)
	// Release ends what was claimed: the worker has closed the server.
	Release(process, key string)
	// Leave says that a process is gone. What it had is kept for its successor.
	Leave(process string)
	// Expect says that a command of some worker runs: until end is called, v is
	// asked whose each connection from this machine is.
	Expect(v Visited) (end func())
}

// Visited tells connections that workers' own commands (health checks) opened
// from those of clients.
type Visited interface {
	// Visit leads conn to the worker of the service whose command opened it, and
	// sees it through. It is false, and conn untouched, when no command did.
	Visit(service string, p Port, conn net.Conn) bool
}
