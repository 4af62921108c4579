package inspector

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const openSignal = syscall.SIGUSR1

// usr1 is SIGUSR1 in the masks of proc_pid_status(5).
const usr1 = 1 << (uint(unix.SIGUSR1) - 1)

// proc is a file about the process.
func (p *process) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", p.pid, name) }

// startOf is when a process began, in clock ticks since boot: field 22 of
// /proc/PID/stat (proc_pid_stat(5)).
func startOf(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", os.ErrProcessDone
	}
	return fields[19], nil
}

// isNode looks at the executable: SIGUSR1 ends programs that do not expect it.
func (p *process) isNode() error {
	program, err := os.Readlink(p.proc("exe"))
	if err != nil {
		return fmt.Errorf("cannot tell which program process %d is: %w", p.pid, err)
	}
	name := filepath.Base(strings.TrimSuffix(program, " (deleted)"))
	if name != "node" && name != "nodejs" {
		return fmt.Errorf("process %d is %s, not node", p.pid, name)
	}
	return nil
}

// commandLine is what the process was started with.
func (p *process) commandLine() (args []string, options string, err error) {
	line, err := os.ReadFile(p.proc("cmdline"))
	if err != nil {
		return nil, "", fmt.Errorf("cannot read the command line of process %d: %w", p.pid, err)
	}
	environment, err := os.ReadFile(p.proc("environ"))
	if err != nil {
		return nil, "", fmt.Errorf("cannot read the environment of process %d: %w", p.pid, err)
	}
	for entry := range strings.SplitSeq(string(environment), "\x00") {
		if value, ok := strings.CutPrefix(entry, "NODE_OPTIONS="); ok {
			options = value
		}
	}
	return strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"), options, nil
}

// waitsForSignal looks for Node's own handler: the signal is caught, and there
// is the thread that Node starts for it, the only one that blocks every signal.
func (p *process) waitsForSignal() error {
	caught, err := p.mask("status", "SigCgt:")
	if err != nil {
		return fmt.Errorf("cannot tell whether process %d waits for SIGUSR1: %w", p.pid, err)
	}
	if caught&usr1 == 0 {
		return fmt.Errorf("process %d does not wait for SIGUSR1 and would die of it", p.pid)
	}
	threads, err := filepath.Glob(p.proc("task/*/status"))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		blocked, err := p.mask(strings.TrimPrefix(thread, p.proc("")), "SigBlk:")
		if err == nil && blocked&allSignals == allSignals {
			return nil
		}
	}
	return fmt.Errorf("process %d has no inspector that SIGUSR1 could open", p.pid)
}

// allSignals are the 31 classic ones without SIGKILL and SIGSTOP, which nobody
// can block.
const allSignals = 1<<31 - 1 - 1<<(uint(unix.SIGKILL)-1) - 1<<(uint(unix.SIGSTOP)-1)

// mask reads a set of signals from a status file.
func (p *process) mask(file, name string) (uint64, error) {
	status, err := os.ReadFile(p.proc(file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("no %s in %s", name, p.proc(file))
}

// uninterruptible says which system call the main thread is in, when it is one
// that must not be disturbed by a signal: a synchronous read of Node's would
// fail with EINTR (libuv, uv__fs_work). "" when a signal does no harm.
func (p *process) uninterruptible() string {
	number, ok := p.systemCall()
	switch {
	case !ok:
		return ""
	case number == unix.SYS_READ, number == unix.SYS_PREAD64, number == unix.SYS_READV, number == unix.SYS_PREADV,
		number == unix.SYS_CLOSE, number == unix.SYS_PREADV2:
		return p.state()
	}
	return ""
}

// systemCall is the number of the call that the main thread waits in; ok is
// false when it runs, or when it is not ours to know.
func (p *process) systemCall() (number int, ok bool) {
	text, err := os.ReadFile(p.proc("syscall"))
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(text), " ")
	number, err = strconv.Atoi(first)
	return number, err == nil && number >= 0
}

// state is what the kernel knows of the main thread, for people: "it runs native
// code", "it waits in do_epoll_wait for its child sleep 5".
func (p *process) state() string {
	stat, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return "it has ended"
	}
	what := "its main thread waits"
	if fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])); len(fields) > 0 && fields[0] == "R" {
		what = "its main thread runs"
	}
	if place, err := os.ReadFile(p.proc("wchan")); err == nil && len(place) > 1 {
		what += " in the kernel's " + string(place)
	}
	if number, ok := p.systemCall(); ok {
		what += fmt.Sprintf(" (system call %d%s)", number, p.subject(number))
	}
	if children := p.children(); len(children) > 0 {
		what += "; its children: " + strings.Join(children, ", ")
	}
	return what
}

// subject is the file that a read or write is about.
func (p *process) subject(number int) string {
	if number != unix.SYS_READ && number != unix.SYS_WRITE && number != unix.SYS_PREAD64 && number != unix.SYS_PWRITE64 {
		return ""
	}
	text, err := os.ReadFile(p.proc("syscall"))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return ""
	}
	fd, err := strconv.ParseUint(strings.TrimPrefix(fields[1], "0x"), 16, 31)
	if err != nil {
		return ""
	}
	target, err := os.Readlink(p.proc("fd/" + strconv.FormatUint(fd, 10)))
	if err != nil {
		return ""
	}
	return " on " + target
}

// children are the commands of the processes that the main thread started.
func (p *process) children() []string {
	list, err := os.ReadFile(p.proc(fmt.Sprintf("task/%d/children", p.pid)))
	if err != nil {
		return nil
	}
	var names []string
	for _, pid := range strings.Fields(string(list)) {
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err == nil {
			names = append(names, strings.TrimSpace(string(name)))
		}
	}
	return names
}
