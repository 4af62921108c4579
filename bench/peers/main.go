// Command peers compares bulsa with what is commonly used in its place, on this
// machine: the processor time of a forwarded request beside nginx and HAProxy,
// and the requests lost when workers are killed beside PM2's cluster mode. It
// writes what it found to bench/results. `make bench` runs it.
//
// Runs of the peers take turns, so that what else the machine does meets all of
// them. Ratios mean something; absolute figures belong to this machine.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// options are the program's flags.
type options struct {
	bulsa, lossload, app, pm2, results string

	rounds int
	span   time.Duration
	kills  int
	every  time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bulsa, "bulsa", "./bulsa", "the program under test")
	flag.StringVar(&o.lossload, "lossload", ".cache/lossload", "the load that never retries")
	flag.StringVar(&o.app, "app", "bench/app.js", "the app of the loss test")
	flag.StringVar(&o.pm2, "pm2", ".cache/pm2", "folder that PM2 is installed into")
	flag.StringVar(&o.results, "results", "bench/results", "folder for the report")
	flag.IntVar(&o.rounds, "rounds", 7, "runs of each proxy")
	flag.DurationVar(&o.span, "span", 2*time.Second, "length of one run")
	flag.IntVar(&o.kills, "kills", 40, "workers killed, for each of the loss tests; 0: no loss test")
	flag.DurationVar(&o.every, "every", 500*time.Millisecond, "between two kills")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	for _, path := range []*string{&o.bulsa, &o.lossload, &o.app, &o.pm2} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	dir, err := os.MkdirTemp("", "peers") // short: unix sockets have paths of 108 bytes
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	r := report{began: time.Now(), options: o}
	if err := r.measureCost(dir); err != nil {
		return err
	}
	if o.kills > 0 {
		if err := r.measureLoss(dir); err != nil {
			return err
		}
	}
	text := r.text()
	fmt.Print("\n", text)
	path := filepath.Join(o.results, r.began.Format("2006-01-02")+"-peers.md")
	return os.WriteFile(path, []byte(text), 0o644)
}
