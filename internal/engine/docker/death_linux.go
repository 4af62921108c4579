package docker

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// process is the first process of a container, on this machine.
type process struct{ fd *os.File }

// openProcess finds it by the pid that Docker tells. Where that is the pid of
// another machine or namespace, some other process has it, or none.
func openProcess(pid int, container string) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // Docker names the group after the container
	if err != nil || !strings.Contains(string(groups), container) {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("process %d is not of container %s", pid, short(container))
	}
	return &process{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// await returns true when the process has ended, false when p was closed before.
func (p *process) await() bool {
	raw, err := p.fd.SyscallConn()
	return err == nil && raw.Read(func(fd uintptr) bool {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(polled, 0)
		return err == nil && n > 0
	}) == nil
}

func (p *process) close() { _ = p.fd.Close() }
