package process_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"bulsa/internal/engine"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/engine/process"
	"bulsa/internal/node/inspector"
)

// stack looks into a worker and returns where it is.
func (b bench) stack(id engine.InstanceID) (stack []inspector.Frame, err error) {
	err = b.Engine.(*process.Engine).Inspect(context.Background(), id, func(ctx context.Context, s *inspector.Session) error {
		stack, err = s.Stack(ctx)
		return err
	})
	return stack, err
}

const blockedApp = `
require('http').createServer(() => {}).listen(3000, () => setTimeout(forever, 1));
function forever() {
  console.error('Debugger is my dog.');
  for (;;);
}
`

func TestABlockedNodeWorkerIsLookedIntoAndItsLogDoesNotTell(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	i := b.StartLaunch(b.node(t, blockedApp, 1))
	b.awaitLine(t, "app.1", "Debugger is my dog.")
	for range 2 {
		stack, err := b.stack(i.ID)
		if err != nil {
			t.Fatal(err)
		}
		if f, _ := inspector.Culprit(stack); f.Function != "forever" || filepath.Base(f.File) != "app.js" || f.Line != 5 {
			t.Errorf("it is in %+v of %+v", f, stack)
		}
	}
	b.Kill(i.ID)
	if lines := b.output("app.1"); len(lines) != 1 {
		t.Errorf("its log has %q", lines)
	}
}

func TestBehindAWrapperTheApplicationIsLookedInto(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	l := b.node(t, blockedApp, 1)
	l.Release.Service.Command.Args = []string{"/bin/sh", "-c", "node app.js; true"}
	i := b.StartLaunch(l)
	b.awaitLine(t, "app.1", "Debugger is my dog.")
	if stack, err := b.stack(i.ID); err != nil || len(stack) == 0 {
		t.Errorf("its stack is %v, %v", stack, err)
	}
	b.Kill(i.ID)
}

func TestAWorkerThatHandlesTheSignalItselfIsLeftAlone(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	i := b.StartLaunch(b.node(t, "process.on('SIGUSR1', () => console.log('mine'));"+plainApp, 1))
	b.Await(i.ID, engine.Listening)
	if _, err := b.stack(i.ID); err == nil || !strings.Contains(err.Error(), "handles SIGUSR1 itself") {
		t.Errorf("Inspect says %v", err)
	}
	b.Kill(i.ID)
	if lines := b.output("app.1"); len(lines) > 0 {
		t.Errorf("it printed %q", lines)
	}
}

func TestWhatIsNoNodeWorkerIsLeftAlone(t *testing.T) {
	b := newBench(t)
	i := b.StartLaunch(b.script("exec sleep 1000"))
	if _, err := b.stack(i.ID); err == nil || !strings.Contains(err.Error(), "no Node program") {
		t.Errorf("Inspect says %v", err)
	}
	b.Kill(i.ID)
	enginetest.Eventually(t, "it is gone", func() bool {
		_, err := b.stack(i.ID)
		return errors.Is(err, engine.ErrNoInstance)
	})
}
