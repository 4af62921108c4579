// Package eventloop is what bulsa knows of a Node worker's event loop: what one
// look at it shows, what the worker tells of itself, and the figures and
// verdicts that follow. It only computes; node/libuv looks, node asks.
package eventloop

import "time"

// Reading is one look at a loop from outside. Durations are exact to the
// nanosecond where libuv keeps nanoseconds; Running is exact to a millisecond,
// because the loop's own clock is.
type Reading struct {
	Polling    bool          // it waits for events
	Running    time.Duration // how long the iteration at hand has been running; 0 while Polling
	Iterations uint64        // since the start; 0 where libuv does not count them (before 1.45: Node 18)
	Idle       time.Duration // spent waiting since the start, the wait at hand included
	Clock      time.Duration // the loop's own idea of the time, CLOCK_MONOTONIC: of the end of its last wait, or later
	Events     uint64        // that the loop has met; 0 before libuv 1.45
	Handles    int           // active ones: servers, sockets, timers of libuv
	Requests   int           // active ones: writes, file operations, look-ups
	Timers     int           // in libuv's heap; Node keeps one for all of JavaScript's
	Pool       Pool
}

// Pool is the thread pool of a process: fs, dns.lookup, crypto and zlib use it.
type Pool struct {
	Threads int      // 0: never used so far
	Busy    int      // threads that run a task
	Counted bool     // Queue is of this look; counting is too dear for every one
	Queued  int      // tasks that waited when they were last counted
	Queue   []uint64 // tasks that wait, the next first; a number names a task while it waits. Only valid until the next look
}

// Answer is what a worker says when it is asked. What its Node version does not
// know is zero.
type Answer struct {
	At        time.Time     // when it came
	RoundTrip time.Duration // from the question to the answer

	// What only a question for all is answered with.
	Asked time.Time     // when that question was sent; zero: there was none yet
	Clock time.Duration // CLOCK_MONOTONIC when it was answered

	Iterations uint64        // performance.nodeTiming.uvMetricsInfo.loopCount
	Idle       time.Duration // performance.nodeTiming.idleTime
	Active     time.Duration // performance.eventLoopUtilization().active
	Pauses     []Pauses      // of the garbage collector so far, since it was first asked
	HeapUsed   int64         // bytes
	HeapLimit  int64         // bytes
	External   int64         // bytes outside of the heap that it holds on to: buffers
	InFlight   int           // HTTP/1 requests whose answer is not finished
	Handles    int           // active handles and requests together: process.getActiveResourcesInfo
	Inspected  bool          // its inspector is open, or was asked for on the command line
}

// Pauses sums up one kind of garbage collection.
type Pauses struct {
	Kind  string // scavenge, mark_sweep, incremental, weak_callbacks, minor_mark_sweep
	Count uint64
	Total time.Duration
	Max   time.Duration
}

// Source names where the figures of a worker come from.
type Source string

const (
	Unknown Source = ""        // nothing is known: not Node, or not yet
	Outside Source = "outside" // its memory is read; the worker does not notice
	Ping    Source = "ping"    // it is asked over its channel once a second
)

// Figures are what was measured of one loop, over the last second where they
// are rates and over the last five to ten where they are latencies.
type Figures struct {
	At          time.Time
	Source      Source
	PID         int           // the process that runs the loop
	Frequency   float64       // iterations in a second; unknown: negative
	TickMean    time.Duration // of an iteration without its wait for events; unknown: negative
	TickMax     time.Duration // the longest that was seen; shorter ones may have been longer than the looks were apart
	Utilization float64       // 0 to 1: the share of time in which it did not wait for events; unknown: negative
	Latency     Latency       // how late a callback runs that is due now
	Blocked     time.Duration // the iteration at hand had been running for that long at the last look; 0: it waited for events
	Threads     int           // of the pool; unknown: negative
	Busy        int           // of them
	Queued      int           // tasks that wait for one
	WorkLatency time.Duration // how long a task waits for a thread; unknown: negative
	Handles     int           // unknown: negative
	Requests    int           // unknown: negative
	Inside      *Answer       // the last one; nil: it was not asked, or cannot answer
}

// Latency is a distribution. Unknown: negative.
type Latency struct{ P50, P99, Max time.Duration }
