package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Recall takes back what was written to the worker and what it has not read: up to
// n bytes. It returns how many those were: n, the worker has seen nothing of them
// and the connection is as it was before; 0, it has read them, or cannot be
// asked; anything between, the connection is torn. A worker that reads at the
// same moment gets either all of a write of up to 32 KiB or nothing of it, since
// the kernel keeps it together and lets one reader at a time at it
// (unix_stream_read_generic in net/unix/af_unix.c).
//
// It needs the right to trace the worker (pidfd_getfd(2)), which a parent of the
// same user has unless the system forbids it (Yama's ptrace_scope above 1).
func (u *upstream) Recall(n int) int {
	theirs, err := u.borrow()
	if err != nil {
		return 0
	}
	defer unix.Close(theirs)
	taken := 0
	for buf := make([]byte, n); taken < n; {
		got, _, err := unix.Recvfrom(theirs, buf[taken:], unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || got == 0 {
			break
		}
		taken += got
	}
	return taken
}

// borrow opens the worker's end of the connection a second time, here.
func (u *upstream) borrow() (int, error) {
	pid := u.channel.PID()
	if pid == 0 {
		return -1, errNoPID
	}
	worker, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(worker)
	number, err := descriptorOf(pid, u.theirs)
	if err != nil {
		return -1, err
	}
	fd, err := unix.PidfdGetfd(worker, number, 0)
	if err != nil {
		return -1, err
	}
	// The worker may have closed it meanwhile, and opened another under its number.
	if inode(fd) != u.theirs {
		unix.Close(fd)
		return -1, os.ErrNotExist
	}
	return fd, nil
}

var errNoPID = errors.New("the worker has not told its pid")

// descriptorOf is the number under which a process has a socket open.
func descriptorOf(pid int, socket uint64) (int, error) {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0, err
	}
	want := fmt.Sprintf("socket:[%d]", socket)
	for i := len(entries) - 1; i >= 0; i-- { // the youngest have the highest numbers
		if target, err := os.Readlink(filepath.Join(folder, entries[i].Name())); err == nil && target == want {
			return strconv.Atoi(entries[i].Name())
		}
	}
	return 0, os.ErrNotExist
}

// inode identifies a socket; 0 when it cannot be told.
func inode(fd int) uint64 {
	var s unix.Stat_t
	if unix.Fstat(fd, &s) != nil {
		return 0
	}
	return s.Ino
}
