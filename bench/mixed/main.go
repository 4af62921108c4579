// Command mixed compares how balancers treat light requests while the event
// loops of some workers are blocked: nginx (round robin and least_conn), PM2's
// cluster mode and bulsa, with the same requests at the same times (an open loop).
// `make bench-mixed` runs it and writes bench/results.
//
// The scenarios: S1, some requests block the worker's loop; S2, a background job
// in each worker does; S3 is S1 with many requests that only wait; S4, requests
// answer first and block then. A light request's time counts from when it was due.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"bulsa/bench/measure"
)

type options struct {
	bulsa, pm2, app, results string

	workers string
	seeds   int
	busy    uint
	span    time.Duration
	only    string
	chosen  string
}

func main() {
	var o options
	flag.StringVar(&o.bulsa, "bulsa", "./bulsa", "the program under test")
	flag.StringVar(&o.pm2, "pm2", ".cache/pm2", "folder that PM2 is installed into")
	flag.StringVar(&o.app, "app", "bench/mixed/app.js", "the service")
	flag.StringVar(&o.results, "results", "bench/results", "folder for the report; empty: none is written")
	flag.StringVar(&o.workers, "workers", "2,4", "numbers of workers")
	flag.IntVar(&o.seeds, "seeds", 3, "runs with different random times, for each peer, scenario and number of workers")
	flag.UintVar(&o.busy, "busy", 0, "processes that only compute beside everything, each in a session of its own")
	flag.DurationVar(&o.span, "span", 8*time.Second, "length of one run")
	flag.StringVar(&o.only, "peers", "", "only these, with commas: nginx-rr,nginx-least,pm2,bulsa,bulsa-recall")
	flag.StringVar(&o.chosen, "scenarios", "", "only these, with commas: S1,S2,S3,S4")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "mixed:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	for _, path := range []*string{&o.bulsa, &o.pm2, &o.app} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	r := report{began: time.Now(), options: o}
	idle, err := keepBusy(o.busy)
	if err != nil {
		return err
	}
	defer idle()
	for _, text := range strings.Split(o.workers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-workers %s: give whole numbers with commas", o.workers)
		}
		if err := r.measure(n); err != nil {
			return err
		}
	}
	text := r.text()
	fmt.Print("\n", text)
	if o.results == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(o.results, r.began.Format("2006-01-02")+"-mixed.md"), []byte(text), 0o644)
}

// compute computes until its parent is gone: Ctrl-C does not reach its session.
const compute = `while kill -0 $PPID 2>/dev/null; do i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done; done`

// keepBusy starts n processes that only compute, until the returned function is
// called. Each is a session of its own, as other programs on a machine are: the
// kernel may share processors by sessions (autogroup in sched(7)).
func keepBusy(n uint) (idle func(), err error) {
	var started []*exec.Cmd
	idle = func() {
		for _, c := range started {
			_ = c.Process.Kill() // it runs: its parent does
			_ = c.Wait()
		}
	}
	for range n {
		c := exec.Command("sh", "-c", compute)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			idle()
			return nil, fmt.Errorf("keep the machine busy: %w", err)
		}
		started = append(started, c)
	}
	return idle, nil
}

// measure runs all peers with n workers, in turn, each scenario with each seed.
func (r *report) measure(n int) error {
	for _, s := range scenarios() {
		if !wanted(r.options.chosen, s.name) {
			continue
		}
		peers, stop, err := r.start(n, s)
		if err != nil {
			return err
		}
		for seed := range r.options.seeds {
			plan := s.plan(uint64(seed)+1, r.options.span)
			for i := range peers {
				p := peers[(i+seed)%len(peers)] // everybody is first sometimes
				result := drive(p.address, plan)
				r.add(n, s.name, p.name, result)
				fmt.Printf("%d workers, %s, seed %d, %s: light p50 %v p95 %v p99 %v, late %d of %d, %d failed\n", n, s.name, seed+1, p.name,
					result.quantile(0.50), result.quantile(0.95), result.quantile(0.99), result.late(), len(result.took), result.failed)
			}
		}
		stop()
	}
	return nil
}

// wanted says whether a list with commas has the name; an empty one has all.
func wanted(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

// peer is one balancer that stands in front of n workers of its own.
type peer struct{ name, address string }

// start starts every peer for a scenario; stop ends them all.
func (r *report) start(n int, s scenario) (peers []peer, stop func(), err error) {
	dir, err := os.MkdirTemp("", "mixed") // short: unix sockets have paths of 108 bytes
	if err != nil {
		return nil, nil, err
	}
	var stops []func()
	stop = func() {
		for _, f := range stops {
			f()
		}
		os.RemoveAll(dir)
	}
	for _, c := range contenders() {
		if !wanted(r.options.only, c.name) {
			continue
		}
		address, err := measure.FreeAddress()
		if err == nil {
			var end func()
			end, err = c.start(r.options, filepath.Join(dir, c.name), address, n, s.environment(n))
			if err == nil {
				stops = append(stops, end)
				peers = append(peers, peer{c.name, address})
				continue
			}
		}
		stop()
		return nil, nil, fmt.Errorf("%s: %w", c.name, err)
	}
	warm(peers)
	return peers, stop, nil
}

// warm lets every peer answer light requests for a while, all at once, until
// background jobs have begun: a worker's first requests take some ten
// milliseconds until their code is compiled, and would be the slowest hundredth
// of its first run.
func warm(peers []peer) {
	plan := scenario{}.plan(0, 3*time.Second)
	var under sync.WaitGroup
	for _, p := range peers {
		under.Go(func() { drive(p.address, plan) })
	}
	under.Wait()
}
