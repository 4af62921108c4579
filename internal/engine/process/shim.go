package process

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// notFound is the exit status of a shell that cannot execute a command.
const notFound = 127

// ExecShim replaces the program by args[0] with the arguments args[1:] (which
// begin with argv[0]), after it has put its own process id into LISTEN_PID: only
// the process itself can know it, and sd_listen_fds(3) demands it. It returns
// an exit status only when it failed.
func ExecShim(args []string) int {
	if len(args) < 2 {
		fmt.Fprintln(os.Stderr, "bulsa: the exec shim needs a path and an argv")
		return notFound
	}
	os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	err := syscall.Exec(args[0], args[1:], os.Environ())
	fmt.Fprintf(os.Stderr, "bulsa: cannot execute %s: %v\n", args[0], err)
	return notFound
}
