package node

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"bulsa/internal/eventloop"
)

// questions is what was asked about the worker's event loop, and what was
// answered. The preload's loop.cjs is the other side.
type questions struct {
	mu      sync.Mutex
	may     bool // the worker has said that it answers
	seq     int
	pending time.Time // when the last question was sent; zero: it has been answered
	last    *eventloop.Answer
}

// Ask asks the worker's event loop: for all that it can tell, or only whether it
// answers. While a question is unanswered, and of a worker that does not
// answer any, it asks nothing. It does not wait.
func (c *Channel) Ask(all bool) {
	seq, ok := c.loop.next(time.Now())
	if !ok {
		return
	}
	question := plain{"cmd": cmdBulsa, "act": "ask", "seq": seq}
	if all {
		question["all"] = true
	}
	if c.Send(question) != nil {
		c.loop.begin(false) // the channel is down, or full: what follows is Down's business
	}
}

// Heard is the last answer, and since when a question has been unanswered (zero:
// none is). Of what a short question does not ask for, the answer keeps what
// was told last. ok is false before the first answer.
func (c *Channel) Heard() (last eventloop.Answer, pending time.Time, ok bool) {
	q := &c.loop
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		return eventloop.Answer{}, q.pending, false
	}
	return *q.last, q.pending, true
}

// begin forgets the process before: another one speaks on the channel now.
func (q *questions) begin(may bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.may, q.pending, q.last = may, time.Time{}, nil
	q.seq++ // an answer that is still under way is nobody's
}

func (q *questions) next(now time.Time) (seq int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.may || !q.pending.IsZero() {
		return 0, false
	}
	q.seq++
	q.pending = now
	return q.seq, true
}

func (q *questions) heard(now time.Time, seq int, frame []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if seq != q.seq || q.pending.IsZero() {
		return
	}
	a, all := parseAnswer(frame)
	switch {
	case all:
		a.Asked = q.pending
	case q.last != nil:
		a = *q.last
	}
	a.At, a.RoundTrip = now, now.Sub(q.pending)
	q.last, q.pending = &a, time.Time{}
}

// told is an answer on the wire. Times are in milliseconds.
type told struct {
	Clock     float64
	Loops     uint64
	Idle      float64
	Active    float64
	GC        map[string][3]float64 // by V8's number: how many, ms, longest ms
	Used      int64
	Limit     int64
	External  int64
	InFlight  int
	Handles   int
	Inspected bool
}

// parseAnswer also says whether the answer is one to a question for all.
func parseAnswer(frame []byte) (a eventloop.Answer, all bool) {
	var t told
	if json.Unmarshal(frame, &t) != nil || t.Clock == 0 {
		return a, false
	}
	a = eventloop.Answer{
		Clock: milliseconds(t.Clock), Iterations: t.Loops, Idle: milliseconds(t.Idle), Active: milliseconds(t.Active),
		HeapUsed: t.Used, HeapLimit: t.Limit, External: t.External, InFlight: t.InFlight, Handles: t.Handles,
		Inspected: t.Inspected,
	}
	for _, kind := range slices.Sorted(maps.Keys(t.GC)) {
		p, name := t.GC[kind], pauseKind(kind)
		if name == "" {
			continue
		}
		a.Pauses = append(a.Pauses, eventloop.Pauses{
			Kind: name, Count: uint64(p[0]), Total: milliseconds(p[1]), Max: milliseconds(p[2]),
		})
	}
	return a, true
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// pauseKind names V8's GCType (include/v8-callbacks.h); "" for one that is not known.
func pauseKind(number string) string {
	switch number {
	case "1":
		return "scavenge"
	case "2":
		return "minor_mark_sweep"
	case "4":
		return "mark_sweep"
	case "8":
		return "incremental"
	case "16":
		return "weak_callbacks"
	}
	return ""
}
