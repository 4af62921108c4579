//go:build linux

package libuv

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/eventloop"
)

// eachNode runs a test with the node on PATH and every binary in BULSA_TEST_NODES.
func eachNode(t *testing.T, test func(t *testing.T, binary string)) {
	t.Helper()
	binaries := filepath.SplitList(os.Getenv("BULSA_TEST_NODES"))
	if own, err := exec.LookPath("node"); err == nil {
		binaries = append(binaries, own)
	}
	for _, b := range binaries {
		out, err := exec.Command(b, "--version").Output()
		if err != nil {
			t.Fatalf("%s --version: %v", b, err)
		}
		t.Run(strings.TrimSpace(string(out)), func(t *testing.T) {
			t.Parallel()
			test(t, b)
		})
	}
}

// program is a running child; what it says comes line by line.
type program struct {
	t   *testing.T
	pid int
	end func()
	in  io.Writer
	out *bufio.Scanner
}

func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(name, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(end)
	return &program{t: t, pid: cmd.Process.Pid, end: end, in: in, out: bufio.NewScanner(out)}
}

func (p *program) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatalf("it ended: %v", p.out.Err())
	}
	return p.out.Text()
}

func (p *program) say(line string) { fmt.Fprintln(p.in, line) }

// talkative answers each line with what it knows of its loop, and does what it is told.
const talkative = `
const { performance } = require('perf_hooks');
const say = () => {
  const [s, ns] = process.hrtime();
  const { idleTime, uvMetricsInfo: m } = performance.nodeTiming;
  console.log(JSON.stringify({ clock: s * 1e3 + ns / 1e6, idle: idleTime, loops: m ? m.loopCount : 0 }));
};
const work = {
  ask: say,
  block() { say(); for (const end = Date.now() + 600e3; Date.now() < end;); },
  pool() { for (let i = 0; i < 12; i++) require('crypto').pbkdf2('a', 'b', 3e7, 64, 'sha512', () => {}); say(); },
};
process.stdin.on('data', (d) => String(d).trim().split('\n').forEach((w) => work[w]()));
setTimeout(() => console.log('up'), 20);
`

func ask(p *program) eventloop.Answer {
	p.t.Helper()
	sent := time.Now()
	p.say("ask")
	var told struct {
		Clock, Idle float64
		Loops       uint64
	}
	if err := json.Unmarshal([]byte(p.line()), &told); err != nil {
		p.t.Fatal(err)
	}
	ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
	return eventloop.Answer{Asked: sent, RoundTrip: time.Since(sent), Clock: ms(told.Clock), Idle: ms(told.Idle), Iterations: told.Loops}
}

func open(t *testing.T, c *Catalog, pid int) *Reader {
	t.Helper()
	r, err := c.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustLook(t *testing.T, r *Reader) eventloop.Reading {
	t.Helper()
	reading, err := r.Look()
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !fact(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestWhatIsReadIsWhatNodeSays(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		p := start(t, binary, "-e", talkative)
		p.line()
		r := open(t, NewCatalog(""), p.pid)
		for range 3 {
			before := mustLook(t, r)
			answer := ask(p)
			after := mustLook(t, r)
			if err := Confirm(before, after, answer); err != nil {
				t.Errorf("%v: before %+v, after %+v, answer %+v", err, before, after, answer)
			}
			if r.layout.Counts != (answer.Iterations > 0) {
				t.Errorf("libuv %#x counts iterations: %v, and Node says %d", r.layout.Version, r.layout.Counts, answer.Iterations)
			}
		}
		eventually(t, "it waits for events", func() bool { return mustLook(t, r).Polling })
		a, b := mustLook(t, r), mustLook(t, r)
		if a.Iterations != b.Iterations || b.Idle <= a.Idle || a.Handles == 0 {
			t.Errorf("an idle loop: %+v, then %+v", a, b)
		}
	})
}

func TestABlockedLoopRuns(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		p := start(t, binary, "-e", talkative)
		p.line()
		r := open(t, NewCatalog(""), p.pid)
		p.say("block")
		p.line()
		began := time.Now()
		var first eventloop.Reading
		eventually(t, "the block has lasted 100 ms", func() bool { first = mustLook(t, r); return first.Running > 100*time.Millisecond })
		if limit := time.Since(began) + 2*time.Second; first.Polling || first.Running > limit {
			t.Errorf("%+v, and it began less than %v ago", first, limit)
		}
		later := mustLook(t, r)
		if later.Running < first.Running || later.Idle != first.Idle || later.Iterations != first.Iterations {
			t.Errorf("%+v, then %+v", first, later)
		}
	})
}

