// Package lab shows what the figures of an event loop mean: it runs small apps
// under bulsa, gives them one kind of work at a time over loopback, and reports
// what was measured, as text and as a page.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Options say what to run and with what.
type Options struct {
	Names   []string      // experiments to run; none: all
	Bulsa   string        // path of the bulsa that runs the apps
	Folder  string        // where the apps look for the package sharp
	Measure time.Duration // of each row, after it has warmed up
	Log     io.Writer     // a line for each row while it runs
}

// Report is what came out.
type Report struct {
	At      time.Time
	Machine string // what it ran on
	Node    string // version, or "" when no experiment needed it
	Tables  []Table
}

// Table is one experiment.
type Table struct {
	Name, Title string
	Claim       string // what it shall show
	Note        string // what it was made with, where that is not the same everywhere
	Loops       []Row  // rows about event loops
	Tasks       []TaskRow
	Findings    []Finding
}

// Row is what one kind of work did to the event loops of a service: the mean over
// its workers, and over the samples of the measurement.
type Row struct {
	Name        string
	Requests    float64 // answered in a second
	P99         time.Duration
	Failed      int
	Frequency   float64       // iterations of the loop in a second
	Tick        time.Duration // an iteration without its wait for events
	Loop        time.Duration // loop latency: half of the callbacks are later
	Work        time.Duration // how long a task waits for a thread of the pool
	Utilization float64
}

// Finding is an expectation and whether it was met.
type Finding struct {
	Text string
	Met  bool
}

// experiment is one entry of the list that `bulsa lab` knows.
type experiment struct {
	name, title, claim string
	run                func(context.Context, *bench, *Table) error
}

func experiments() []experiment {
	return []experiment{
		{"ticks", "How often the loop turns", "An idle loop makes few iterations; the more work it has, the more and the shorter they are. A slow back end leaves the loop as idle as no work at all.", ticks},
		{"pool", "Work that threads do", "More tasks than threads: work-processing latency rises, and nothing else shows it. More threads (UV_THREADPOOL_SIZE) take the wait away, as long as there are cores.", pool},
		{"fib", "Work that the loop does itself", "Computing in JavaScript raises loop latency: everything else in this worker waits, also what would take no time. Threads do not help.", fib},
		{"workers", "One worker, and one for each core", "Workers of their own are what helps against computing: each has a loop of its own.", workers},
		{"threads", "Goroutines and threads", "Why one process of Go can hold every connection: what a goroutine costs, and what a thread does.", threads},
	}
}

// Names lists the experiments.
func Names() []string {
	var names []string
	for _, e := range experiments() {
		names = append(names, e.name)
	}
	return names
}

// Run carries the experiments out, one after another. It needs node in PATH for
// all but threads.
func Run(ctx context.Context, o Options) (Report, error) {
	for _, name := range o.Names {
		if !slices.Contains(Names(), name) {
			return Report{}, fmt.Errorf("there is no experiment %q; choose from %s", name, strings.Join(Names(), ", "))
		}
	}
	r := Report{At: time.Now(), Machine: machine()}
	b, err := newBench(o)
	if err != nil {
		return r, err
	}
	defer b.close()
	for _, e := range experiments() {
		if len(o.Names) > 0 && !slices.Contains(o.Names, e.name) {
			continue
		}
		t := Table{Name: e.name, Title: e.title, Claim: e.claim}
		if err := e.run(ctx, b, &t); err != nil {
			return r, fmt.Errorf("experiment %s: %w", e.name, err)
		}
		r.Tables = append(r.Tables, t)
	}
	r.Node = b.node
	return r, ctx.Err()
}

// Unmet are the expectations that the report does not meet.
func (r Report) Unmet() []string {
	var unmet []string
	for _, t := range r.Tables {
		for _, f := range t.Findings {
			if !f.Met {
				unmet = append(unmet, t.Name+": "+f.Text)
			}
		}
	}
	return unmet
}

// expect notes whether something came out as the experiment shall show it.
func (t *Table) expect(met bool, format string, args ...any) {
	t.Findings = append(t.Findings, Finding{fmt.Sprintf(format, args...), met})
}

