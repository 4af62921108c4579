package daemon

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"bulsa/internal/engine"
)

// signalName is the name of a signal: "SIGHUP".
func signalName(s syscall.Signal) string { return engine.SignalName(s) }

// stopSignals end the project. The first process of a container has no default for
// any signal: some images choose SIGQUIT to stop theirs, and a SIGHUP is meant for
// what runs there. Elsewhere a SIGHUP says that the terminal was closed, which is no
// reason to drop what is in flight; a bulsa that was started with nohup stays.
func (c Contained) stopSignals() []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	switch {
	case c.First:
		signals = append(signals, syscall.SIGQUIT)
	case !signal.Ignored(syscall.SIGHUP):
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// goodbye is what a person reads when the project begins to end.
func goodbye(s os.Signal) string {
	if s == syscall.SIGHUP {
		return "the terminal was closed (SIGHUP): stopping; bulsa run -d goes on without one"
	}
	return "stopping; once more to stop at once"
}

// signalEcho is how soon after the first signal another one is the same wish,
// delivered twice: to the process and to its group, as timeout(1) and some
// wrappers do.
const signalEcho = 100 * time.Millisecond

func forgetEcho(signals <-chan os.Signal) {
	echo := time.After(signalEcho)
	for {
		select {
		case <-signals:
		case <-echo:
			return
		}
	}
}

// awaitSecond cuts the end short at the second signal, unless all is done before. A
// SIGHUP is none: the shell sends its own after that of the kernel.
func (d *Daemon) awaitSecond(signals <-chan os.Signal, done <-chan struct{}) error {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				continue
			}
			d.console.say("stopping at once")
			d.supervisor.ForceStop()
			return &Failure{Status: 128 + int(s.(syscall.Signal)), what: "stopped at once"}
		case <-done:
			return nil
		}
	}
}
