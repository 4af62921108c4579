package api

// EventLoop is what is known of a worker's event loop: rates over the last
// second, latencies over the last five to ten. What nobody can tell is left out.
type EventLoop struct {
	Source             string   `json:"source"`                              // outside: read from the process's memory; ping: asked for over its channel
	PID                int      `json:"pid"`                                 // the process that runs the loop
	TickFrequency      *float64 `json:"tick_frequency_hertz,omitempty"`      // iterations in a second
	TickDuration       *float64 `json:"tick_duration_seconds,omitempty"`     // mean time of an iteration, without its wait for events
	TickPeriod         *float64 `json:"tick_period_seconds,omitempty"`       // mean time from one iteration's beginning to the next one's, the wait included
	TickDurationMax    *float64 `json:"tick_duration_max_seconds,omitempty"` // the longest that was seen
	WorkLatency        *float64 `json:"work_latency_seconds,omitempty"`      // how long a task waits for a thread of the pool
	LoopLatency        *float64 `json:"loop_latency_seconds,omitempty"`      // how late a callback that is due runs: 99 of 100 are not later
	LoopLatencyP50     *float64 `json:"loop_latency_p50_seconds,omitempty"`
	LoopLatencyMax     *float64 `json:"loop_latency_max_seconds,omitempty"`
	Utilization        *float64 `json:"utilization,omitempty"`        // 0 to 1: the share of time in which it did not wait for events
	Blocked            float64  `json:"blocked_seconds"`              // how long the iteration at hand has been running
	Threads            *int     `json:"threadpool_threads,omitempty"` // 0: the application has not used its pool
	Busy               *int     `json:"threadpool_busy,omitempty"`
	Queued             *int     `json:"threadpool_queued,omitempty"` // tasks that wait for a thread
	Handles            *int     `json:"active_handles,omitempty"`
	Requests           *int     `json:"active_requests,omitempty"`    // of libuv: writes, file operations, look-ups
	InFlight           *int     `json:"requests_in_flight,omitempty"` // HTTP/1 requests inside the worker
	HeapUsed           *int64   `json:"heap_used_bytes,omitempty"`
	HeapLimit          *int64   `json:"heap_limit_bytes,omitempty"`
	External           *int64   `json:"external_memory_bytes,omitempty"`
	GarbageCollections []Pauses `json:"garbage_collections,omitempty"` // since they are counted
}

// Pauses sums up one kind of garbage collection.
type Pauses struct {
	Kind  string  `json:"kind"` // scavenge mark_sweep incremental weak_callbacks minor_mark_sweep
	Count uint64  `json:"count"`
	Total float64 `json:"total_seconds"`
	Max   float64 `json:"max_seconds"`
}
