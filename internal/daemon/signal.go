package daemon

import (
	"syscall"

	"bulsa/internal/engine"
)

// signalNumber is the number of a signal's name; 0 for one that is unknown.
func signalNumber(name string) int { return int(engine.SignalNumber(name)) }

// signalName is the name of a signal: "SIGHUP".
func signalName(s syscall.Signal) string { return engine.SignalName(s) }
