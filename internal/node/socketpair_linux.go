package node

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// socketpair returns two connected, non-blocking ends that no child inherits.
func socketpair() ([2]int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fds, fmt.Errorf("cannot make a socketpair: %w", err)
	}
	return fds, nil
}