func TestTasksThatWaitForTheThreadPoolAreCounted(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		p := start(t, binary, "-e", talkative)
		p.line()
		r := open(t, NewCatalog(""), p.pid)
		if pool := mustLook(t, r).Pool; pool.Threads != 0 || pool.Counted && len(pool.Queue) > 0 {
			t.Errorf("before its first use: %+v", pool)
		}
		p.say("pool")
		p.line()
		eventually(t, "four threads work and eight tasks wait", func() bool {
			pool := mustLook(t, r).Pool
			return pool.Threads == 4 && pool.Busy == 4 && pool.Counted && len(pool.Queue) == 8
		})
	})
}

func TestVariablesThatLieFarApartAreReadAlike(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		p := start(t, binary, "-e", talkative)
		p.line()
		r := open(t, NewCatalog(""), p.pid)
		p.say("pool")
		p.line()
		working := func() bool {
			pool := mustLook(t, r).Pool
			return pool.Threads == 4 && pool.Busy == 4 && pool.Counted && len(pool.Queue) == 8
		}
		eventually(t, "four threads work and eight tasks wait", working)
		together := len(r.from)
		r.prepare(0)
		r.from[0].Base = uintptr(r.fields)
		if apart := len(r.from); together != 2 || apart != 5 {
			t.Errorf("%d pieces together, %d apart", together, apart)
		}
		eventually(t, "it is seen piece by piece", working)
		before := mustLook(t, r)
		answer := ask(p)
		if err := Confirm(before, mustLook(t, r), answer); err != nil {
			t.Errorf("%+v: %v", before, err)
		}
	})
}

func TestItsClockIsTheSystems(t *testing.T) {
	c, err := newClock()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var before, after unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
		read := c.now()
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)
		// Between the two readings that set it something else may have run.
		if read < time.Duration(before.Nano())-slack || read > time.Duration(after.Nano())+slack {
			t.Errorf("%v, the system's says %v to %v", read, before.Nano(), after.Nano())
		}
	}
}

