// Package enginetest is the suite that every engine passes.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// patience is how long a fact may take before a test fails.
const patience = 60 * time.Second

// Harness is one engine under test.
type Harness struct {
	Engine engine.Engine
	// Service makes a service whose workers run a program; see Command. An engine
	// that owns no processes (Properties.HasOutput is false) ignores the program.
	Service func(t testing.TB, program string) spec.Service
}

// Run runs the suite. newEngine makes a new engine for each test; the suite closes it.
func Run(t *testing.T, newEngine func(t *testing.T) Harness) {
	tests := []struct {
		name  string
		owned bool // only for engines whose workers are processes of their own
		test  func(t *testing.T, b *Bench)
	}{
		{"a started worker is listed and ends once", false, endsOnce},
		{"an ended worker is no instance any more", false, isGone},
		{"two runs of one worker do not mix", false, doesNotMix},
		{"close ends all and closes the facts", false, closesAll},
		{"a command gives its output and status", false, execGives},
		{"a command's output is cut", false, execCuts},
		{"a command that takes too long is killed with all it started", false, execTimesOut},
		{"a command's cost is measured", false, execCosts},
		{"a command for an ended worker is refused", false, execRefused},
		{"an exit status is told", true, tellsStatus},
		{"a signal is told", true, tellsSignal},
		{"a real-time signal arrives", true, realTimeSignal},
		{"an unknown signal is an error", true, unknownSignal},
		{"stop ends a worker that obeys", true, stops},
		{"kill ends a worker and its child that do not", true, kills},
		{"a missing command is an error", true, missingCommand},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			h := newEngine(t)
			b := NewBench(t, h.Engine, h.Service)
			if c.owned && !h.Engine.Properties().HasOutput {
				t.Skip("the engine owns no processes")
			}
			c.test(t, b)
		})
	}
}

// Bench starts workers of one engine and records its facts.
type Bench struct {
	Engine  engine.Engine
	t       testing.TB
	service func(t testing.TB, program string) spec.Service
	runs    int

	mu     sync.Mutex
	facts  []engine.Fact
	grown  chan struct{} // closed at the next fact
	closed chan struct{} // closed with the stream
}

// NewBench reads the engine's facts until the test ends, and closes it then.
func NewBench(t testing.TB, e engine.Engine, service func(t testing.TB, program string) spec.Service) *Bench {
	b := &Bench{Engine: e, t: t, service: service, grown: make(chan struct{}), closed: make(chan struct{})}
	go func() {
		defer close(b.closed)
		for f := range e.Facts() {
			b.mu.Lock()
			b.facts = append(b.facts, f)
			close(b.grown)
			b.grown = make(chan struct{})
			b.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		<-b.closed
	})
	return b
}

// Launch makes a launch of a program as worker number of its service.
func (b *Bench) Launch(program string, number int) engine.Launch {
	b.runs++
	s := b.service(b.t, program)
	return engine.Launch{
		ID:     engine.InstanceID(fmt.Sprintf("%s.%d#%d", s.Name, number, b.runs)),
		Worker: fmt.Sprintf("%s.%d", s.Name, number), Number: number,
		Release: &spec.Release{Number: b.runs, Digest: s.Digest(), Service: s},
	}
}

// Start starts a program and fails the test when that does not work.
func (b *Bench) Start(program string) engine.Instance {
	b.t.Helper()
	return b.StartLaunch(b.Launch(program, 1))
}

// StartLaunch starts a launch and fails the test when that does not work.
func (b *Bench) StartLaunch(l engine.Launch) engine.Instance {
	b.t.Helper()
	i, err := b.Engine.Start(context.Background(), l)
	if err != nil {
		b.t.Fatalf("Start %s: %v", l.Worker, err)
	}
	return i
}

// Await waits for a fact of an instance.
func (b *Bench) Await(id engine.InstanceID, kind engine.FactKind) engine.Fact {
	b.t.Helper()
	deadline := time.After(patience)
	for {
		b.mu.Lock()
		facts, grown := b.facts, b.grown
		b.mu.Unlock()
		for _, f := range facts {
			if f.Instance == id && f.Kind == kind {
				return f
			}
		}
		select {
		case <-grown:
		case <-deadline:
			b.t.Fatalf("no fact %d of %s within %s; there were %+v", kind, id, patience, facts)
		}
	}
}

// Facts returns what was told of an instance so far.
func (b *Bench) Facts(id engine.InstanceID) []engine.Fact {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []engine.Fact
	for _, f := range b.facts {
		if f.Instance == id {
			list = append(list, f)
		}
	}
	return list
}

