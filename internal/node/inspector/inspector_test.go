package inspector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It is long: these machines are shared.
const patience = 60 * time.Second

// nodes are the Node binaries to test, by version: the one on PATH, and those of
// $BULSA_TEST_NODES (scripts/test-nodes.sh prints them).
func nodes(t *testing.T) map[string]string {
	t.Helper()
	found, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// oldestAndNewest are two of nodes, for what takes long and is the same in all.
func oldestAndNewest(t *testing.T) map[string]string {
	t.Helper()
	all := nodes(t)
	versions := slices.Sorted(maps.Keys(all)) // v18 to v26: as text they have the order of their numbers
	oldest, newest := versions[0], versions[len(versions)-1]
	return map[string]string{oldest: all[oldest], newest: all[newest]}
}

var installed = sync.OnceValues(func() (map[string]string, error) {
	own, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("node is not on PATH")
	}
	found := map[string]string{}
	for _, path := range append([]string{own}, filepath.SplitList(os.Getenv("BULSA_TEST_NODES"))...) {
		out, err := exec.Command(path, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("%s --version: %w", path, err)
		}
		found[strings.TrimSpace(string(out))] = path
	}
	return found, nil
})

// program is a Node process under test.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *transcript
	stderr *transcript
}

type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *transcript) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(b)
}

func (x *transcript) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// start runs a script until the test ends, and waits until it has printed "up".
func start(t *testing.T, node, script string, flags ...string) *program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app.js")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, stdout: &transcript{}, stderr: &transcript{}}
	p.cmd = exec.Command(node, append(flags, file)...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		p.cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-exited
	})
	p.prints("up")
	return p
}

// prints waits for a text on standard output.
func (p *program) prints(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("the program prints %q; it said %q", text, p.stderr), func() bool { return strings.Contains(p.stdout.String(), text) })
}

func (p *program) pid() int { return p.cmd.Process.Pid }

// open looks into the program for as long as the test takes.
func (p *program) open() *Session {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, _, err := Open(ctx, p.pid())
	if err != nil {
		p.t.Fatalf("Open: %v", err)
	}
	return s
}

// listening is where the program listens.
func (p *program) listening() map[uint64]listener {
	p.t.Helper()
	found, err := find(p.pid())
	if err != nil {
		p.t.Fatal(err)
	}
	all, err := found.listening()
	if err != nil {
		p.t.Fatal(err)
	}
	own, err := found.owns(all)
	if err != nil {
		p.t.Fatal(err)
	}
	return own
}

func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !fact() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// anyPort is what bulsa's preload does.
const anyPort = "process.debugPort = 0;\n"

// blocks are ways to block a loop in JavaScript, each in a function of its name
// on line 3.
func blocks() map[string]string {
	return map[string]string{
		"forever": "for (;;);",
		"regexp":  "/^(a+)+$/.test('a'.repeat(60) + 'b');",
		"atomics": "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);",
	}
}

