package doctor

import (
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	// leastTrend is how long memory must have been seen, after a run's warmUp;
	// leastSteady how straight its growth must be (the square of the correlation),
	// and leastGrowth how large against what it was.
	leastTrend  = 2 * time.Minute
	warmUp      = 30 * time.Second
	leastSteady = 0.8
	leastGrowth = 0.15
	leastRate   = 1 << 20 / 60.0 // bytes a second: 1 MiB a minute
	nearLimit   = 0.85           // of the heap

	costlyCheck = 0.02 // of a core, for all workers of a service
	fewCrashes  = 3
	floodRate   = 1 << 20 // bytes a second
)

// memory: it grows steadily, or the heap is near its limit.
func memory(_ Project, s Service, w Worker) []Finding {
	f := Finding{Kind: "memory-growth", Service: s.Name, Worker: w.Name, Weight: 40}
	trend := growth(w)
	if trend.grows() {
		f.Summary = fmt.Sprintf("the memory of %s grows steadily, by %s a minute", w.Name, size(60*trend.slope))
		f.Evidence = append(f.Evidence, fmt.Sprintf("from %s to %s within %s", size(trend.first), size(trend.last), trend.span.Round(time.Second)))
	}
	if n := len(w.Samples); n > 0 {
		used, limit := w.Samples[n-1].HeapUsed, w.Samples[n-1].HeapLimit
		switch {
		case used >= nearLimit*limit:
			f.Weight = 85
			f.Summary = fmt.Sprintf("the heap of %s is near its limit: it will die of it", w.Name)
			f.Evidence = append(f.Evidence, fmt.Sprintf("the heap holds %s of at most %s", size(used), size(limit)))
			f.Remedy = append(f.Remedy, "raise the limit with NODE_OPTIONS=--max-old-space-size=MEGABYTES where it needs the memory")
		case trend.grows() && limit > used:
			f.Evidence = append(f.Evidence, fmt.Sprintf("at this rate its heap limit of %s is reached in about %s", size(limit), time.Duration((limit-used)/trend.slope*float64(time.Second)).Round(time.Minute)))
		}
	}
	if f.Summary == "" {
		return nil
	}
	if s.Loops {
		f.Remedy = append(f.Remedy, fmt.Sprintf("take two heap snapshots some minutes apart (%s) and compare them in Chrome DevTools: what only grows is held by a cache without a limit, a listener, a closure", profiler(s, w, " --heap")))
	} else {
		f.Remedy = append(f.Remedy, "look for what is kept for ever: caches without a limit, listeners, queues")
	}
	return []Finding{f}
}

// line is a straight line through the memory of a worker.
type line struct {
	slope       float64 // bytes a second
	steady      float64 // the square of the correlation
	first, last float64 // bytes, on the line
	span        time.Duration
}

func (l line) grows() bool {
	return l.span >= leastTrend && l.slope >= leastRate && l.steady >= leastSteady && l.last-l.first >= leastGrowth*l.first
}

// growth is the trend of a worker's memory, unless it has come to an end in the
// second half of the time: programs grow until they are warm.
func growth(w Worker) line {
	all := w.Samples
	for len(all) > 0 && all[0].At.Before(w.Started.Add(warmUp)) {
		all = all[1:]
	}
	whole, half := fit(all), fit(all[len(all)/2:])
	if half.slope < whole.slope/2 {
		return line{}
	}
	return whole
}

// fit is the line through the memory by least squares.
func fit(all []Sample) line {
	var n, sx, sy, sxx, syy, sxy float64
	for _, s := range all {
		if math.IsNaN(s.Memory) {
			continue
		}
		x, y := s.At.Sub(all[0].At).Seconds(), s.Memory
		n, sx, sy, sxx, syy, sxy = n+1, sx+x, sy+y, sxx+x*x, syy+y*y, sxy+x*y
	}
	if n < 10 {
		return line{}
	}
	vx, vy, cov := sxx-sx*sx/n, syy-sy*sy/n, sxy-sx*sy/n
	if vx <= 0 || vy <= 0 {
		return line{}
	}
	slope := cov / vx
	start := (sy - slope*sx) / n
	span := all[len(all)-1].At.Sub(all[0].At)
	return line{slope: slope, steady: cov * cov / (vx * vy), first: start, last: start + slope*span.Seconds(), span: span}
}

// check: a health check takes processor time that requests could use, or does
// not keep its times.
func check(s Service) []Finding {
	if s.Check.Interval <= 0 {
		return nil
	}
	cost, wall, n := 0.0, math.NaN(), 0
	for _, w := range s.Workers {
		if !math.IsNaN(w.CheckCPU) {
			cost += w.CheckCPU / (s.Check.Interval.Seconds() + orZero(w.CheckWall))
			n++
		}
		if !math.IsNaN(w.CheckWall) && !(w.CheckWall <= wall) {
			wall = w.CheckWall
		}
	}
	late := wall > s.Check.Interval.Seconds()
	if cost < costlyCheck && !late {
		return nil
	}
	f := Finding{Kind: "check-costly", Service: s.Name, Weight: weigh(cost, costlyCheck, 0.5, 20, 55)}
	if cost >= costlyCheck {
		f.Summary = fmt.Sprintf("the health checks of %s cost %s of a core", s.Name, percent(cost))
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d workers are checked every %s", n, s.Check.Interval))
		if s.Check.Process {
			f.Remedy = append(f.Remedy, "each check starts a process: use x-bulsa.probe.http or --health-http, which starts none")
		}
		f.Remedy = append(f.Remedy, "check less often (interval)")
	}
	if late {
		f.Weight = max(f.Weight, 50)
		if f.Summary == "" {
			f.Summary = fmt.Sprintf("the health checks of %s take longer than their interval", s.Name)
		}
		f.Evidence = append(f.Evidence, fmt.Sprintf("a check took %s, the interval is %s", duration(wall), s.Check.Interval))
		f.Remedy = append(f.Remedy, "answer the check without waiting for anything else, or raise the interval")
	}
	return []Finding{f}
}

