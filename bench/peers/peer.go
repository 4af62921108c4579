package main

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
)

const patience = 30 * time.Second

// process is a program that serves while it is measured.
type process struct {
	name   string
	cmd    *exec.Cmd
	output bytes.Buffer
	exited chan struct{}
}

// start runs a program and waits until its address takes connections.
func start(name, address string, env []string, command ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(command[0], command[1:]...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	if err := p.awaitListening(address); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) awaitListening(address string) error {
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

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// freeAddress is an address of 127.0.0.1 that nobody uses at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// ticksPerSecond is USER_HZ of proc(5).
const ticksPerSecond = 100

// stat is what is read of /proc/PID/stat.
type stat struct {
	pid, parent int
	zombie      bool
	cpu         time.Duration // user and system
}

func readStat(pid int) (stat, bool) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // fields[0] is field 3, the state
	if len(fields) < 13 {
		return stat{}, false
	}
	number := func(i int) int { n, _ := strconv.Atoi(fields[i-3]); return n }
	ticks := time.Duration(number(14) + number(15))
	return stat{pid: pid, parent: number(4), zombie: fields[0] == "Z", cpu: ticks * time.Second / ticksPerSecond}, true
}

// children lists the living processes that pid has started.
func children(pid int) []stat {
	entries, _ := os.ReadDir("/proc")
	var out []stat
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, ok := readStat(n); ok && s.parent == pid && !s.zombie {
			out = append(out, s)
		}
	}
	return out
}

// cpuTime is what the process and its children have used so far.
func cpuTime(pid int) time.Duration {
	self, _ := readStat(pid)
	total := self.cpu
	for _, c := range children(pid) {
		total += c.cpu
	}
	return total
}
