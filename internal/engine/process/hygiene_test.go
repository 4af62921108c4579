package process_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/engine/process"
)

func linuxOnly(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc and a subreaper")
	}
}

// zombies counts the dead children that nobody has collected.
func zombies() int {
	n := 0
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			n++
		}
	}
	return n
}

func TestOrphansAreReapedWhileTheirWorkerRuns(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	i := b.Start("orphans 500")
	b.awaitLine(t, i.Worker, "left")
	enginetest.Eventually(t, "no zombie", func() bool { return zombies() == 0 })
	b.Kill(i.ID)
	if n := zombies(); n != 0 {
		t.Errorf("%d zombies after the worker's end", n)
	}
}

func TestReapingLeavesCommandsOfOthersAlone(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	for n := range 30 {
		i := b.Start("exit 0") // its death makes the engine look around
		c := exec.Command("/bin/sh", "-c", "exit 5")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: n%2 == 0}
		if err := c.Run(); c.ProcessState == nil || c.ProcessState.ExitCode() != 5 {
			t.Fatalf("a command of somebody else was lost: %v", err)
		}
		b.Await(i.ID, engine.Exited)
	}
}

func TestWhatALeaderLeavesInItsGroupEndsWithIt(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "pid")
	i := b.Start("parent " + file)
	child := enginetest.PID(t, file)
	b.Await(i.ID, engine.Exited)
	if enginetest.Alive(child) {
		t.Errorf("Exited was told, and process %d of the group lives", child)
	}
}

func TestAChildWithASessionOfItsOwnEndsWithItsWorker(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "pid")
	i := b.Start("escaped " + file)
	child := enginetest.PID(t, file)
	b.Kill(i.ID)
	if enginetest.Alive(child) {
		t.Errorf("Exited was told, and the escaped process %d lives", child)
	}
}

func TestAnotherWorkersEscapedChildLives(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "pid")
	keeps := b.Start("escaped " + file)
	child := enginetest.PID(t, file)
	b.Kill(b.Start("obedient").ID)
	if !enginetest.Alive(child) {
		t.Error("the end of one worker killed a process of another")
	}
	b.Kill(keeps.ID)
}

func TestAStoppedWorkersChildrenHaveTheGraceToo(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "done")
	l := b.script("(trap 'sleep 0.3; echo yes >" + file + "; exit' TERM; echo ready; while :; do sleep 0.05; done) & trap 'exit 0' TERM; wait")
	l.Release.Service.Stop.Grace = 10 * time.Second
	i := b.StartLaunch(l)
	b.awaitLine(t, i.Worker, "ready")
	if err := b.Engine.Stop(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	b.Await(i.ID, engine.Exited)
	if _, err := os.Stat(file); err != nil {
		t.Error("the shell obeyed, and its child was killed in the middle of its own end")
	}
}

func TestAStopIsOverWhenTheGraceIs(t *testing.T) {
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "pid")
	l := b.script("(trap '' TERM; echo $$ >" + file + "; sleep 3600) & trap 'exit 0' TERM; echo ready; wait")
	l.Release.Service.Stop.Grace = 50 * time.Millisecond
	i := b.StartLaunch(l)
	b.awaitLine(t, i.Worker, "ready")
	if err := b.Engine.Stop(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	b.Await(i.ID, engine.Exited)
}

func TestAWorkerHasNoDescriptorThatIsNotItsOwn(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	other := b.Start("obedient") // its pipes must not leak into the next one
	i := b.Start("obedient")
	defer b.Kill(other.ID)
	base := fmt.Sprintf("/proc/%d/fd", i.PID)
	enginetest.Eventually(t, "the worker has been executed", func() bool {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", i.PID))
		self, _ := os.Executable()
		return exe == self
	})
	b.awaitLine(t, i.Worker, "ready")
	entries, err := os.ReadDir(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		link, err := os.Readlink(filepath.Join(base, e.Name()))
		if err != nil {
			continue
		}
		switch n, _ := strconv.Atoi(e.Name()); {
		case n == 0 && link != os.DevNull:
			t.Errorf("stdin is %s", link)
		case n >= 3 && !closedOnExec(i.PID, n): // what the worker opened itself has the flag
			t.Errorf("descriptor %d is %s", n, link)
		}
	}
}

