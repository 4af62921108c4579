package api

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Inside is what a bulsa inside a container tells of itself: its workers, and
// what has happened since the last report. On the wire it is a line of JSON.
// Worker.Number tells the workers apart; it is what Event.Worker holds, too.
type Inside struct {
	Workers []Worker `json:"workers"`
	Events  []Event  `json:"events,omitempty"`
	Program string   `json:"program,omitempty"` // path of the bulsa inside, which does what its own users may ask of it
}

// SilentAfter is how long the loops of all workers may not have turned before
// nothing should be sent to their container, if others do better.
const SilentAfter = 200 * time.Millisecond

// Named are the workers under the name of the one whose container they are in.
func (r *Inside) Named(service, worker string) []Worker {
	if r == nil {
		return nil
	}
	out := slices.Clone(r.Workers)
	for i := range out {
		out[i].Service, out[i].Name = service, InsideName(worker, strconv.Itoa(out[i].Number))
	}
	return out
}

// InsideName is what a worker inside the container of another one is called.
func InsideName(worker, number string) string { return worker + "/" + number }

// IsInside reports whether a worker of that name is inside the container of another one.
func IsInside(worker string) bool { return strings.Contains(worker, "/") }

// Loop is what a request that goes to the container may expect: how late the
// best of the ready workers runs a callback, and how long that one has not
// turned if all of them are silent. With no worker ready it waits as well.
func (r *Inside) Loop() (latency, blocked time.Duration, silent bool) {
	ready, known := 0, 0
	for _, w := range r.Workers {
		if w.State != "ready" {
			continue
		}
		ready++
		l := w.EventLoop
		if l == nil {
			return 0, 0, false // nobody knows, so nobody is blamed
		}
		late, since := seconds(l.LoopLatencyP50), seconds(&l.Blocked)
		if known++; known == 1 {
			latency, blocked = late, since
		}
		latency, blocked = min(latency, late), min(blocked, since)
	}
	return latency, blocked, ready == 0 || blocked > SilentAfter
}

func seconds(v *float64) time.Duration {
	if v == nil {
		return 0
	}
	return time.Duration(min(*v, 1e6) * float64(time.Second))
}