// Kill kills an instance and waits for its end.
func (b *Bench) Kill(id engine.InstanceID) engine.Exit {
	b.t.Helper()
	if err := b.Engine.Kill(context.Background(), id); err != nil {
		b.t.Fatalf("Kill %s: %v", id, err)
	}
	return b.Await(id, engine.Exited).Exit
}

// Eventually waits until what is true.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// PID waits for a program to write a pid into file.
func PID(t testing.TB, file string) int {
	t.Helper()
	var pid int
	Eventually(t, "a pid in "+filepath.Base(file), func() bool {
		b, err := os.ReadFile(file)
		if err == nil {
			pid, err = strconv.Atoi(string(b))
		}
		return err == nil
	})
	return pid
}

// Alive reports whether a process exists, be it as a zombie.
func Alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func endsOnce(t *testing.T, b *Bench) {
	i := b.Start("obedient")
	list, err := b.Engine.List(context.Background())
	if err != nil || len(list) != 1 || list[0].ID != i.ID {
		t.Fatalf("List = %v, %v; want the one instance", list, err)
	}
	if i.Ref == "" || i.Started.IsZero() {
		t.Errorf("instance = %+v; want a reference and a start time", i)
	}
	b.Kill(i.ID)
	if err := b.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	<-b.closed
	facts := b.Facts(i.ID)
	for n, f := range facts {
		if last := n == len(facts)-1; (f.Kind == engine.Exited) != last {
			t.Fatalf("facts = %+v; want Exited once, as the last", facts)
		}
		if f.At.IsZero() {
			t.Errorf("fact %+v has no time", f)
		}
	}
}

func isGone(t *testing.T, b *Bench) {
	i := b.Start("obedient")
	b.Kill(i.ID)
	ctx := context.Background()
	for what, err := range map[string]error{
		"Signal": b.Engine.Signal(ctx, i.ID, "SIGTERM"),
		"Stop":   b.Engine.Stop(ctx, i.ID),
		"Kill":   b.Engine.Kill(ctx, i.ID),
	} {
		if !errors.Is(err, engine.ErrNoInstance) {
			t.Errorf("%s of an ended worker = %v; want ErrNoInstance", what, err)
		}
	}
	if list, _ := b.Engine.List(ctx); len(list) != 0 {
		t.Errorf("List = %v; want nothing", list)
	}
}

func doesNotMix(t *testing.T, b *Bench) {
	first, second := b.Start("obedient"), b.Start("obedient")
	if first.ID == second.ID {
		t.Fatal("two runs have one ID")
	}
	b.Kill(first.ID)
	list, _ := b.Engine.List(context.Background())
	if len(list) != 1 || list[0].ID != second.ID {
		t.Fatalf("List = %v; want only the second run", list)
	}
	for _, f := range b.Facts(second.ID) {
		if f.Kind == engine.Exited {
			t.Error("the second run is told to have ended with the first")
		}
	}
	b.Kill(second.ID)
}

func closesAll(t *testing.T, b *Bench) {
	var ids []engine.InstanceID
	for range 3 {
		ids = append(ids, b.Start("obedient").ID)
	}
	if err := b.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.closed:
	case <-time.After(patience):
		t.Fatal("the stream of facts is not closed")
	}
	for _, id := range ids {
		if f := b.Facts(id); len(f) == 0 || f[len(f)-1].Kind != engine.Exited {
			t.Errorf("facts of %s = %v; want Exited at the end", id, f)
		}
	}
	if _, err := b.Engine.Start(context.Background(), b.Launch("obedient", 1)); err == nil {
		t.Error("a closed engine starts workers")
	}
}

func (b *Bench) exec(t *testing.T, line string, timeout time.Duration, limit int) engine.Result {
	t.Helper()
	i := b.Start("obedient")
	r, err := b.Engine.Exec(context.Background(), i.ID, engine.Command{Args: []string{"/bin/sh", "-c", line}, Timeout: timeout, MaxOutput: limit})
	if err != nil {
		t.Fatalf("Exec: %v", err)
	}
	return r
}

func execGives(t *testing.T, b *Bench) {
	r := b.exec(t, "echo out; echo err >&2; exit 3", patience, 4096)
	swapped := b.Engine.Properties().NoOrder && r.Output == "err\nout\n"
	if r.ExitCode != 3 || r.Output != "out\nerr\n" && !swapped || r.TimedOut {
		t.Errorf("result = %+v; want status 3 and both lines", r)
	}
}

func execCuts(t *testing.T, b *Bench) {
	r := b.exec(t, "head -c 1000000 /dev/zero | tr '\\0' x", patience, 4096)
	if r.ExitCode != 0 || r.Output != strings.Repeat("x", 4096) {
		t.Errorf("status %d and %d bytes; want 0 and the first 4096", r.ExitCode, len(r.Output))
	}
}

