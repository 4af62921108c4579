package doctor

import (
	"fmt"
	"math"
	"strings"
)

const (
	// shortBlock is how many seconds a loop may be kept busy by one iteration
	// without anybody minding, longBlock when it is as bad as can be.
	shortBlock = 0.2
	longBlock  = 2.0
	// fullBlock is shortBlock on a machine that is full.
	fullBlock = 0.5
	// busyShare of a core, or of a loop's time, leaves no room for a burst.
	busyShare = 0.85
	// hotShare of the busy time makes a function worth a line.
	hotShare = 0.1
)

// blocked: one iteration of the loop takes so long that everything waits for it.
func blocked(p Project, s Service, w Worker) []Finding {
	// What a program does while it starts, and what is late because the machine is
	// full, is no fault of the loop's.
	limit := tickLimit(p)
	longest, stuck := orZero(largest(settled(w), tickMaxOf)), 0.0
	if n := len(w.Samples); n > 0 && w.State != "starting" {
		stuck = orZero(w.Samples[n-1].Blocked)
	}
	if !s.Loops || max(longest, stuck) < limit && len(w.Blocks) == 0 {
		return nil
	}
	now := lately(w.Samples)
	f := Finding{
		Kind: "loop-blocked", Service: s.Name, Worker: w.Name, Weight: weigh(max(longest, stuck), shortBlock, longBlock, 60, 90),
		Summary: fmt.Sprintf("the event loop of %s was blocked", w.Name),
		Remedy: []string{
			"move the computation into a worker thread (node:worker_threads) or another service, split it with setImmediate, or cache its result",
			"a regular expression: make it linear, or limit its input; synchronous calls (readFileSync, pbkdf2Sync, execSync): use the asynchronous ones",
		},
	}
	if stuck >= limit {
		f.Weight = 100
		f.Summary = fmt.Sprintf("the event loop of %s is blocked now, for %s so far", w.Name, duration(stuck))
	}
	if longest >= limit { // else the block was in an earlier run, or as it started
		f.Evidence = append(f.Evidence, fmt.Sprintf("the longest iteration took %s", duration(longest)))
	}
	if late := largest(now, lateOf); orZero(late) > 0.01 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("callbacks run up to %s late (99th percentile of the last seconds)", duration(late)))
	}
	f.Evidence = append(f.Evidence, places(w.Blocks)...)
	f.Evidence = append(f.Evidence, hot(w)...)
	if w.Profile == nil {
		f.Remedy = append(f.Remedy, profiler(s, w, "")+" names the functions")
	}
	return []Finding{f}
}

// profiler is the command that profiles a worker, with flags.
func profiler(s Service, w Worker, flags string) string {
	if s.Inside {
		return "bulsa profile" + flags + " in its container (docker exec CONTAINER bulsa ps has its name there)"
	}
	return "bulsa profile " + w.Name + flags
}

// tickLimit is how long an iteration of a healthy loop may take.
func tickLimit(p Project) float64 {
	if p.Busy >= busyShare {
		return fullBlock
	}
	return shortBlock
}

