// Package measure runs the programs that are compared, and reads what they use of
// the machine.
package measure

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 30 * time.Second

// Process is a program that serves while it is measured.
type Process struct {
	name   string
	cmd    *exec.Cmd
	output bytes.Buffer
	exited chan struct{}
}

// Start runs a program and waits until its TCP address takes connections.
func Start(name, address string, env []string, command ...string) (*Process, error) {
	p := &Process{name: name, cmd: exec.Command(command[0], command[1:]...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	if err := p.awaitListening(address); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

func (p *Process) awaitListening(address string) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended:\n%s", p.name, p.output.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not listen on %s", p.name, address)
}

// PID is that of the process that was started.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop asks the program to end, and insists when it does not.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// FreeAddress is an address of 127.0.0.1 that nobody uses at the moment.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// stat is what is read of /proc/PID/stat.
type stat struct {
	pid, parent int
	zombie      bool
}

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // fields[0] is field 3, the state
	if len(fields) < 2 {
		return stat{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return stat{pid: pid, parent: parent, zombie: fields[0] == "Z"}, err == nil
}

// Children lists the living processes that pid has started.
func Children(pid int) []int {
	var out []int
	for _, s := range all() {
		if s.parent == pid && !s.zombie {
			out = append(out, s.pid)
		}
	}
	return out
}

// Tree is pid and all living processes below it.
func Tree(pid int) []int {
	out := []int{pid}
	for _, child := range Children(pid) {
		out = append(out, Tree(child)...)
	}
	return out
}

func all() []stat {
	entries, _ := os.ReadDir("/proc")
	var out []stat
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, ok := readStat(n); ok {
			out = append(out, s)
		}
	}
	return out
}

// CPUTime is what the living ones of the processes have used so far, user and
// system, to the nanosecond: their clocks of clock_getcpuclockid(3).
func CPUTime(pids []int) time.Duration {
	total := time.Duration(0)
	for _, pid := range pids {
		const ofProcess = 2 // CPUCLOCK_SCHED of include/linux/posix-timers_types.h
		var used unix.Timespec
		if unix.ClockGettime(int32(^pid<<3|ofProcess), &used) == nil {
			total += time.Duration(used.Nano())
		}
	}
	return total
}

// Memory is what the processes have resident, in kilobytes; pages that several
// share are divided among them (Pss of proc_pid_smaps(5)).
func Memory(pids []int) int {
	total := 0
	for _, pid := range pids {
		b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
		for line := range strings.Lines(string(b)) {
			if size, ok := strings.CutPrefix(line, "Pss:"); ok {
				kilobytes, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
				total += kilobytes
			}
		}
	}
	return total
}
