package process

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes: a session of its own. The system has no parent-death signal; a
// Node worker ends when its channel does.
func attributes(_ *int, credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Credential: credential}
}

func becomeSubreaper() error { return nil }

// closeOnExec: what bulsa opens is kept away from workers anyway.
func closeOnExec() {}

// awaitExit returns when the child has ended, and leaves it as a zombie.
func (ch *child) awaitExit() {
	queue, err := unix.Kqueue()
	if err != nil {
		return // reap waits then
	}
	defer unix.Close(queue)
	event := unix.Kevent_t{Ident: uint64(ch.pid), Filter: unix.EVFILT_PROC, Flags: unix.EV_ADD | unix.EV_ONESHOT, Fflags: unix.NOTE_EXIT}
	for {
		n, err := unix.Kevent(queue, []unix.Kevent_t{event}, make([]unix.Kevent_t, 1), nil)
		if err != unix.EINTR || n > 0 {
			return
		}
	}
}

// groupIsDead: a signal to a group of which only the dead leader is left is
// refused with EPERM.
func groupIsDead(int) bool { return true }

func anyEnded() bool { return false }

func collectGroup(int) time.Duration { return 0 }

func listProcesses() []processInfo { return nil }

func readProcess(int) (processInfo, bool) { return processInfo{}, false }

func environment(int) []string { return nil }

func signalProcess(p processInfo, sig syscall.Signal) error { return syscall.Kill(p.pid, sig) }

func bootID() string { return "" }

func oomKills() int { return 0 }