// places counts where blocks happened.
func places(blocks []Block) []string {
	var order []string
	count := map[string]int{}
	for _, b := range blocks {
		if count[b.Where]++; count[b.Where] == 1 {
			order = append(order, b.Where)
		}
	}
	var lines []string
	for _, where := range order {
		if where == "" {
			where = "a place that could not be found out"
		}
		lines = append(lines, fmt.Sprintf("blocked %s in %s", times(max(count[where], 1)), where))
	}
	return lines
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// hot names the functions that a profile found.
func hot(w Worker) []string {
	p := w.Profile
	if p == nil {
		return nil
	}
	var lines []string
	if w.Now != "" {
		lines = append(lines, "at the moment of the look it was in "+w.Now)
	}
	if p.Collector > 0.2 {
		lines = append(lines, fmt.Sprintf("%s of its busy time goes to the garbage collector", percent(p.Collector)))
	}
	for _, h := range p.Hot {
		if h.Share < hotShare || strings.HasPrefix(h.Function, "(") && h.Place == "" {
			continue
		}
		name := h.Function
		if name == "" {
			name = "an anonymous function"
		}
		if h.Place != "" {
			name += " (" + h.Place + ")"
		}
		lines = append(lines, fmt.Sprintf("%s of its busy time goes to %s", percent(h.Share), name))
	}
	return lines
}

// pool: tasks wait for a thread of libuv's pool while the loop itself is well.
func pool(p Project, s Service, w Worker) []Finding {
	now := lately(w.Samples)
	queued, wait := mean(now, queuedOf), mean(now, workWaitOf)
	threads := 0.0
	if len(now) > 0 {
		threads = orZero(now[len(now)-1].Threads)
	}
	if threads == 0 || !(queued >= 1) && !(wait >= 0.02) {
		return nil
	}
	f := Finding{
		Kind: "pool-saturated", Service: s.Name, Worker: w.Name, Weight: weigh(orZero(wait), 0.02, 0.5, 50, 80),
		Summary: fmt.Sprintf("tasks of %s wait for a thread of its pool (files, DNS look-ups, crypto, zlib)", w.Name),
	}
	if !math.IsNaN(wait) {
		f.Evidence = append(f.Evidence, fmt.Sprintf("a task waits %s on average before it runs", duration(wait)))
	}
	f.Evidence = append(f.Evidence, fmt.Sprintf("%.0f threads, %.1f tasks in the queue on average, %.0f at most", threads, orZero(queued), orZero(largest(now, queuedOf))))
	current := "not set, so 4"
	if s.Pool > 0 {
		current = fmt.Sprint(s.Pool)
	}
	f.Evidence = append(f.Evidence, fmt.Sprintf("UV_THREADPOOL_SIZE is %s; the machine has %s", current, cores(p.Cores)))
	if p.Busy >= busyShare {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s of the processor time is in use", percent(p.Busy)))
		f.Remedy = []string{"more threads would only move the waiting to the processor, which is full: do less work for each request, or use a larger machine"}
		return []Finding{f}
	}
	f.Remedy = []string{
		fmt.Sprintf("set UV_THREADPOOL_SIZE=%d in the environment of %s", advisedPool(p.Cores, threads, orZero(queued)), s.Name),
		"for work that is computation (crypto, zlib) more threads than cores do not help: spread it over more workers or another service",
	}
	return []Finding{f}
}

// advisedPool is room for what runs and waits now, but not beyond what the cores
// can keep going: four threads for each, as most tasks wait for a disk.
func advisedPool(cores int, threads, queued float64) int {
	want := int(threads + math.Ceil(queued))
	want = (want + 3) / 4 * 4
	return min(max(want, int(threads)+4), max(4*cores, int(threads)+4), 1024)
}

func cores(n int) string {
	if n == 1 {
		return "1 core"
	}
	return fmt.Sprintf("%d cores", n)
}

// busy: every worker of a service computes all the time.
func busy(p Project, s Service) []Finding {
	if len(s.Workers) == 0 {
		return nil
	}
	least, evidence := math.Inf(1), []string{}
	var functions []string
	for _, w := range s.Workers {
		now := lately(w.Samples)
		load := max(orZero(mean(now, cpuOf)), orZero(mean(now, utilizationOf)))
		least = min(least, load)
		evidence = append(evidence, fmt.Sprintf("%s is busy %s of the time", w.Name, percent(min(load, 1))))
		for _, line := range hot(w) {
			functions = append(functions, w.Name+": "+line)
		}
		if len(now) < 5 {
			return nil // too young to be judged
		}
	}
	if least < busyShare {
		return nil
	}
	f := Finding{
		Kind: "workers-busy", Service: s.Name, Weight: 70, Evidence: append(evidence, functions...),
		Summary: fmt.Sprintf("all workers of %s are busy: requests wait for each other", s.Name),
	}
	switch n := len(s.Workers); {
	case p.Busy >= busyShare:
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s of the processor time of %s is in use", percent(p.Busy), cores(p.Cores)))
		f.Remedy = []string{"the machine is full, more workers would not help: make requests cheaper, or use a larger machine"}
	case n < p.Cores && s.Inside:
		f.Remedy = []string{fmt.Sprintf("more of them in each container (x-bulsa.workers), or more containers (bulsa scale): the machine has %s", cores(p.Cores))}
	case n < p.Cores:
		f.Remedy = []string{fmt.Sprintf("bulsa scale %s=%d: the machine has %s", s.Name, min(p.Cores, n+max(1, n/2)), cores(p.Cores))}
	default:
		f.Remedy = []string{fmt.Sprintf("it has a worker for each of the %s: make requests cheaper, or use a larger machine", cores(p.Cores))}
	}
	return []Finding{f}
}

// upstream: requests are slow although nobody computes: they wait for something
// behind the workers.
func upstream(p Project, s Service) []Finding {
	var inFlight, answer, load float64
	var ticks []string
	answered := 0.0
	for _, w := range s.Workers {
		now := lately(w.Samples)
		inFlight += orZero(mean(now, inFlightOf))
		answer = max(answer, orZero(mean(now, answerOf)))
		load = max(load, orZero(mean(now, cpuOf)), orZero(mean(now, utilizationOf)))
		if mean(now, tickMaxOf) >= tickLimit(p) || orZero(mean(now, queuedOf)) >= 1 {
			return nil // that explains it
		}
		answered += orZero(mean(now, answersOf))
		if frequency := mean(now, frequencyOf); !math.IsNaN(frequency) {
			ticks = append(ticks, fmt.Sprintf("%s: %.0f iterations a second, %s of work each: its loop waits", w.Name, frequency, duration(orZero(mean(now, tickOf)))))
		}
	}
	if inFlight < 4*float64(max(len(s.Workers), 1)) || answer < 0.5 || load > 0.4 {
		return nil
	}
	return []Finding{{
		Kind: "slow-upstream", Service: s.Name, Weight: weigh(answer, 0.5, 10, 45, 75),
		Summary: fmt.Sprintf("requests to %s wait for something behind it: a database, another service", s.Name),
		Evidence: append([]string{
			fmt.Sprintf("%.0f requests in flight on average, %.1f answers a second, of which one in a hundred takes more than %s", inFlight, answered, duration(answer)),
			fmt.Sprintf("its busiest worker computes only %s of the time", percent(load)),
		}, ticks...),
		Remedy: []string{
			"look at what it asks: slow queries, a pool of connections that is too small, missing time limits",
			"more workers do not help; x-bulsa.limits.in_flight keeps the queue short",
		},
	}}
}