func TestABlockedProgramTellsWhatBlocksIt(t *testing.T) {
	for version, node := range nodes(t) {
		for name, code := range blocks() {
			t.Run(version+" "+name, func(t *testing.T) { // one at a time: each takes a whole core
				p := start(t, node, anyPort+"console.log('up'); setTimeout(() => "+name+"(), 1);\nfunction "+name+"() { console.log('blocks'); "+code+" }")
				p.prints("blocks")
				s := p.open()
				stack, err := s.Stack(deadline(t))
				if err != nil {
					t.Fatal(err)
				}
				f, ok := Culprit(stack)
				if !ok || f.Function != name || filepath.Base(f.File) != "app.js" || f.Line != 3 || f.Column == 0 {
					t.Errorf("what blocks is %+v of %+v, not %s on line 3", f, stack, name)
				}
				raw, err := s.CPUProfile(deadline(t), 50*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				if sum, err := Summarize(raw, 3); err != nil || len(sum.Hot) == 0 {
					t.Errorf("its profile sums up to %+v, %v", sum, err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if open := p.listening(); len(open) > 0 {
					t.Errorf("its inspector still listens: %v", open)
				}
			})
		}
	}
}

// As the end of the last session may do.
func TestAnInspectorThatIsClosedAtOnceIsAskedForAgain(t *testing.T) {
	for version, node := range nodes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := start(t, node, anyPort+`
const inspector = require('inspector');
let closed = false;
(function look() {
  if (!closed && inspector.url()) {
    closed = true;
    inspector.close();
  }
  setImmediate(look);
})();
console.log('up');`)
			s := p.open()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheInspectorIsOnLoopbackAndClosedAfterwards(t *testing.T) {
	for version, node := range nodes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := start(t, node, anyPort+"setInterval(() => {}, 10); console.log('up');")
			for range 3 {
				s := p.open()
				open := p.listening()
				if len(open) != 1 {
					t.Fatalf("it listens at %v", open)
				}
				for _, l := range open {
					if !l.address.Addr().IsLoopback() {
						t.Errorf("the inspector listens at %s", l.address)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if open := p.listening(); len(open) > 0 {
					t.Fatalf("it still listens at %v", open)
				}
			}
		})
	}
}

// A loop that was blocked while the inspector was opened and closed opens it
// again when it turns: Node asks for it in three ways at once.
func TestTheInspectorStaysClosedWhenABlockedLoopTurnsAgain(t *testing.T) {
	for version, node := range nodes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := start(t, node, anyPort+`
				const cell = new Int32Array(new SharedArrayBuffer(4));
				setTimeout(() => {
					console.log('up');
					Atomics.wait(cell, 0, 0, 1500);
					let turns = 0;
					setInterval(() => { if (++turns === 20) console.log('turned'); }, 5);
				}, 1);`)
			s := p.open()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			p.prints("turned")
			if open := p.listening(); len(open) > 0 {
				t.Errorf("it listens again at %v", open)
			}
		})
	}
}

func TestNativeCodeThatBlocksIsNamedAndTheInspectorThatOpensLateIsClosed(t *testing.T) {
	for version, node := range nodes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			// The child reads from a pipe, and so blocks the program for as long as the test holds it.
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			held, err := os.OpenFile(pipe, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			p := start(t, node, anyPort+fmt.Sprintf(`
				setTimeout(() => {
					console.log('up');
					require('child_process').spawnSync('cat', [%q]);
					console.log('on');
				}, 1);
				setInterval(() => {}, 10);`, pipe))
			eventually(t, "its child runs, which is a copy of Node at first, and it no longer reads whether it could be started", func() bool {
				found, err := find(p.pid())
				if err != nil || !slices.Contains(found.children(), "cat") {
					return false
				}
				call, waits := found.systemCall()
				return waits && call != syscall.SYS_READ
			})
			ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
			defer cancel()
			_, late, err := Open(ctx, p.pid())
			if _, ok := errors.AsType[*NativeError](err); !ok || !strings.Contains(err.Error(), "cat") {
				t.Fatalf("Open says %v", err)
			}
			time.AfterFunc(100*time.Millisecond, func() { held.Close() })
			late(deadline(t))
			p.prints("on")
			if open := p.listening(); len(open) > 0 {
				t.Errorf("it listens at %v", open)
			}
		})
	}
}

func TestAnIdleProgramHasNoStackAndAnIdleProfile(t *testing.T) {
	for version, node := range nodes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := start(t, node, anyPort+"setInterval(() => {}, 1e6); setTimeout(() => console.log('up'), 1);")
			s := p.open()
			defer s.Close()
			if stack, err := s.Stack(deadline(t)); err != nil || len(stack) > 0 {
				t.Errorf("its stack is %v, %v", stack, err)
			}
		})
	}
}

func TestAHeapSnapshotIsWholeAndASecondOneToo(t *testing.T) {
	for version, node := range oldestAndNewest(t) { // the pieces are put together in one way for all
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := start(t, node, anyPort+"class Needle {}; globalThis.kept = new Needle(); setInterval(() => {}, 1e6); console.log('up');")
			s := p.open()
			defer s.Close()
			for range 2 {
				var b bytes.Buffer
				if err := s.HeapSnapshot(deadline(t), &b); err != nil {
					t.Fatal(err)
				}
				// Decoding millions of numbers would take most of the time of all these tests.
				if !json.Valid(b.Bytes()) {
					t.Fatalf("the snapshot of %d bytes is not whole", b.Len())
				}
				if !bytes.Contains(b.Bytes(), []byte(`"nodes":[9,`)) || !bytes.Contains(b.Bytes(), []byte(`"Needle"`)) {
					t.Errorf("the snapshot of %d bytes has no nodes or no Needle", b.Len())
				}
			}
		})
	}
}