func TestOneLookAllocatesNothing(t *testing.T) {
	p := start(t, node(t), "-e", talkative)
	p.line()
	r := open(t, NewCatalog(""), p.pid)
	p.say("pool")
	p.line()
	if n := testing.AllocsPerRun(200, func() { mustLook(t, r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLook(b *testing.B) {
	cmd := exec.Command("node", "-e", "setInterval(() => {}, 1e6)")
	if err := cmd.Start(); err != nil {
		b.Skip("no node")
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var r *Reader
	for err := errors.New(""); err != nil; r, err = NewCatalog("").Open(cmd.Process.Pid) {
		time.Sleep(10 * time.Millisecond)
	}
	for b.Loop() {
		if _, err := r.Look(); err != nil {
			b.Fatal(err)
		}
	}
}

func node(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not on PATH")
	}
	return binary
}

func TestALayoutIsWorkedOutOnce(t *testing.T) {
	p := start(t, node(t), "-e", talkative)
	p.line()
	dir := filepath.Join(t.TempDir(), "cache")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	want := open(t, NewCatalog(dir), p.pid).layout
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2<<20 {
		t.Errorf("reading the symbol table takes %d bytes", got)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	content, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	if l := open(t, NewCatalog(dir), p.pid).layout; l != want {
		t.Errorf("from the cache %+v, want %+v", l, want)
	}
	for _, broken := range []string{"", "{}", `{"Version": 65536}`, strings.Replace(string(content), "544", "545", 1)} {
		if err := os.WriteFile(kept[0], []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if l := open(t, NewCatalog(dir), p.pid).layout; l != want {
			t.Errorf("with %q in the cache: %+v", broken, l)
		}
	}
}

// build compiles testdata/threadpool.c.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	args := append([]string{"-O2", "-o", out, "testdata/threadpool.c"}, flags...)
	if text, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, text)
	}
	return out
}

func TestProgramsOfBothKindsAreRead(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program's code is read as that of amd64")
	}
	for name, flags := range map[string][]string{"fixed": {"-no-pie"}, "position-independent": {"-pie", "-fPIE"}} {
		t.Run(name, func(t *testing.T) {
			p := start(t, build(t, flags...))
			var version uint32
			var clock uint64
			fmt.Sscan(p.line(), &version, &clock)
			r := open(t, NewCatalog(""), p.pid)
			if r.layout.Fixed != (name == "fixed") || r.layout.Version != version || r.layout.Time != 0x220 {
				t.Errorf("layout %+v", r.layout)
			}
			got := mustLook(t, r)
			if got.Handles != 11 || got.Requests != 12 || got.Timers != 13 || got.Iterations != 14 || got.Events != 15 ||
				got.Idle != 16*time.Millisecond || got.Clock != time.Duration(clock)*time.Millisecond || got.Polling {
				t.Errorf("read %+v", got)
			}
			if pool := got.Pool; pool.Threads != 4 || pool.Busy != 3 || len(pool.Queue) != 3 && mustLook(t, r).Pool.Counted {
				t.Errorf("pool %+v", pool)
			}
		})
	}
}

func TestProgramsThatCannotBeReadAreNamed(t *testing.T) {
	stripped := start(t, build(t, "-s"))
	stripped.line()
	other := start(t, "sh", "-c", "echo up; read line")
	other.line()
	for what, p := range map[string]*program{"no symbol table": stripped, "": other} {
		_, err := NewCatalog("").Open(p.pid)
		if !errors.Is(err, errUnknown) || !strings.Contains(err.Error(), what) {
			t.Errorf("the error is %v", err)
		}
	}
	if _, err := NewCatalog("").Open(1 << 30); err == nil {
		t.Error("a process that does not exist was opened")
	}
}

func TestADeadProcessIsAnError(t *testing.T) {
	p := start(t, node(t), "-e", talkative)
	p.line()
	r := open(t, NewCatalog(""), p.pid)
	p.end()
	if _, err := r.Look(); err == nil {
		t.Error("a dead process was read")
	}
}

func TestAWrongReadingIsNotConfirmed(t *testing.T) {
	second := time.Second
	before := eventloop.Reading{Idle: 10 * second, Iterations: 100, Clock: 99 * second}
	after := eventloop.Reading{Idle: 11 * second, Iterations: 110, Clock: 100 * second}
	right := eventloop.Answer{Idle: 10500 * time.Millisecond, Iterations: 105, Clock: 100 * second, RoundTrip: 10 * time.Millisecond}
	if err := Confirm(before, after, right); err != nil {
		t.Errorf("a right one: %v", err)
	}
	for name, change := range map[string]func(a *eventloop.Answer, after *eventloop.Reading){
		"idle for less":     func(a *eventloop.Answer, _ *eventloop.Reading) { a.Idle = 9 * second },
		"idle for more":     func(a *eventloop.Answer, _ *eventloop.Reading) { a.Idle = 12 * second },
		"not idle at all":   func(a *eventloop.Answer, _ *eventloop.Reading) { a.Idle = 0 },
		"iterations before": func(a *eventloop.Answer, _ *eventloop.Reading) { a.Iterations = 99 },
		"iterations after":  func(a *eventloop.Answer, _ *eventloop.Reading) { a.Iterations = 111 },
		"an old clock":      func(_ *eventloop.Answer, r *eventloop.Reading) { r.Clock = 99 * second },
	} {
		a, r := right, after
		change(&a, &r)
		if Confirm(before, r, a) == nil {
			t.Errorf("%s is confirmed", name)
		}
	}
}

func TestCodeOfOtherMachinesIsUnderstood(t *testing.T) {
	word := func(words ...uint32) (b []byte) {
		for _, w := range words {
			b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
		}
		return b
	}
	if got := fieldRead(elf.EM_AARCH64, word(0xd503245f, 0xf9411000, 0xd65f03c0)); got != 0x220 { // bti c; ldr x0, [x0, #544]; ret
		t.Errorf("arm64: uv_now reads %#x", got)
	}
	if got := constant(elf.EM_AARCH64, word(0x52868020, 0x72a00020, 0xd65f03c0)); got != 0x13401 { // mov w0, #0x3401; movk w0, #1, lsl 16
		t.Errorf("arm64: uv_version is %#x", got)
	}
	framed := []byte{0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x48, 0x8b, 0x87, 0x20, 2, 0, 0, 0x5d, 0xc3}
	if got := fieldRead(elf.EM_X86_64, framed); got != 0x220 {
		t.Errorf("with a frame: uv_now reads %#x", got)
	}
	for _, m := range []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64, elf.EM_S390} {
		if fieldRead(m, []byte{1, 2, 3}) != 0 || constant(m, nil) != 0 {
			t.Errorf("%v: nonsense is understood", m)
		}
	}
}
