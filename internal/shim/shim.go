// Package shim is what bulsa is when it has started itself: for a moment, to put
// a process id into a worker's environment, or for as long as bulsa lives, to wait
// for its death. Both are done while the program is initialized, where main would
// wait for the packages that bulsa needs as a server: that took four fifths of the
// start. Go initializes a package as soon as those that it imports are, the first
// by its path first; so this one imports little.
package shim

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// The first argument of a bulsa that is a shim or a guard.
const (
	ExecArgument  = "__exec"
	GuardArgument = "__guard"
)

// notFound is the exit status of a shell that cannot execute a command.
const notFound = 127

func init() {
	if len(os.Args) < 2 {
		return
	}
	switch os.Args[1] {
	case ExecArgument:
		os.Exit(Exec(os.Args[2:]))
	case GuardArgument:
		Wait() // and only then become all of bulsa, which has what is left to do
	}
}

// Exec replaces the program by args[0] with the arguments args[1:] (which
// begin with argv[0]), after it has put its own process id into LISTEN_PID: only
// the process itself can know it, and sd_listen_fds(3) demands it. It returns
// an exit status only when it failed.
func Exec(args []string) int {
	if len(args) < 2 {
		fmt.Fprintln(os.Stderr, "bulsa: the exec shim needs a path and an argv")
		return notFound
	}
	os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	err := syscall.Exec(args[0], args[1:], os.Environ())
	fmt.Fprintf(os.Stderr, "bulsa: cannot execute %s: %v\n", args[0], err)
	return notFound
}

// Wait returns when standard input is at its end: when whoever holds the other
// end is.
func Wait() { _, _ = io.Copy(io.Discard, os.Stdin) }
