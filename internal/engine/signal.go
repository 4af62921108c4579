package engine

import (
	"golang.org/x/sys/unix"

	"bulsa/internal/spec"
)

// SignalNumber is the number of a signal on this machine; 0: it has none.
func SignalNumber(name string) unix.Signal {
	if n, isRealTime := spec.RealTimeNumber(name); isRealTime {
		return unix.Signal(n)
	}
	return unix.SignalNum(name)
}

// SignalName is the name of a signal; empty where there is none.
func SignalName(s unix.Signal) string {
	if name := spec.RealTimeName(int(s)); name != "" {
		return name
	}
	return unix.SignalName(s)
}