func TestPhasesTellTimersCheckMicrotasksAndThePool(t *testing.T) {
	const script = anyPort + `
		const spin = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
		const { pbkdf2 } = require('crypto');
		const round = () => setTimeout(() => {
			spin(5);
			setImmediate(() => {
				spin(3);
				Promise.resolve().then(() => spin(2));
				pbkdf2('a', 'b', 10000, 64, 'sha512', round); // nothing else to do meanwhile: it waits, on a busy machine, too
			});
		}, 5);
		round();
		setTimeout(() => console.log('up'), 20);`
	for version, node := range nodes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := start(t, node, script)
			s := p.open()
			defer s.Close()
			ph, err := s.Phases(deadline(t), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			named := map[string]Phase{}
			whole := 0.0
			for _, row := range ph.Phases {
				named[row.Name] = row
				if row.Known == Unknown && row.Seconds >= 0 || row.Known != Unknown && row.Seconds < 0 {
					t.Errorf("%+v", row)
				}
				whole += max(0, row.Seconds)
			}
			for _, row := range ph.Inside {
				named[row.Name] = row
			}
			for _, name := range []string{"timers", "check", "microtasks", "poll: waiting"} {
				if row := named[name]; row.Seconds <= 0 || row.Known != Exact {
					t.Errorf("%+v", row)
				}
			}
			if ph.Iterations == 0 || ph.Seconds < 0.9 || whole < 0.8*ph.Seconds || whole > 1.2*ph.Seconds {
				t.Errorf("%d iterations, %.3f s of %.3f s are told", ph.Iterations, whole, ph.Seconds)
			}
			if len(ph.Tasks) == 0 || ph.Tasks[0].Count == 0 || ph.Tasks[0].Run <= 0 {
				t.Errorf("the pool did %+v", ph.Tasks)
			}
		})
	}
}

func TestWhatWouldDieOfTheSignalIsLeftAlone(t *testing.T) {
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleep.Wait()
	defer sleep.Process.Kill()
	refused := func(pid int, want string) {
		t.Helper()
		if _, _, err := Open(deadline(t), pid); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open says %v, not %q", err, want)
		}
	}
	eventually(t, "sleep runs", func() bool {
		program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", sleep.Process.Pid))
		return filepath.Base(program) != filepath.Base(os.Args[0])
	})
	refused(sleep.Process.Pid, "not node")
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	const up = "setInterval(() => {}, 1e6); console.log('up');"
	refused(start(t, node, up, "--inspect-port=0.0.0.0:0").pid(), "--inspect-port")
	refused(start(t, node, up, "--report-signal=SIGUSR1").pid(), "SIGUSR2")
	// A listener that was added and removed leaves the signal deadly.
	refused(start(t, node, "const f = () => {}; process.on('SIGUSR1', f); process.off('SIGUSR1', f);"+up).pid(), "would die")
}

// TestALateInspectorThatNobodySawIsNotWaitedForInVain: the program closes it itself
// before anybody sees it, as the last turns of an earlier look do.
func TestALateInspectorThatNobodySawIsNotWaitedForInVain(t *testing.T) {
	for version, node := range nodes(t) {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := start(t, node, anyPort+`
				const closes = setInterval(() => process._debugEnd(), 1);
				setTimeout(() => clearInterval(closes), 2000);
				setInterval(() => {}, 1000);
				console.log('up');`)
			p.prints("up")
			before, err := (&process{pid: p.pid()}).listening()
			if err != nil {
				t.Fatal(err)
			}
			found, err := find(p.pid())
			if err != nil {
				t.Fatal(err)
			}
			ctx := deadline(t)
			found.closeLate(ctx, before) // nobody has asked for one
			if ctx.Err() != nil {
				t.Error("it waits in vain")
			}
			if open := p.listening(); len(open) > 0 {
				t.Errorf("it listens at %v", open)
			}
		})
	}
}
