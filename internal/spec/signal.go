package spec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseSignal reads a signal as Docker does - SIGTERM, TERM, term or 15
// (Linux's numbers) - and returns its full name.
func ParseSignal(text string) (string, error) {
	name := strings.ToUpper(strings.TrimSpace(text))
	if n, err := strconv.Atoi(name); err == nil {
		if n >= 1 && n <= len(signals()) {
			return signals()[n-1], nil
		}
		if name := RealTimeName(n); name != "" {
			return name, nil
		}
		return "", fmt.Errorf("there is no signal %d; give a number from 1 to %d or a name such as SIGTERM", n, len(signals()))
	}
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if slices.Contains(signals(), name) {
		return name, nil
	}
	if n, isRealTime := RealTimeNumber(name); isRealTime {
		return RealTimeName(n), nil
	}
	return "", fmt.Errorf("%q is not a signal; give a name such as SIGTERM, SIGINT or SIGQUIT", text)
}

// signals are the names of signals 1 to 31, as in signal(7) for x86 and ARM.
func signals() []string {
	return []string{
		"SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE",
		"SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT",
		"SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU",
		"SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
	}
}

// The real-time signals of Linux as programs see them: the C library keeps the first
// two for itself (signal(7)).
const (
	firstRealTime = 34
	lastRealTime  = 64
)

// RealTimeNumber is the number of SIGRTMIN, SIGRTMIN+N, SIGRTMAX-N or SIGRTMAX; false
// for any other name.
func RealTimeNumber(name string) (int, bool) {
	n, ok := 0, false
	switch {
	case name == "SIGRTMIN":
		n, ok = firstRealTime, true
	case name == "SIGRTMAX":
		n, ok = lastRealTime, true
	case strings.HasPrefix(name, "SIGRTMIN+"):
		more, err := strconv.ParseUint(name[len("SIGRTMIN+"):], 10, 8)
		n, ok = firstRealTime+int(more), err == nil
	case strings.HasPrefix(name, "SIGRTMAX-"):
		less, err := strconv.ParseUint(name[len("SIGRTMAX-"):], 10, 8)
		n, ok = lastRealTime-int(less), err == nil
	}
	return n, ok && n >= firstRealTime && n <= lastRealTime
}

// RealTimeName is the name of a real-time signal, from the nearer end as Docker and
// kill -l have it; empty for any other number.
func RealTimeName(n int) string {
	const middle = 15
	switch {
	case n < firstRealTime || n > lastRealTime:
		return ""
	case n == firstRealTime:
		return "SIGRTMIN"
	case n == lastRealTime:
		return "SIGRTMAX"
	case n-firstRealTime <= middle:
		return fmt.Sprintf("SIGRTMIN+%d", n-firstRealTime)
	}
	return fmt.Sprintf("SIGRTMAX-%d", lastRealTime-n)
}