func ticks(ctx context.Context, b *bench, t *Table) error {
	s, err := b.start(ctx, 1, 0)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, work := range []work{
		{"idle", "/", 0}, {"5 connections", "/", 5}, {"10 connections", "/", 10},
		{"10 connections, back end answers after 1 s", "/backend", 10},
	} {
		row, err := s.measure(ctx, work)
		if err != nil {
			return err
		}
		t.Loops = append(t.Loops, row)
	}
	idle, five, ten, slow := t.Loops[0], t.Loops[1], t.Loops[2], t.Loops[3]
	t.expect(five.Frequency > 10*idle.Frequency && ten.Frequency > 10*idle.Frequency, "under load the loop turns far more often than idle")
	t.expect(slow.Frequency < five.Frequency/4, "behind a slow back end it turns seldom, as when idle")
	t.expect(slow.Utilization < five.Utilization/2, "behind a slow back end it mostly waits, though ten requests are under way")
	t.expect(slow.Loop < 100*time.Millisecond, "loop latency stays low there: the loop is healthy, the back end is slow")
	return nil
}

func pool(ctx context.Context, b *bench, t *Table) error {
	for _, c := range []struct{ threads, connections int }{{4, 2}, {4, 32}, {16, 32}} {
		row, err := b.once(ctx, 1, c.threads, work{fmt.Sprintf("%d threads, %d connections", c.threads, c.connections), "/pool", c.connections})
		if err != nil {
			return err
		}
		t.Loops = append(t.Loops, row)
	}
	t.Note = "The tasks are images that are made smaller by the npm package sharp."
	if b.tasks != "sharp" {
		t.Note = fmt.Sprintf("The tasks are %s: the npm package sharp, whose images are more like a real service's, is not installed in %s.", b.tasks, b.Folder)
	}
	few, many, wide := t.Loops[0], t.Loops[1], t.Loops[2]
	t.expect(many.Work > 4*few.Work && many.Work > 10*time.Millisecond, "more tasks than threads: tasks wait")
	t.expect(many.Loop < many.Work, "loop latency does not show it")
	t.expect(wide.Work < many.Work, "with 16 threads tasks wait less than with 4")
	return nil
}

func fib(ctx context.Context, b *bench, t *Table) error {
	for _, work := range []work{{"10 connections, hello", "/", 10}, {"10 connections, fib(32)", "/fib?n=32", 10}} {
		row, err := b.once(ctx, 1, 0, work)
		if err != nil {
			return err
		}
		t.Loops = append(t.Loops, row)
	}
	hello, busy := t.Loops[0], t.Loops[1]
	t.expect(busy.Loop > 4*hello.Loop && busy.Loop > 10*time.Millisecond, "computing raises loop latency")
	t.expect(busy.Work < busy.Loop, "work-processing latency does not show it")
	t.expect(busy.Tick > 10*hello.Tick, "iterations are long and few")
	return nil
}

func workers(ctx context.Context, b *bench, t *Table) error {
	cores := max(runtime.NumCPU(), 2)
	for _, n := range []int{1, cores} {
		name := fmt.Sprintf("%d workers, 10 connections, fib(32)", n)
		if n == 1 {
			name = "1 worker, 10 connections, fib(32)"
		}
		row, err := b.once(ctx, n, 0, work{name, "/fib?n=32", 10})
		if err != nil {
			return err
		}
		t.Loops = append(t.Loops, row)
	}
	one, all := t.Loops[0], t.Loops[1]
	if runtime.NumCPU() > 1 {
		t.expect(all.Requests > 1.2*one.Requests, "a worker for each core answers more")
	}
	return nil
}

// machine names what the report was made on.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	return fmt.Sprintf("%d x %s, %s", runtime.NumCPU(), model, runtime.GOOS)
}

// errNoNode is what all experiments but threads end with on a machine without Node.
var errNoNode = errors.New("node is not in PATH: install Node 18 or newer, or run bulsa lab threads")

// appPath is the application in the bench's folder.
func (b *bench) appPath() string { return filepath.Join(b.dir, "lab.js") }
