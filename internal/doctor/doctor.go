// Package doctor says what is slow or ill in a project, with evidence and the
// remedy: a table of measurements goes in, findings come out. It measures
// nothing itself.
package doctor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Project is what is known of the last minutes.
type Project struct {
	Cores    int     // that bulsa and its workers may use
	Busy     float64 // share of them that was in use lately, by anybody; negative: unknown
	Services []Service
}

// Service is one service and its workers.
type Service struct {
	Name     string
	Loops    bool    // its workers are Node programs
	Inside   bool    // its workers are inside of its containers, under a bulsa there
	Pool     int     // UV_THREADPOOL_SIZE as its environment sets it; 0: it does not
	Check    Check   // its health check
	InFlight float64 // requests at the same time, on average lately
	Unread   []Messages
	Lost     Lost
	Workers  []Worker
}

// Messages are those of one kind that workers have sent to their primary, and that
// nobody reads.
type Messages struct {
	Kind  string // "topic jobs:done"
	Count int
}

// Lost are requests of sessions (of socket.io) that came to a worker which did not know
// them.
type Lost struct {
	Requests int  // within the window or before, if the last one was within it
	Led      bool // sessions are led to the workers that have issued them
}

// Check is the health check of a service.
type Check struct {
	Interval time.Duration // 0: none
	Process  bool          // each check starts a process
}

// Worker is one worker. Figures that nobody knows are NaN.
type Worker struct {
	Name      string
	Started   time.Time // of the present run
	Wrapper   string    // "npm start": what stands between bulsa and the program; ""
	State     string    // as bulsa ps shows it
	Cause     string    // of the state
	Deaths    []Death   // crashes within the window, oldest first
	Blocks    []Block   // of its event loop within the window, oldest first
	Now       string    // where it was when it was profiled: "fib (app.js:31)"; ""
	Profile   *Profile  // of the last seconds; nil: none was taken
	CheckCPU  float64   // seconds of processor time that a check takes; NaN: none has run
	CheckWall float64   // seconds that the last check took; NaN: none has run
	Elsewhere []string  // where it listens, beside where its requests wait unread
	Samples   []Sample  // of the present run, oldest first, a second or so apart
}

// Death is the end of one run.
type Death struct {
	At    time.Time
	Cause string
}

// Block is a time in which the event loop did not turn.
type Block struct {
	At    time.Time
	Where string // "fib (app.js:31)"; "" unknown
}

// Profile is what a CPU profile of the worker says.
type Profile struct {
	Busy      float64 // 0 to 1
	Collector float64 // of that, 0 to 1
	Hot       []Hot   // the hottest functions, the hottest first
}

// Hot is a function that takes time by itself.
type Hot struct {
	Function string
	Place    string  // "app.js:31"; "" for what is built in
	Share    float64 // of the busy time, 0 to 1
}

// Sample is one look at a worker. Figures that nobody knows are NaN.
type Sample struct {
	At       time.Time
	CPU      float64 // cores in use since the look before
	Memory   float64 // resident bytes of all its processes
	Answers  float64 // requests answered since the look before, a second
	Answer   float64 // seconds to the head of an answer, the 99th percentile of the last ten seconds
	InFlight float64 // requests in flight at this moment
	LogBytes float64 // written to its log since the look before, a second
	LogLost  float64 // lines that could not be kept since the look before

	Utilization float64 // 0 to 1: the share of time in which the loop did not wait
	Tick        float64 // seconds: mean time of an iteration without its wait
	TickMax     float64 // seconds: the longest iteration
	Frequency   float64 // iterations a second
	Late        float64 // seconds: how late a due callback runs, 99th percentile
	Blocked     float64 // seconds: how long the iteration at hand has been running
	Threads     float64 // of the thread pool; 0: unused
	Queued      float64 // tasks that wait for one
	WorkWait    float64 // seconds: how long a task waits
	HeapUsed    float64 // bytes
	HeapLimit   float64 // bytes
}

// Finding is one thing that is wrong, or will be.
type Finding struct {
	Kind     string // loop-blocked pool-saturated workers-busy memory-growth check-costly slow-upstream wrapper crash-loop log-flood no-answer unread-messages lost-sessions
	Service  string
	Worker   string   // "" when it is about the service
	Weight   int      // 0 to 100: the heaviest comes first
	Summary  string   // one line
	Evidence []string // lines with figures
	Remedy   []string // lines that say what to do
}

// recent is what counts as now: a condition of the present is judged by it, a
// trend by all that is kept.
const recent = 30 * time.Second

