package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/bench/measure"
)

const app = `require('http').createServer((q, r) => r.end('ok')).listen(3000)`

// Where -pin puts the workers, and bulsa with the load.
const workersAt, othersAt = 1, 0

// side is one of the bulsas of a block.
type side struct {
	options options
	name    string
	address string
	process *measure.Process
	workers []int
}

// used is what a side used in its rounds.
type used struct {
	Requests, Failed int
	Workers, Bulsa   time.Duration // of processor time
}

func (u *used) add(more used) {
	u.Requests += more.Requests
	u.Failed += more.Failed
	u.Workers += more.Workers
	u.Bulsa += more.Bulsa
}

// start runs two workers of the app.
func (s *side) start(dir string) (err error) {
	if s.address, err = measure.FreeAddress(); err != nil {
		return err
	}
	monitor := "off"
	if s.name == "on" {
		monitor = "on"
	}
	file := fmt.Sprintf("services:\n  app:\n    command: node app.js\n    ports: [\"%s:3000\"]\n    deploy: {replicas: 2}\n    x-bulsa: {event_loop: {monitor: %s}}\n",
		s.address, monitor)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, content := range map[string]string{"app.js": app, "bulsa.yaml": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	command := append(s.pinned(), s.options.bulsa, "up", "-f", filepath.Join(dir, "bulsa.yaml"), "--admin", "off")
	s.process, err = measure.Start("bulsa", s.address, []string{"BULSA_RUNTIME_DIR=" + dir}, command...)
	if err != nil {
		return err
	}
	if err = s.findWorkers(); err != nil {
		s.process.Stop()
	}
	return err
}

// findWorkers looks for the Node processes below bulsa, until there are two.
func (s *side) findWorkers() error {
	for range 200 {
		s.workers = s.workers[:0]
		for _, pid := range measure.Children(s.process.PID()) {
			if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(exe) == "node" {
				s.workers = append(s.workers, pid)
			}
		}
		if len(s.workers) == 2 {
			return s.pinWorkers()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s: %d workers run in place of 2", s.name, len(s.workers))
}

// pinned is what stands before a command that shares the first processor.
func (s *side) pinned() []string {
	if !s.options.pin {
		return nil
	}
	return []string{"taskset", "-c", strconv.Itoa(othersAt)}
}

// pinWorkers moves every thread of the workers: they have inherited bulsa's place.
func (s *side) pinWorkers() error {
	if !s.options.pin {
		return nil
	}
	for _, pid := range s.workers {
		out, err := exec.Command("taskset", "-a", "-p", "-c", strconv.Itoa(workersAt), strconv.Itoa(pid)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("cannot pin worker %d: %w: %s", pid, err, out)
		}
	}
	return nil
}

// load sends requests for a while and says what they used.
func (s *side) load(span time.Duration) (u used, err error) {
	own := []int{s.process.PID()}
	workers, bulsa := measure.CPUTime(s.workers), measure.CPUTime(own)
	url := "http://" + s.address + "/"
	if s.options.rate > 0 {
		u.Requests, u.Failed = slowly(url, s.options.rate, s.options.connections, span)
	} else {
		u.Requests, u.Failed, err = measure.Wrk{URL: url, Connections: s.options.connections, Pin: s.pinned()}.Run(span)
	}
	if err != nil {
		return u, err
	}
	if u.Requests == 0 {
		return u, fmt.Errorf("%s: no request was answered", s.name)
	}
	u.Workers, u.Bulsa = measure.CPUTime(s.workers)-workers, measure.CPUTime(own)-bulsa
	return u, nil
}

// slowly sends so many requests a second, each when it is due.
func slowly(url string, rate, connections int, span time.Duration) (requests, failed int) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	var under sync.WaitGroup
	var bad atomic.Int64
	pause := time.Second / time.Duration(rate)
	for start := time.Now(); time.Duration(requests)*pause < span; requests++ {
		time.Sleep(time.Until(start.Add(time.Duration(requests) * pause)))
		under.Go(func() {
			if err := measure.Get(client, url); err != nil {
				bad.Add(1)
			}
		})
	}
	under.Wait()
	return requests, int(bad.Load())
}

// watchIdle prints what processes use that nobody asks anything: how often a
// worker wakes up, and the processor time of bulsa.
func watchIdle(order []*side, span time.Duration) error {
	woken, bulsa := make([]int, len(order)), make([]time.Duration, len(order))
	for i, s := range order {
		woken[i], bulsa[i] = voluntarySwitches(s.workers[0]), measure.CPUTime([]int{s.process.PID()})
	}
	time.Sleep(span)
	fmt.Printf("| idle for %v, monitor | wake-ups of a worker | ms of bulsa for a second |\n|---|---|---|\n", span)
	for i, s := range order {
		used := measure.CPUTime([]int{s.process.PID()}) - bulsa[i]
		fmt.Printf("| %s | %d | %.2f |\n", s.name, voluntarySwitches(s.workers[0])-woken[i], used.Seconds()*1000/span.Seconds())
	}
	fmt.Println()
	return nil
}

// voluntarySwitches is how often the main thread has gone to sleep of its own
// accord, which is how often it was woken: proc_pid_status(5).
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
