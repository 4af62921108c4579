package process_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/eventloop"
)

// watched makes a launch whose event loop may be watched.
func (b bench) watched(t testing.TB, app string, args ...string) engine.Launch {
	t.Helper()
	l := b.node(t, app, 1, args...)
	l.Release.Service.EventLoop.Monitor = true
	return l
}

func (b bench) observer() engine.Observer { return b.Engine.(engine.Observer) }

// seen waits until the instance's loop can be looked at.
func (b bench) seen(t testing.TB, id engine.InstanceID) (engine.Loop, eventloop.Reading) {
	t.Helper()
	loop := b.observer().Loop(id)
	if loop == nil {
		t.Fatal("it has no event loop")
	}
	var reading eventloop.Reading
	enginetest.Eventually(t, "its loop is seen", func() (ok bool) {
		reading, ok = loop.Look()
		return ok
	})
	return loop, reading
}

func TestTheLoopOfANodeWorkerIsSeen(t *testing.T) {
	linuxOnly(t)
	b := newNodeBench(t, &doorman{})
	i := b.StartLaunch(b.watched(t, plainApp))
	loop, reading := b.seen(t, i.ID)
	if loop.PID() != i.PID || reading.Handles == 0 || reading.Idle <= 0 {
		t.Errorf("process %d of instance %d: %+v", loop.PID(), i.PID, reading)
	}
	if answer, _, ok := loop.Heard(); !ok || answer.Clock == 0 {
		t.Errorf("it confirmed nothing: %+v", answer)
	}
	b.Kill(i.ID)
	if _, ok := loop.Look(); ok {
		t.Error("a dead worker's loop is seen")
	}
	if b.observer().Loop(i.ID) != nil {
		t.Error("a dead worker has a loop")
	}
}

func TestTheLoopBehindAShellIsThatOfNode(t *testing.T) {
	linuxOnly(t)
	b := newNodeBench(t, &doorman{})
	l := b.watched(t, plainApp)
	l.Release.Service.Command.Args = []string{"sh", "-c", "node app.js; true"}
	i := b.StartLaunch(l)
	loop, _ := b.seen(t, i.ID)
	exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(loop.PID()), "exe"))
	if err != nil || filepath.Base(exe) != "node" || loop.PID() == i.PID {
		t.Errorf("process %d (%s) of instance %d, %v", loop.PID(), exe, i.PID, err)
	}
}

func TestAWorkerThatNamesAnotherProcessIsNotBelieved(t *testing.T) {
	linuxOnly(t)
	other := exec.Command("node", "-e", "setInterval(() => {}, 1e6)")
	if err := other.Start(); err != nil {
		t.Skip("no node")
	}
	defer other.Wait()
	defer other.Process.Signal(syscall.SIGKILL)
	b := newNodeBench(t, &doorman{})
	i := b.StartLaunch(b.watched(t, strings.Replace(plainApp, "server.listen(3000);", `
process.send({ cmd: 'NODE_BULSA', act: 'hello', loop: true, pid: `+strconv.Itoa(other.Process.Pid)+` });
server.listen(3000);`, 1)))
	loop := b.observer().Loop(i.ID)
	enginetest.Eventually(t, "it has named the other process", func() bool { return loop.PID() == other.Process.Pid })
	for range 50 {
		if _, ok := loop.Look(); ok {
			t.Fatal("the loop of another process is taken for the worker's")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestALoopThatIsNotToBeWatchedIsNone(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	i := b.StartLaunch(b.node(t, plainApp, 1))
	if b.observer().Loop(i.ID) != nil {
		t.Error("it has one")
	}
}