// boot is how long a program may take to load its modules, which blocks its loop.
const boot = 10 * time.Second

// Examine returns the findings, the heaviest first; none when nothing is wrong.
func Examine(p Project) []Finding {
	var found []Finding
	for _, s := range p.Services {
		found = append(found, busy(p, s)...)
		if !s.Inside { // where they are, the containers' own row has these
			found = append(found, upstream(p, s)...)
			found = append(found, check(s)...)
			found = append(found, wrapper(s)...)
			found = append(found, unread(s)...)
			found = append(found, lost(s)...)
		}
		for _, w := range s.Workers {
			for _, examine := range []func(Project, Service, Worker) []Finding{blocked, pool, memory, crashes, flood, deaf} {
				found = append(found, examine(p, s, w)...)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Worker, b.Worker))
	})
	return found
}

// Busiest is the worker of which a profile would tell most: the one whose loop
// is blocked, else the one that computes most, if it computes much; "" for none.
func Busiest(p Project) string {
	name, most := "", 0.5
	for _, s := range p.Services {
		if !s.Loops || s.Inside {
			continue
		}
		for _, w := range s.Workers {
			now := w.Samples[max(0, len(w.Samples)-5):]
			load := max(orZero(mean(now, cpuOf)), orZero(mean(now, utilizationOf)))
			if len(now) > 0 && orZero(now[len(now)-1].Blocked) > shortBlock {
				load = 2
			}
			if load > most {
				name, most = w.Name, load
			}
		}
	}
	return name
}

// settled are the samples of a run after its start.
func settled(w Worker) []Sample {
	from := w.Started.Add(boot)
	i, _ := slices.BinarySearchFunc(w.Samples, from, func(s Sample, t time.Time) int { return s.At.Compare(t) })
	return w.Samples[i:]
}

// lately are the samples of the last half minute of the run.
func lately(all []Sample) []Sample {
	if len(all) == 0 {
		return nil
	}
	from := all[len(all)-1].At.Add(-recent)
	i, _ := slices.BinarySearchFunc(all, from, func(s Sample, t time.Time) int { return s.At.Compare(t) })
	return all[i:]
}

func cpuOf(s Sample) float64         { return s.CPU }
func answerOf(s Sample) float64      { return s.Answer }
func answersOf(s Sample) float64     { return s.Answers }
func inFlightOf(s Sample) float64    { return s.InFlight }
func utilizationOf(s Sample) float64 { return s.Utilization }
func tickMaxOf(s Sample) float64     { return s.TickMax }
func tickOf(s Sample) float64        { return s.Tick }
func frequencyOf(s Sample) float64   { return s.Frequency }
func lateOf(s Sample) float64        { return s.Late }
func queuedOf(s Sample) float64      { return s.Queued }
func workWaitOf(s Sample) float64    { return s.WorkWait }
func logBytesOf(s Sample) float64    { return s.LogBytes }
func logLostOf(s Sample) float64     { return s.LogLost }

// mean of a figure, over the samples that know it; NaN when none does.
func mean(all []Sample, of func(Sample) float64) float64 {
	sum, n := 0.0, 0
	for _, s := range all {
		if v := of(s); !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

// largest of a figure; NaN when no sample knows it.
func largest(all []Sample, of func(Sample) float64) float64 {
	most := math.NaN()
	for _, s := range all {
		if v := of(s); !math.IsNaN(v) && !(v <= most) {
			most = v
		}
	}
	return most
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// weigh makes a weight of how far a figure is from little to much.
func weigh(v, little, much float64, low, high int) int {
	share := min(max((v-little)/(much-little), 0), 1)
	return low + int(share*float64(high-low))
}

// duration is a number of seconds for people.
func duration(seconds float64) string {
	switch {
	case seconds >= 10:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds >= 1:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds >= 0.01:
		return fmt.Sprintf("%.0f ms", 1000*seconds)
	}
	return fmt.Sprintf("%.1f ms", 1000*seconds)
}

// size is a number of bytes for people.
func size(bytes float64) string {
	const kib = 1024
	switch {
	case bytes >= kib*kib*kib:
		return fmt.Sprintf("%.1f GiB", bytes/(kib*kib*kib))
	case bytes >= 10*kib*kib:
		return fmt.Sprintf("%.0f MiB", bytes/(kib*kib))
	case bytes >= kib*kib:
		return fmt.Sprintf("%.1f MiB", bytes/(kib*kib))
	}
	return fmt.Sprintf("%.0f KiB", bytes/kib)
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }
