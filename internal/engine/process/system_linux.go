package process

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes: a session of its own, killed when bulsa dies.
func attributes(pidfd *int, credential *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: pidfd, Credential: credential}
}

// becomeSubreaper makes orphans of workers children of bulsa, not of init.
func becomeSubreaper() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// closeOnExec keeps what bulsa has inherited away from its workers. An old
// kernel (before 5.11) cannot, and then only what bulsa opens is kept away.
func closeOnExec() { _ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) }

// awaitExit returns when the child has ended, and leaves it as a zombie: its
// number and its group's stay taken until reap.
func (ch *child) awaitExit() {
	if ch.pidfd != nil {
		raw, err := ch.pidfd.SyscallConn()
		if err == nil && raw.Read(func(fd uintptr) bool { return hasEnded(unix.P_PIDFD, int(fd), unix.WNOHANG) }) == nil {
			return
		}
	}
	hasEnded(unix.P_PID, ch.pid, 0)
}

// hasEnded asks without reaping. An error means that there is nothing to wait for.
func hasEnded(kind, id, option int) bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(kind, id, &info, unix.WEXITED|unix.WNOWAIT|option, nil)
		if err != unix.EINTR {
			return err != nil || info.Signo != 0
		}
	}
}

// anyEnded reports whether some child is a zombie.
func anyEnded() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err == nil && info.Signo != 0
}

// collectGroup reaps what is left as zombies of a group and returns their cost.
func collectGroup(pgid int) (cost time.Duration) {
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-pgid, &status, syscall.WNOHANG, &usage)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return cost
		}
		cost += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
}

// listProcesses reads the process table.
func listProcesses() []processInfo {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	list := make([]processInfo, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			list = append(list, p)
		}
	}
	return list
}

// readProcess reads /proc/PID/stat (proc_pid_stat(5)). The name in parentheses
// may hold anything, so the fields are counted from its end. A process is dead
// when its last thread is, not when its first one shows as a zombie.
func readProcess(pid int) (processInfo, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return processInfo{}, false
	}
	line := string(b)
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 20 {
		return processInfo{}, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(fields[i]); return n }
	started, _ := strconv.ParseUint(fields[19], 10, 64)
	return processInfo{
		pid: pid, parent: number(1), group: number(2), session: number(3),
		zombie: fields[0] == "X" || fields[0] == "Z" && number(17) <= 1, started: started,
	}, true
}

// environment reads what a process was started with; nil when it may not be read.
func environment(pid int) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

// signalProcess signals exactly the process that p describes, whoever has its number now.
func signalProcess(p processInfo, sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err == unix.ENOSYS || err == unix.EPERM || err == unix.EINVAL {
		return syscall.Kill(p.pid, sig)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if now, ok := readProcess(p.pid); !ok || now.started != p.started {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// bootID tells one boot from the next; start times count from it.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// oomKills reads how often the kernel's out-of-memory killer struck: in our own
// cgroup, which the workers share, else in the whole system.
func oomKills() int {
	for _, file := range oomFiles() {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if len(fields) == 2 && fields[0] == "oom_kill" {
				n, _ := strconv.Atoi(fields[1])
				return n
			}
		}
	}
	return 0
}

func oomFiles() []string {
	files := []string{"/proc/vmstat"}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return files
	}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[2] == "/" {
			continue
		}
		if parts[0] == "0" {
			files = append([]string{"/sys/fs/cgroup" + parts[2] + "/memory.events"}, files...)
		}
		if parts[1] == "memory" {
			files = append([]string{"/sys/fs/cgroup/memory" + parts[2] + "/memory.oom_control"}, files...)
		}
	}
	return files
}

// groupIsDead: here EPERM really means processes of another user.
func groupIsDead(int) bool { return false }
