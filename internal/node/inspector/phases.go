package inspector

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Phase is one row of what a second of the loop consisted of.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"` // negative: unknown
	Count   int     `json:"count"`   // how often; 0 where that is not counted
	Known   string  `json:"known"`   // exact | derived | unknown
	Note    string  `json:"note"`
}

// Task is what the thread pool did of one kind: crypto, zlib, fs, dns.
type Task struct {
	Kind    string  `json:"kind"`
	Count   int     `json:"count"`
	Run     float64 `json:"run_seconds"`  // mean time on a thread
	Waited  float64 `json:"wait_seconds"` // mean time from asking to the result, without Run: the queue, and the loop's own delay
	Longest float64 `json:"longest_wait_seconds"`
}

// Phases is how the loop spent its time while it was traced.
type Phases struct {
	Seconds    float64 `json:"seconds"`    // how long it was traced
	Iterations int     `json:"iterations"` // of the loop
	Phases     []Phase `json:"phases"`     // in the order of an iteration; wait and callbacks of poll apart
	Inside     []Phase `json:"inside"`     // microtasks and garbage collection: part of the phases, and of no one alone
	Tasks      []Task  `json:"tasks"`      // of the thread pool
}

// Known of a Phase.
const (
	Exact   = "exact"   // Node measures it
	Derived = "derived" // the rest, when what is exact is taken away
	Unknown = "unknown" // Node does not tell
)

// clock is what the loop says of itself.
type clock struct {
	Now  float64 // milliseconds
	Idle float64 // milliseconds in which it waited in poll, since the start
}

const readClock = `(() => ({ now: performance.now(), idle: performance.eventLoopUtilization().idle }))()`

// Phases traces the loop for d. Tracing costs the program about a tenth of its
// speed meanwhile (node.environment, v8.execute, node.threadpoolwork).
func (s *Session) Phases(ctx context.Context, d time.Duration) (Phases, error) {
	var events []traceEvent
	var failed error
	s.conn.on = func(method string, params []byte) {
		if method != "NodeTracing.dataCollected" {
			return
		}
		var data struct {
			Value []traceEvent `json:"value"`
		}
		if err := json.Unmarshal(params, &data); err != nil {
			failed = fmt.Errorf("cannot read the trace: %w", err)
		}
		events = append(events, data.Value...)
	}
	defer func() { s.conn.on = nil }()
	config := map[string]any{"includedCategories": []string{"node.environment", "node.threadpoolwork", "v8", "v8.execute"}}
	if err := s.conn.call(ctx, "NodeTracing.start", map[string]any{"traceConfig": config}, nil); err != nil {
		return Phases{}, err
	}
	before, err := s.clock(ctx)
	if err == nil {
		err = wait(ctx, d)
	}
	if err != nil {
		return Phases{}, err
	}
	after, err := s.clock(ctx)
	if err == nil {
		err = s.conn.call(ctx, "NodeTracing.stop", nil, nil)
	}
	for quiet := 0; err == nil && quiet < traceQuiet; quiet++ {
		known := len(events)
		if err = wait(ctx, tracePause); err == nil {
			_, err = s.clock(ctx) // brings what has come meanwhile
		}
		if known == 0 || len(events) > known {
			quiet = -1
		}
	}
	return phasesOf(events, before, after), cmp.Or(err, failed)
}

// The data of a trace comes after the word that tracing is complete, in pieces,
// and nothing tells which is the last.
const (
	tracePause = 50 * time.Millisecond
	traceQuiet = 5
)

func (s *Session) clock(ctx context.Context) (clock, error) {
	var answer struct{ Result struct{ Value clock } }
	err := s.conn.call(ctx, "Runtime.evaluate", map[string]any{"expression": readClock, "returnByValue": true}, &answer)
	return answer.Result.Value, err
}

// traceEvent is one event of a trace, in Chrome's format: X is a whole span, B
// and E (or b and e, by id) are the ends of one.
type traceEvent struct {
	Category string          `json:"cat"`
	Name     string          `json:"name"`
	Kind     string          `json:"ph"`
	Process  int             `json:"pid"`
	Thread   int             `json:"tid"`
	At       int64           `json:"ts"`  // microseconds
	Duration int64           `json:"dur"` // X: microseconds
	ID       json.RawMessage `json:"id"`
}

