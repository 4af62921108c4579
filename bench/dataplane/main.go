// Command dataplane compares what it costs bulsa, nginx, HAProxy and others to
// forward a request: processor time, latency and memory, for small and large
// bodies, flat out and at fixed rates. `make bench` runs it; it prints the tables
// and writes them to bench/results.
//
// The proxy has the first core for itself. The load generator and the servers,
// in C so that they cost less than any proxy, share the second. The contenders of
// a row take turns, and ratios are those of runs of the same round, so that what
// else the machine does meets all of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// options are the program's flags.
type options struct {
	bulsa, tools, sources, results, state string

	rows    string
	pairs   int
	repeats int
	span    time.Duration
	quick   bool
	add     bool
}

func main() {
	var o options
	flag.StringVar(&o.bulsa, "bulsa", "./bulsa", "the program under test")
	flag.StringVar(&o.tools, "tools", ".cache", "folder with reverseproxy, and for the compiled C programs")
	flag.StringVar(&o.sources, "sources", "bench/dataplane/c", "folder with the C programs")
	flag.StringVar(&o.results, "results", "bench/results", "folder for the report")
	flag.StringVar(&o.state, "state", ".cache/dataplane.json", "file for the figures of all runs")
	flag.StringVar(&o.rows, "rows", "", "rows to measure, with commas between them; none: all")
	flag.IntVar(&o.pairs, "pairs", 7, "runs of each contender")
	flag.IntVar(&o.repeats, "repeats", 2, "of a run that was disturbed, at most")
	flag.DurationVar(&o.span, "span", 2*time.Second, "length of one run; at a fixed rate it is longer")
	flag.BoolVar(&o.quick, "quick", false, "two runs of half a second, and no report: to see that all works")
	flag.BoolVar(&o.add, "add", false, "keep the rows measured earlier that this run does not measure")
	flag.Parse()
	if o.quick {
		o.pairs, o.repeats, o.span = 2, 0, 500*time.Millisecond
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "dataplane:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	rows, err := chosen(o.rows)
	if err != nil {
		return err
	}
	if runtime.NumCPU() < 2 {
		return errors.New("one core is not enough: the proxy needs one of its own")
	}
	if err := o.prepare(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dp") // short: unix sockets have paths of 108 bytes
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	b := newBench(o, dir)
	defer b.stop()
	if err := b.startUpstream(); err != nil {
		return err
	}
	if b.pair, err = certify(dir); err != nil {
		return err
	}
	state, err := openState(o)
	if err != nil {
		return err
	}
	for _, r := range rows {
		fmt.Printf("\n%s: %s\n", r.name, r.title)
		m, err := b.measure(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Print("\n", r.section(m))
		if err := state.put(r.name, m); err != nil {
			return err
		}
	}
	if o.quick {
		return nil
	}
	return state.writeReport()
}

// prepare makes paths absolute and compiles what is in C.
func (o *options) prepare() error {
	for _, path := range []*string{&o.bulsa, &o.tools} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	if err := os.MkdirAll(o.tools, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"load", "upstream", "forward"} {
		out, err := exec.Command("cc", "-O2", "-pthread", "-o", filepath.Join(o.tools, name), filepath.Join(o.sources, name+".c")).CombinedOutput()
		if err != nil {
			return fmt.Errorf("compile %s.c: %w\n%s", name, err, out)
		}
	}
	return nil
}