// closedOnExec reports whether a descriptor has a flag that no inherited one has.
func closedOnExec(pid, fd int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return true // it is closed by now
	}
	fields := strings.Fields(string(b))
	flags, err := strconv.ParseUint(fields[slices.Index(fields, "flags:")+1], 8, 64)
	return err == nil && flags&syscall.O_CLOEXEC != 0
}

func TestAWorkersSurroundings(t *testing.T) {
	b := newBench(t)
	l := b.script("env; pwd; ulimit -n; ulimit -Hn; ps -o pgid=,sid= -p $$; sleep 3600")
	l.Number, l.Worker = 3, "app.3"
	l.Release.Service.Command.Env = append(l.Release.Service.Command.Env, "GREETING=hello world")
	i := b.StartLaunch(l)
	for _, want := range []string{
		"BULSA_SERVICE=app", "BULSA_WORKER=3", "NODE_APP_INSTANCE=2", "BULSA_INSTANCE=" + string(l.ID),
		"GREETING=hello world", l.Release.Service.Command.Dir,
	} {
		b.awaitLine(t, i.Worker, want)
	}
	pid := strconv.Itoa(i.PID)
	enginetest.Eventually(t, "its own group and session", func() bool {
		return slices.ContainsFunc(b.output(i.Worker), func(s string) bool { return slices.Equal(strings.Fields(s), []string{pid, pid}) })
	})
	for _, line := range b.output(i.Worker) {
		if strings.HasPrefix(line, "PORT=") || strings.HasPrefix(line, "LISTEN_") || strings.HasPrefix(line, "NODE_CHANNEL") {
			t.Errorf("a worker without ports has %s", line)
		}
	}
	b.Await(i.ID, engine.Settled)
}

func TestOutputIsKeptWithoutAFinalNewline(t *testing.T) {
	b := newBench(t)
	i := b.StartLaunch(b.script("printf 'one\\ntw'; sleep 0.05; printf 'o\\nthree'; printf 'oops' >&2; exit 1"))
	b.Await(i.ID, engine.Exited)
	for _, want := range []string{"one", "two", "three", "oops"} {
		if got := b.output(i.Worker); !slices.Contains(got, want) {
			t.Errorf("output = %q; %q is missing", got, want)
		}
	}
}

func TestACauseIsTheLastLineThatLooksLikeAnError(t *testing.T) {
	b := newBench(t)
	i := b.StartLaunch(b.script("echo starting; echo 'Error: no database at db:5432' >&2; exit 1"))
	if x := b.Await(i.ID, engine.Exited).Exit; x.Code != 1 || x.Cause != "Error: no database at db:5432" {
		t.Errorf("exit = %+v", x)
	}
	i = b.StartLaunch(b.script("echo all is well; exit 1"))
	if x := b.Await(i.ID, engine.Exited).Exit; x.Cause != "" {
		t.Errorf("cause = %q; want none", x.Cause)
	}
}

