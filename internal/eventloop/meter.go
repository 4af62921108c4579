package eventloop

import "time"

// unknown stands for every figure that nobody can tell.
const unknown = -1

// Meter makes figures of what was looked at and heard of one worker's loop. It is
// owned by one goroutine; times are its owner's.
type Meter struct {
	source Source
	last   Reading // without its queue
	at     time.Time
	since  time.Time // when the iteration at hand began; zero: it waits for events
	mean   float64   // ns, of how late a callback would have run, smoothed

	opened  time.Time // of the second at hand
	first   Reading   // of the second at hand
	longest time.Duration
	pending time.Time // since when a question has been unanswered; zero: none is
	heard   Answer    // the last one
	told    Answer    // the last one to a question for all

	late  histogram // how late callbacks run
	waits histogram // how long tasks wait for a thread
	task  task
}

// smoothing is the time over which the mean of the latency is taken.
const smoothing = float64(time.Second)

// Look takes a reading.
func (m *Meter) Look(now time.Time, r Reading) {
	if m.source != Outside || r.Idle < m.last.Idle { // another process, or the first reading of this one
		*m = Meter{source: Outside, opened: now, first: r, heard: m.heard, told: m.told}
		m.last, m.at = r, now
	}
	began := now.Add(-r.Running)
	switch {
	case r.Polling:
		m.since = time.Time{}
	case m.since.IsZero() || !m.sameIteration(r) || began.Before(m.since):
		m.since = began
	}
	running := m.Running(now)
	m.longest = max(m.longest, running)
	passed := now.Sub(m.at)
	m.late.add(now, running, passed)
	m.smooth(running, passed)
	if r.Pool.Counted {
		if wait, ok := m.task.follow(now, r.Pool.Queue); ok {
			m.waits.add(now, wait, time.Millisecond)
		}
	}
	if r.Pool.Queued = len(r.Pool.Queue); !r.Pool.Counted {
		r.Pool.Queued = m.last.Pool.Queued
	}
	r.Pool.Queue = nil
	m.last, m.at = r, now
}

// sameIteration reports whether the loop has not turned since the last reading.
// Its clock tells less: code that sets timers moves it forward.
func (m *Meter) sameIteration(r Reading) bool {
	if m.last.Polling || r.Idle != m.last.Idle {
		return false
	}
	if r.Iterations == 0 {
		return r.Clock == m.last.Clock
	}
	return r.Iterations == m.last.Iterations
}

func (m *Meter) smooth(running, passed time.Duration) {
	weight := min(float64(passed)/smoothing, 1)
	m.mean += (float64(min(running, SilentAfter)) - m.mean) * weight
}

// Hear takes the last answer of a worker, and since when a question has been
// unanswered. Where nothing is read from outside it tells how late the loop is.
func (m *Meter) Hear(now time.Time, a Answer, pending time.Time) {
	news := a.At.After(m.heard.At)
	if m.pending = pending; m.source != Outside {
		m.source = Ping
		if news {
			m.late.add(now, a.RoundTrip, time.Millisecond)
			m.smooth(a.RoundTrip, a.At.Sub(m.heard.At))
			m.longest = max(m.longest, a.RoundTrip)
		}
	}
	if news {
		m.heard = a
	}
}

// Running is how long the loop has not turned, now. A process that is stopped
// while it waits for events looks idle from outside; that it does not answer
// tells.
func (m *Meter) Running(now time.Time) time.Duration {
	var running time.Duration
	if !m.since.IsZero() {
		running = now.Sub(m.since)
	}
	if unanswered := now.Sub(m.pending); !m.pending.IsZero() && (m.source == Ping || unanswered > SilentAfter) {
		running = max(running, unanswered)
	}
	return max(running, 0)
}

// Latency is how late a callback that is due runs, on average of the last second.
func (m *Meter) Latency() time.Duration { return time.Duration(m.mean) }

// Idled reports whether the loop has had nothing to do since the last question
// for all: the answer would say nothing new.
func (m *Meter) Idled() bool {
	const ofTheAnswer = 4 // iterations that a question causes itself
	if m.source != Outside || m.heard.Asked.IsZero() {
		return false
	}
	if m.last.Iterations > 0 && m.heard.Iterations > 0 {
		return m.last.Iterations-m.heard.Iterations <= ofTheAnswer
	}
	return m.last.Clock-m.heard.Clock <= ofTheAnswer*time.Millisecond
}

