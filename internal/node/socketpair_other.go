//go:build !linux

package node

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketpair returns two connected, non-blocking ends that no child inherits.
func socketpair() ([2]int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return fds, fmt.Errorf("cannot make a socketpair: %w", err)
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(fds[0])
			unix.Close(fds[1])
			return fds, fmt.Errorf("cannot make a socketpair non-blocking: %w", err)
		}
	}
	return fds, nil
}