func execTimesOut(t *testing.T, b *Bench) {
	file := filepath.Join(t.TempDir(), "pid")
	r := b.exec(t, "sleep 3600 & echo $! >"+file+"; wait", 3*time.Second, 4096) // on a busy machine Docker takes a second to start a command
	if r.ExitCode != -1 || !r.TimedOut {
		t.Errorf("result = %+v; want -1 for a time-out", r)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	Eventually(t, "the command's child is gone", func() bool { return !Alive(pid) })
}

func execCosts(t *testing.T, b *Bench) {
	r := b.exec(t, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done", patience, 0)
	if b.Engine.Properties().NoCosts {
		if r.CPU != 0 || r.Wall <= 0 {
			t.Errorf("cost = %s of CPU in %s; want a time, and no guess", r.CPU, r.Wall)
		}
		return
	}
	if r.CPU <= 0 || r.Wall < r.CPU/8 {
		t.Errorf("cost = %s of CPU in %s; want some", r.CPU, r.Wall)
	}
}

func execRefused(t *testing.T, b *Bench) {
	i := b.Start("obedient")
	b.Kill(i.ID)
	_, err := b.Engine.Exec(context.Background(), i.ID, engine.Command{Args: []string{"true"}})
	if !errors.Is(err, engine.ErrNoInstance) {
		t.Errorf("Exec = %v; want ErrNoInstance", err)
	}
}

func tellsStatus(t *testing.T, b *Bench) {
	i := b.Start("exit 7")
	if x := b.Await(i.ID, engine.Exited).Exit; x.Code != 7 || x.Signal != "" || x.OOM || x.Voluntary {
		t.Errorf("exit = %+v; want status 7", x)
	}
}

func tellsSignal(t *testing.T, b *Bench) {
	i := b.Start("obedient")
	if err := b.Engine.Signal(context.Background(), i.ID, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	if x := b.Await(i.ID, engine.Exited).Exit; x.Code != -1 || x.Signal != "SIGKILL" {
		t.Errorf("exit = %+v; want SIGKILL", x)
	}
}

// realTimeSignal: systemd as a container's first process ends by SIGRTMIN+3. Before the
// program listens for it a process dies of it, and a first process does not notice.
func realTimeSignal(t *testing.T, b *Bench) {
	i := b.Start("systemd")
	Eventually(t, "the worker to end by a real-time signal", func() bool {
		if err := b.Engine.Signal(context.Background(), i.ID, "SIGRTMIN+3"); err != nil && !errors.Is(err, engine.ErrNoInstance) {
			t.Fatal(err)
		}
		return slices.ContainsFunc(b.Facts(i.ID), func(f engine.Fact) bool { return f.Kind == engine.Exited })
	})
	if x := b.Await(i.ID, engine.Exited).Exit; x.Code != 7 && x.Signal != "SIGRTMIN+3" {
		t.Errorf("exit = %+v; want status 7, or the signal", x)
	}
}

func unknownSignal(t *testing.T, b *Bench) {
	i := b.Start("obedient")
	if err := b.Engine.Signal(context.Background(), i.ID, "SIGNONE"); err == nil || errors.Is(err, engine.ErrNoInstance) {
		t.Errorf("Signal = %v; want an error that names the signal", err)
	}
}

func stops(t *testing.T, b *Bench) {
	i := b.Start("obedient")
	if err := b.Engine.Stop(context.Background(), i.ID); err != nil {
		t.Fatal(err)
	}
	b.Await(i.ID, engine.Exited)
}

func kills(t *testing.T, b *Bench) {
	file := filepath.Join(t.TempDir(), "pid")
	i := b.Start("stubborn " + file)
	self, child := PID(t, file+".self"), PID(t, file)
	if err := b.Engine.Stop(context.Background(), i.ID); err != nil {
		t.Fatal(err)
	}
	if !Alive(self) || !Alive(child) {
		t.Fatal("they are not as stubborn as the test needs them")
	}
	if x := b.Kill(i.ID); x.Signal != "SIGKILL" {
		t.Errorf("exit = %+v; want SIGKILL", x)
	}
	Eventually(t, "both are gone", func() bool { return !Alive(self) && !Alive(child) })
}

func missingCommand(t *testing.T, b *Bench) {
	l := b.Launch("obedient", 1)
	l.Release.Service.Command.Args = []string{"no-such-command-anywhere"}
	l.Release.Digest = l.Release.Service.Digest()
	_, err := b.Engine.Start(context.Background(), l)
	if err == nil || !strings.Contains(err.Error(), "command not found: no-such-command-anywhere") {
		t.Errorf("Start = %v; want a line that names the command", err)
	}
	if list, _ := b.Engine.List(context.Background()); len(list) != 0 {
		t.Errorf("List = %v; want nothing", list)
	}
}
