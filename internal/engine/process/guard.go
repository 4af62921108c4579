package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"bulsa/internal/shim"
)

// guardPatience is how long the guard goes on killing what is left.
const guardPatience = 10 * time.Second

// guard is a small process that outlives a bulsa which is killed, to end what
// its workers leave then. The kernel kills the workers themselves with bulsa
// (PR_SET_PDEATHSIG), but not what they have started.
type guard struct {
	command *exec.Cmd
	pipe    io.Closer // its standard input: at an end when bulsa is
	ended   chan struct{}
}

// startGuard runs argv, which leads to Guard, in a group of its own: Ctrl-C is
// not meant for it.
func startGuard(argv []string, master string) (*guard, error) {
	c := exec.Command(argv[0], append(slices.Clone(argv[1:]), master)...)
	c.Dir, c.SysProcAttr = "/", &syscall.SysProcAttr{Setpgid: true}
	pipe, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	g := &guard{command: c, pipe: pipe, ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		_ = c.Wait() // however it ends, it is not missed while bulsa lives
	}()
	return g, nil
}

// dismiss ends the guard, when nothing is left that it could end.
func (g *guard) dismiss() {
	if g == nil {
		return
	}
	_ = g.command.Process.Kill() // it may have ended already
	<-g.ended
	g.pipe.Close()
}

// Guard waits for the end of standard input, and then kills every process of
// the bulsa with the MasterID args[0]. It returns an exit status.
func Guard(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "bulsa: the guard needs the id of a bulsa")
		return 2
	}
	shim.Wait() // it has, where the program began as a guard
	mark := masterMark + args[0]
	for end := time.Now().Add(guardPatience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left := slices.DeleteFunc(listProcesses(), func(p processInfo) bool {
			return p.zombie || !slices.Contains(environment(p.pid), mark)
		})
		if len(left) == 0 {
			break
		}
		for _, p := range left {
			_ = signalProcess(p, syscall.SIGKILL) // the next look tells whether it worked
		}
	}
	return 0
}