func TestACommandsChildDoesNotHoldUpItsEnd(t *testing.T) {
	b := newBench(t)
	i := b.Start("obedient")
	began := time.Now()
	r, err := b.Engine.Exec(t.Context(), i.ID, engine.Command{
		Args: []string{"/bin/sh", "-c", "sleep 3600 & setsid sleep 3600 & echo done"}, Timeout: time.Minute, MaxOutput: 100,
	})
	if err != nil || r.ExitCode != 0 || r.Output != "done\n" {
		t.Errorf("result = %+v, %v", r, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Standard input is at its end, or never: then nothing ends by it but with its worker.
func TestStandardInputMayStayOpen(t *testing.T) {
	for _, open := range []bool{false, true} {
		b := newBench(t)
		l := b.script("echo up; cat; echo at its end; exec sleep 3600")
		l.Release.Service.Command.StdinOpen = open
		i := b.StartLaunch(l)
		b.awaitLine(t, i.Worker, "up")
		if !open {
			b.awaitLine(t, i.Worker, "at its end")
		}
		b.Kill(i.ID)
		if ended := slices.Contains(b.output(i.Worker), "at its end"); ended == open {
			t.Errorf("open %v: output %q", open, b.output(i.Worker))
		}
	}
}

func TestACommandEndsWithItsWorker(t *testing.T) {
	b := newBench(t)
	i := b.Start("obedient")
	file := filepath.Join(t.TempDir(), "up")
	result := make(chan engine.Result, 1)
	go func() {
		r, _ := b.Engine.Exec(t.Context(), i.ID, engine.Command{Args: []string{"/bin/sh", "-c", "echo >" + file + "; sleep 3600"}})
		result <- r
	}()
	enginetest.Eventually(t, "the command runs", func() bool { _, err := os.Stat(file); return err == nil })
	b.Kill(i.ID)
	if r := <-result; r.ExitCode != -1 || r.TimedOut {
		t.Errorf("result = %+v; want -1, and no time-out", r)
	}
}

func TestAKilledCommandsChildrenAreInItsCost(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	i := b.Start("obedient")
	file := filepath.Join(t.TempDir(), "worked")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan engine.Result, 1)
	go func() {
		r, _ := b.Engine.Exec(ctx, i.ID, engine.Command{
			Args: []string{"/bin/sh", "-c", "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo >" + file + "; exec sleep 3600) & wait"},
		})
		result <- r
	}()
	enginetest.Eventually(t, "the child has worked", func() bool { _, err := os.Stat(file); return err == nil })
	cancel()
	if r := <-result; r.ExitCode != -1 || r.CPU < 30*time.Millisecond {
		t.Errorf("result = %+v; want the busy child's CPU time", r)
	}
}

func TestErrorsOfAStartAreOneClearLine(t *testing.T) {
	b := newBench(t)
	folder := t.TempDir()
	text := filepath.Join(folder, "plain.txt")
	if err := os.WriteFile(text, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(l *engine.Launch)
		want   string
	}{
		{func(l *engine.Launch) { l.Release.Service.Command.Args = []string{"./nothing-here"} }, "cannot start app.1: command not found: ./nothing-here"},
		{func(l *engine.Launch) { l.Release.Service.Command.Args = []string{text} }, "not executable"},
		{func(l *engine.Launch) { l.Release.Service.Command.Dir = "/no/such/folder" }, "cannot start app.1: its working directory does not exist: /no/such/folder"},
		{func(l *engine.Launch) { l.Release.Service.Command.User = "nobody-at-all" }, `cannot start app.1: user: unknown user "nobody-at-all"`},
		{func(l *engine.Launch) { l.Release.Service.Stop.Signal = "SIGNONE" }, `unknown stop signal "SIGNONE"`},
	} {
		l := b.Launch("obedient", 1)
		c.change(&l)
		_, err := b.Engine.Start(t.Context(), l)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Start = %v; want %q", err, c.want)
		}
	}
}

func TestAWorkerRunsAsItsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	b := newBench(t)
	l := b.script("id -u; id -g; sleep 3600")
	l.Release.Service.Command.User = "12345:54321"
	l.Release.Service.Command.Dir = "/"
	i := b.StartLaunch(l)
	b.awaitLine(t, i.Worker, "12345")
	b.awaitLine(t, i.Worker, "54321")
}

// TestLeftoversOfAKilledBulsaEnd plays the killed one: it starts a process with
// the marks of a worker, and writes down the state that such a bulsa leaves.
func TestLeftoversOfAKilledBulsaEnd(t *testing.T) {
	linuxOnly(t)
	c := exec.Command("sleep", "3600")
	c.Env = []string{"BULSA_INSTANCE=app.1#1", "BULSA_MASTER_ID=the-one-before"}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command("sleep", "3600")
	stranger.Env = []string{"BULSA_INSTANCE=app.1#1", "BULSA_MASTER_ID=another-project"}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stranger.Process.Kill(); stranger.Wait() }()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	state := fmt.Sprintf(`{"boot":%q,"master":"the-one-before","runs":[{"instance":"app.1#1","pid":1,"started":1}]}`, strings.TrimSpace(string(boot)))
	newBenchWith(t, func(p *process.Config) {
		if err := os.WriteFile(filepath.Join(p.RuntimeDir, "processes.json"), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if err := c.Wait(); c.ProcessState == nil || c.ProcessState.ExitCode() != -1 {
		t.Errorf("the leftover ended with %v; want SIGKILL", err)
	}
	if !enginetest.Alive(stranger.Process.Pid) {
		t.Error("a process of another project was killed")
	}
}

func TestAnEngineLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	e, _ := newEngine(t, nil)
	b := bench{Bench: enginetest.NewBench(t, e, service)}
	for range 3 {
		b.Start("obedient")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if n := zombies(); n != 0 {
		t.Errorf("%d zombies", n)
	}
	enginetest.Eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before+2 })
}
