package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"bulsa/internal/inner"
	"bulsa/internal/supervisor"
	"bulsa/internal/view"
)

// containerGrace is how long Docker waits after its stop signal, unless it is told otherwise.
const containerGrace = 10 * time.Second

// Contained says what is different for a bulsa inside a container.
type Contained struct {
	inner.Told
	First bool     // it is the first process: it answers for all others, and its end is the container's
	Rest  []string // the environment without what it was told
}

// Inside is how this process is contained.
func Inside() Contained {
	told, rest := inner.From(os.Environ())
	return Contained{Told: told, First: os.Getpid() == 1, Rest: rest}
}

// Is reports whether bulsa is contained at all.
func (c Contained) Is() bool { return c.First || c.Report != "" }

// Drain is how long requests in flight may take at the end; StopGrace is what a
// worker has after them. Together they fit into the time that the container has.
func (c Contained) Drain() time.Duration {
	if !c.Is() {
		return drainAtExit
	}
	return min(drainAtExit, c.grace()*6/10)
}

// StopGrace is the time that a worker has from its stop signal to SIGKILL.
func (c Contained) StopGrace() time.Duration { return c.grace() * 3 / 10 }

func (c Contained) grace() time.Duration {
	if c.Grace > 0 {
		return c.Grace
	}
	return containerGrace
}

// Failure is the end of a project whose workers ended, or were ended before
// their time. Status is what a shell would show of it.
type Failure struct {
	Status int
	what   string
}

func (f *Failure) Error() string { return f.what }

// failed is the end of a worker that no restart follows.
func failed(w supervisor.WorkerStatus, how string) *Failure {
	f := &Failure{Status: 1, what: fmt.Sprintf("%s %s: %s", w.Name, how, w.Cause)}
	if w.Exit != nil {
		if status := view.ExitCode(*w.Exit); status > 0 && status < 256 {
			f.Status = status
		}
	}
	return f
}

// passOn gives the workers what is sent to the first process of a container and
// is meant for them, until ctx ends.
func (d *Daemon) passOn(ctx context.Context) {
	if !d.inside.First {
		return
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				d.signalAll(ctx, s.(syscall.Signal))
			}
		}
	}()
}

func (d *Daemon) signalAll(ctx context.Context, s syscall.Signal) {
	name := signalName(s)
	for _, sv := range d.supervisor.Status().Services {
		for _, w := range sv.Workers {
			if w.PID > 0 {
				_ = d.supervisor.Kill(ctx, w.Name, name) // it may have ended meanwhile
			}
		}
	}
}
