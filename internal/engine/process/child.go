package process

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// childKind says who collects what is left of a child's session.
type childKind int

const (
	worker  childKind = iota + 1 // orphans of its session are reaped while it runs
	command                      // its owner collects the whole session, to know its cost
)

// child is a process that the engine started as the leader of its own session.
type child struct {
	pid   int
	pidfd *os.File // nil where the system has none
}

// children starts processes and knows which of them are still to be collected.
// All are started from one thread, because the kernel sends the parent-death
// signal when the thread that forked ends, not the process (prctl(2)).
type children struct {
	requests chan func()
	stopped  chan struct{}

	mu    sync.Mutex // held across fork and registration, and across a decision to reap
	known map[int]childKind
}

func newChildren() *children {
	c := &children{requests: make(chan func()), stopped: make(chan struct{}), known: map[int]childKind{}}
	go c.serve()
	return c
}

func (c *children) serve() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.stopped)
	for request := range c.requests {
		request()
	}
}

// close ends the starting thread. Nothing may be started afterwards.
func (c *children) close() {
	close(c.requests)
	<-c.stopped
}

// spawn is what one child is made of.
type spawn struct {
	kind       childKind
	path       string
	args       []string
	dir        string
	env        []string
	files      []uintptr // by number; none: closed
	credential *syscall.Credential
}

// none marks a number at which the child finds no open file.
const none = ^uintptr(0)

// start forks and executes. The error is the system's own.
func (c *children) start(s spawn) (*child, error) {
	var started *child
	var err error
	done := make(chan struct{})
	c.requests <- func() {
		defer close(done)
		started, err = c.fork(s)
	}
	<-done
	return started, err
}

func (c *children) fork(s spawn) (*child, error) {
	pidfd := -1
	attr := &syscall.ProcAttr{Dir: s.dir, Env: s.env, Files: s.files, Sys: attributes(&pidfd, s.credential)}
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := syscall.ForkExec(s.path, s.args, attr)
	if err != nil {
		return nil, err
	}
	c.known[pid] = s.kind
	started := &child{pid: pid}
	if pidfd >= 0 && syscall.SetNonblock(pidfd, true) == nil {
		started.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	}
	return started, nil
}

// reap collects a child that awaitExit has seen end, and the dead of its group
// that came to us as orphans; the cost is that of all of them. Its pid is free
// afterwards.
func (c *children) reap(ch *child) (status syscall.WaitStatus, cost time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var usage syscall.Rusage
	for {
		_, err := syscall.Wait4(ch.pid, &status, 0, &usage)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	cost = time.Duration(usage.Utime.Nano()+usage.Stime.Nano()) + collectGroup(ch.pid)
	delete(c.known, ch.pid)
	if ch.pidfd != nil {
		ch.pidfd.Close()
	}
	return status, cost
}

// signalGroup signals the child's process group. It must not be called once
// the child is reaped: its number may belong to others then.
func (ch *child) signalGroup(sig syscall.Signal) error {
	err := syscall.Kill(-ch.pid, sig)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EPERM) && groupIsDead(ch.pid) {
		return nil // only the zombie of its leader is left
	}
	return err
}