// span is a time that several events of one name took together.
type span struct {
	total, longest int64 // microseconds
	count          int
}

func (s *span) add(us int64) {
	s.total += us
	s.longest = max(s.longest, us)
	s.count++
}

func (s span) seconds() float64 { return float64(s.total) / 1e6 }

// phasesOf sums up a trace between two readings of the loop's clock.
func phasesOf(events []traceEvent, before, after clock) Phases {
	slices.SortStableFunc(events, func(a, b traceEvent) int { return cmp.Compare(a.At, b.At) })
	spans := sumSpans(events)
	timers, check := spans["RunTimers"], spans["CheckImmediate"]
	wall, idle := (after.Now-before.Now)/1000, (after.Idle-before.Idle)/1000
	rest := max(0, wall-idle-timers.seconds()-check.seconds())
	collector := spans["MinorGC"]
	collector.total += spans["MajorGC"].total
	collector.count += spans["MajorGC"].count
	microtasks := spans["RunMicrotasks"]
	const unknown = -1
	return Phases{
		Seconds: wall, Iterations: check.count,
		Phases: []Phase{
			{"timers", timers.seconds(), timers.count, Exact, "setTimeout, setInterval"},
			{"pending", unknown, 0, Unknown, "late errors of sockets; part of the callbacks of poll below"},
			{"idle, prepare", unknown, 0, Unknown, "used by Node itself only; part of the callbacks of poll below"},
			{"poll: waiting", idle, 0, Exact, "for events; nothing to do"},
			{"poll: callbacks", rest, 0, Derived, "network, files, the thread pool's results: what is left of the time when the exact rows are taken away"},
			{"check", check.seconds(), check.count, Exact, "setImmediate"},
			{"close callbacks", unknown, 0, Unknown, "'close' of sockets and handles; part of the callbacks of poll above"},
		},
		Inside: []Phase{
			{"microtasks", microtasks.seconds(), microtasks.count, Exact, "promises and queueMicrotask, after each callback; not those that run between process.nextTick callbacks of one queue"},
			{"garbage collection", collector.seconds(), collector.count, Exact, "on the main thread"},
		},
		Tasks: tasksOf(events),
	}
}

// sumSpans sums up what happened on the main thread, by name. Spans of one name
// do not lie within each other there.
func sumSpans(events []traceEvent) map[string]span {
	spans, open := map[string]span{}, map[string]int64{}
	for _, e := range events {
		if e.Thread != e.Process {
			continue
		}
		s := spans[e.Name]
		switch e.Kind {
		case "X":
			s.add(e.Duration)
		case "B":
			open[e.Name] = e.At
		case "E":
			if began, ok := open[e.Name]; ok {
				s.add(e.At - began)
				delete(open, e.Name)
			}
		}
		spans[e.Name] = s
	}
	return spans
}

// tasksOf pairs what was asked of the thread pool with what its threads ran.
func tasksOf(events []traceEvent) []Task {
	asked, whole := map[string]int64{}, map[string]span{} // from asking to the result
	running, run := map[string]int64{}, map[string]span{}
	for _, e := range events {
		if !strings.Contains(e.Category, "node.threadpoolwork") {
			continue
		}
		switch e.Kind {
		case "b":
			asked[e.Name+string(e.ID)] = e.At
		case "e":
			pair(asked, whole, e.Name+string(e.ID), e)
		case "B":
			running[fmt.Sprint(e.Name, e.Thread)] = e.At
		case "E":
			pair(running, run, fmt.Sprint(e.Name, e.Thread), e)
		}
	}
	var tasks []Task
	for kind, w := range whole {
		t := Task{Kind: kind, Count: w.count}
		if r := run[kind]; r.count > 0 {
			t.Run = r.seconds() / float64(r.count)
		}
		t.Waited = max(0, w.seconds()/float64(w.count)-t.Run)
		t.Longest = max(0, float64(w.longest)/1e6-t.Run)
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b Task) int { return cmp.Compare(a.Kind, b.Kind) })
	return tasks
}

func pair(open map[string]int64, into map[string]span, key string, end traceEvent) {
	began, ok := open[key]
	if !ok {
		return
	}
	delete(open, key)
	s := into[end.Name]
	s.add(end.At - began)
	into[end.Name] = s
}