// Told reports whether the worker has answered a question for all.
func (m *Meter) Told() bool { return !m.heard.Asked.IsZero() }

// Source says where the next figures come from.
func (m *Meter) Source() Source { return m.source }

// Lost says that the loop cannot be looked at, or not any more.
func (m *Meter) Lost() {
	if m.source == Outside {
		*m = Meter{}
	}
}

// Second closes the second at hand and returns its figures.
func (m *Meter) Second(now time.Time) Figures {
	f := Figures{
		At: now, Source: m.source, Frequency: unknown, TickMean: unknown, TickMax: unknown, Utilization: unknown,
		Latency: Latency{unknown, unknown, unknown}, Threads: unknown, Busy: unknown, Queued: unknown,
		WorkLatency: unknown, Handles: unknown, Requests: unknown, Blocked: m.Running(now),
	}
	switch m.source {
	case Outside:
		m.fromOutside(&f)
	case Ping:
		m.fromAnswers(&f)
	default:
		return f
	}
	if !m.heard.Asked.IsZero() {
		told := m.heard
		f.Inside = &told
	}
	f.TickMax = max(m.longest, f.TickMean)
	f.Latency = Latency{P50: m.late.quantile(0.5), P99: m.late.quantile(0.99), Max: m.late.max()}
	m.opened, m.first, m.longest, m.told = now, m.last, 0, m.heard
	return f
}

func (m *Meter) fromOutside(f *Figures) {
	span, idle := m.at.Sub(m.opened), m.last.Idle-m.first.Idle
	f.rates(span, span-idle, m.last.Iterations-m.first.Iterations, m.last.Iterations > 0)
	f.Handles, f.Requests = m.last.Handles, m.last.Requests
	p := m.last.Pool
	f.Threads, f.Busy, f.Queued = p.Threads, p.Busy, p.Queued
	f.WorkLatency = max(m.waits.mean(), m.task.waiting())
}

// fromAnswers compares the last answer to a question for all with the one before.
func (m *Meter) fromAnswers(f *Figures) {
	a, b := m.told, m.heard
	f.Handles = b.Handles
	if a.Asked.IsZero() || !b.Asked.After(a.Asked) {
		return
	}
	active := b.Active - a.Active
	f.rates(active+b.Idle-a.Idle, active, b.Iterations-a.Iterations, b.Iterations > a.Iterations)
}

// rates derives what one span of time tells, of which the loop was active for a part.
func (f *Figures) rates(span, active time.Duration, iterations uint64, counted bool) {
	if span <= 0 {
		return
	}
	active = min(max(active, 0), span)
	f.Utilization = float64(active) / float64(span)
	if !counted {
		return
	}
	f.Frequency = float64(iterations) / span.Seconds()
	if iterations > 0 {
		f.TickMean = active / time.Duration(iterations)
	}
}

// task follows one task through the pool's queue. libuv does not write down when
// a task came, so the last one of the queue is watched until it has left.
type task struct {
	id          uint64 // 0: none
	place       int    // how many stand before it
	came, alive time.Time
}

// follow takes the queue as it is and returns how long the task waited that has
// left it since: exact to the time between two looks.
func (t *task) follow(now time.Time, queue []uint64) (wait time.Duration, left bool) {
	if t.id != 0 {
		for i := 0; i <= min(t.place, len(queue)-1); i++ {
			if queue[i] == t.id { // farther back it is another task at the same address
				t.place, t.alive = i, now
				return 0, false
			}
		}
		wait, left = t.alive.Add(now.Sub(t.alive)/2).Sub(t.came), true
		t.id = 0
	}
	if n := len(queue); n > 0 {
		*t = task{id: queue[n-1], place: n - 1, came: now, alive: now}
	}
	return wait, left
}

// waiting is how long the followed task has waited so far.
func (t *task) waiting() time.Duration {
	if t.id == 0 {
		return 0
	}
	return t.alive.Sub(t.came)
}