// Unanswered reports whether requests have been with a worker for seconds, and none
// was answered since it runs.
func Unanswered(w Worker) bool {
	const seconds = 5 // a sample is one
	n := len(w.Samples)
	if w.State != "ready" || n < seconds {
		return false
	}
	for i, s := range w.Samples {
		if s.Answers > 0 || i >= n-seconds && s.InFlight < 1 {
			return false
		}
	}
	return true
}

// deaf: it lets its requests wait unread, and listens somewhere else.
func deaf(_ Project, s Service, w Worker) []Finding {
	if len(w.Elsewhere) == 0 || !Unanswered(w) {
		return nil
	}
	return []Finding{{
		Kind: "no-answer", Service: s.Name, Worker: w.Name, Weight: 95,
		Summary:  fmt.Sprintf("%s has answered no request: they wait unread", w.Name),
		Evidence: []string{"it also listens on " + strings.Join(w.Elsewhere, ", ")},
		Remedy: []string{
			"if the application is there: let it listen on $PORT, or publish that port (-p PUBLIC:PORT, ports: [\"PUBLIC:PORT\"])",
			"else look into its log: bulsa logs " + w.Name,
		},
	}}
}

// unread: workers tell their primary what nobody reads.
func unread(s Service) []Finding {
	if len(s.Unread) == 0 {
		return nil
	}
	f := Finding{
		Kind: "unread-messages", Service: s.Name, Weight: 40,
		Summary: fmt.Sprintf("the workers of %s send messages to their primary that nobody reads: bulsa is the primary, and the app's own code for one does not run", s.Name),
		Remedy: []string{
			"have the workers do that work themselves, or through a store that they share (Redis, a database)",
			"one process with the app's own primary and workers: -w 1 --node off, and it listens on $PORT; the requests of one of its workers that dies are then lost",
		},
	}
	for _, m := range s.Unread {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s", m.Kind, times(m.Count)))
	}
	return []Finding{f}
}

// wrapper: a package manager stands between bulsa and the program.
func wrapper(s Service) []Finding {
	var names []string
	for _, w := range s.Workers {
		if w.Wrapper != "" {
			names = append(names, fmt.Sprintf("%s was started by %q", w.Name, w.Wrapper))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Finding{{
		Kind: "wrapper", Service: s.Name, Weight: 15, Evidence: names,
		Summary: fmt.Sprintf("a wrapper stands between bulsa and the workers of %s: it takes memory and time to start, and may keep signals and exit codes to itself", s.Name),
		Remedy:  []string{"start the program itself: command: node app.js, as the script in package.json says"},
	}}
}

// crashes: a worker dies again and again.
func crashes(_ Project, s Service, w Worker) []Finding {
	if len(w.Deaths) < fewCrashes && w.State != "failed" {
		return nil
	}
	f := Finding{
		Kind: "crash-loop", Service: s.Name, Worker: w.Name, Weight: 95,
		Summary: fmt.Sprintf("%s died %s lately", w.Name, times(len(w.Deaths))),
		Remedy:  []string{fmt.Sprintf("bulsa logs --tail 50 %s shows its last words, bulsa inspect %s the history", w.Name, w.Name)},
	}
	if w.State == "failed" {
		f.Summary = fmt.Sprintf("%s is given up: %s", w.Name, w.Cause)
		f.Remedy = append(f.Remedy, fmt.Sprintf("when it is mended: bulsa start %s", s.Name))
	}
	if n := len(w.Deaths); n > 0 {
		f.Evidence = []string{"the last time: " + w.Deaths[n-1].Cause}
	}
	return []Finding{f}
}

// flood: a worker writes more than anybody reads.
func flood(_ Project, s Service, w Worker) []Finding {
	now := lately(w.Samples)
	rate, lost := mean(now, logBytesOf), 0.0
	for _, x := range w.Samples {
		lost += orZero(logLostOf(x))
	}
	if !(rate >= floodRate) && lost == 0 {
		return nil
	}
	f := Finding{
		Kind: "log-flood", Service: s.Name, Worker: w.Name, Weight: 35,
		Summary:  fmt.Sprintf("%s floods its log", w.Name),
		Evidence: []string{fmt.Sprintf("it writes %s a second", size(orZero(rate)))},
		Remedy:   []string{"log less: a level above debug, no line for each request, one line for each error"},
	}
	if lost > 0 {
		f.Weight = 50
		f.Evidence = append(f.Evidence, fmt.Sprintf("%.0f lines could not be kept", lost))
	}
	return []Finding{f}
}
