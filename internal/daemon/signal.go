package daemon

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// signalNumber is the number of a signal's name; 0 for one that is unknown.
func signalNumber(name string) int { return int(unix.SignalNum(name)) }

// signalName is the name of a signal: "SIGHUP".
func signalName(s syscall.Signal) string { return unix.SignalName(s) }
