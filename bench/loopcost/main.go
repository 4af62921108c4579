// Command loopcost measures what the watch over event loops costs: the same
// service under two bulsas, one with event_loop.monitor on and one with it off,
// loaded in turn with wrk. It prints the CPU time of workers and of bulsa for a
// request, the ratio of each pair of rounds, and how often a worker wakes up
// while nobody asks it anything.
//
//	go build -o bulsa ./cmd/bulsa && go run ./bench/loopcost
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"bulsa/bench/measure"
)

const app = `require('http').createServer((q, r) => r.end('ok')).listen(3000)`

// side is one of the two bulsas.
type side struct {
	monitor string
	address string
	process *measure.Process

	worker, bulsa []float64 // µs for a request, by round
	failed        int       // requests, of all rounds
	wakeups       int
}

func main() {
	bulsa := flag.String("bulsa", "./bulsa", "the program under test")
	rounds := flag.Int("rounds", 9, "rounds for each side, in turn")
	span := flag.Duration("span", 4*time.Second, "length of a round")
	idle := flag.Duration("idle", 10*time.Second, "how long wake-ups of an idle worker are counted")
	flag.Parse()
	if err := run(*bulsa, *rounds, *span, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "loopcost:", err)
		os.Exit(1)
	}
}

func run(bulsa string, rounds int, span, idle time.Duration) error {
	bulsa, err := filepath.Abs(bulsa)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "loopcost")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sides := []*side{{monitor: "on"}, {monitor: "off"}}
	for _, s := range sides {
		if err := s.start(bulsa, filepath.Join(dir, s.monitor)); err != nil {
			return err
		}
		defer s.process.Stop()
	}
	load := measure.LoadAverage()
	time.Sleep(3 * time.Second) // the loops are found and confirmed
	if err := countWakeups(sides, idle); err != nil {
		return err
	}
	for round := range rounds {
		for i := range sides {
			if err := sides[(i+round)%len(sides)].load(span); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%s. %s. Load average at the start %s.\n\n", time.Now().Format("2006-01-02"), measure.Machine(), load)
	fmt.Println("| event_loop.monitor | µs of workers for a request | µs of bulsa for a request | failed requests | wake-ups of an idle worker in " + idle.String() + " |\n|---|---|---|---|---|")
	for _, s := range sides {
		fmt.Printf("| %s | %.1f | %.1f | %d | %d |\n", s.monitor, measure.Median(s.worker), measure.Median(s.bulsa), s.failed, s.wakeups)
	}
	fmt.Printf("\non / off, median (quartiles) of %d pairs of rounds: workers %s, bulsa %s\n", rounds,
		ratio(sides[0].worker, sides[1].worker), ratio(sides[0].bulsa, sides[1].bulsa))
	return nil
}

// start runs two workers of the app.
func (s *side) start(bulsa, dir string) error {
	address, err := measure.FreeAddress()
	if err != nil {
		return err
	}
	s.address = address
	file := fmt.Sprintf("services:\n  app:\n    command: node app.js\n    ports: [\"%s:3000\"]\n    deploy: {replicas: 2}\n    x-bulsa: {event_loop: {monitor: %s}}\n",
		address, s.monitor)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, content := range map[string]string{"app.js": app, "bulsa.yaml": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	s.process, err = measure.Start("bulsa", address, []string{"BULSA_RUNTIME_DIR=" + dir},
		bulsa, "up", "-f", filepath.Join(dir, "bulsa.yaml"), "--admin", "off")
	return err
}

// workers are the Node processes below bulsa.
func (s *side) workers() (pids []int) {
	for _, pid := range measure.Children(s.process.PID()) {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(exe) == "node" {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *side) load(span time.Duration) error {
	workers, own := s.workers(), []int{s.process.PID()}
	w, b := measure.CPUTime(workers), measure.CPUTime(own)
	requests, failed, err := measure.Wrk{URL: "http://" + s.address + "/", Connections: 16}.Run(span)
	if err != nil {
		return err
	}
	if requests == 0 {
		return fmt.Errorf("monitor %s: no request was answered", s.monitor)
	}
	s.failed += failed
	perRequest := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(requests) }
	s.worker = append(s.worker, perRequest(measure.CPUTime(workers)-w))
	s.bulsa = append(s.bulsa, perRequest(measure.CPUTime(own)-b))
	return nil
}

// countWakeups counts how often the main thread of one worker of each side goes
// to sleep of its own accord, which is how often it was woken.
func countWakeups(sides []*side, span time.Duration) error {
	before := make([]int, len(sides))
	pids := make([]int, len(sides))
	for i, s := range sides {
		workers := s.workers()
		if len(workers) == 0 {
			return fmt.Errorf("monitor %s: no worker runs", s.monitor)
		}
		pids[i] = workers[0]
		before[i] = voluntarySwitches(pids[i])
	}
	time.Sleep(span)
	for i, s := range sides {
		s.wakeups = voluntarySwitches(pids[i]) - before[i]
	}
	return nil
}

// voluntarySwitches reads proc_pid_status(5).
func voluntarySwitches(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, pid)) // a worker that has ended counts 0
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	return 0
}

func ratio(a, b []float64) string {
	var all []float64
	for i := range a {
		all = append(all, a[i]/b[i])
	}
	slices.Sort(all)
	return fmt.Sprintf("%.3f (%.3f to %.3f)", measure.Median(all), all[len(all)/4], all[len(all)*3/4])
}
