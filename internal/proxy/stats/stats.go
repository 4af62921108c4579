package stats

import (
	"sync/atomic"
	"time"
)

// Snapshot is a copy of the counters. They only grow, but for the numbers that say
// "now": a reader takes two copies and looks at the difference.
type Snapshot struct {
	Services map[string]Service
}

// Service counts what one service's clients saw.
type Service struct {
	Requests       map[int]uint64 // by status code; 499: the client left before the answer
	Retries        uint64         // tries after the first
	RetriesDelayed uint64         // retries that had to wait because the budget was spent
	TurnedAway     uint64         // connections beyond the limits of connections
	LostSessions   uint64         // requests of a session of engine.io that their worker answered 400: it did not know the session
	LastLost       time.Time      // when that was last
	Queued         int64          // requests in line now, because every worker is full
	QueueFull      uint64         // requests refused because the line was full
	Cut            uint64         // upgraded connections that ended before either side ended them
	InFlight       int64          // now
	OpenClients    int64          // connections now
	Tunnels        int64          // upgraded connections now
	RawPassed      uint64         // connections given to workers untouched
	Duration       Histogram      // from the head of the request to the end of the answer, or to the head of an upgrade
	Workers        map[string]Worker
}

// Worker counts what one worker (SERVICE.N, all its runs) did.
type Worker struct {
	Requests   uint64    // answers begun
	Errors     uint64    // tries that it failed, and answers that it broke off
	AnswerTime Histogram // to the head of the answer
}

const (
	lowestStatus  = 100
	highestStatus = 599
)

// ServiceCounters count what one service's clients see.
type ServiceCounters struct {
	codes                      [highestStatus + 1 - lowestStatus]atomic.Uint64
	RawPassed, TurnedAway, Cut atomic.Uint64
	LastLost                   atomic.Int64 // unix ns
	LostSessions               atomic.Uint64
	OpenClients, OpenTunnels   atomic.Int64
	duration                   Durations
}

// WorkerCounters count what one worker does.
type WorkerCounters struct {
	Requests, Errors atomic.Uint64
	AnswerTime       Durations
}

// Count counts an answer.
func (c *ServiceCounters) Count(status int, took time.Duration) {
	c.codes[min(max(status, lowestStatus), highestStatus)-lowestStatus].Add(1)
	c.duration.Add(took)
}

// Snapshot leaves out the tries of requests and the workers.
func (c *ServiceCounters) Snapshot() Service {
	out := Service{
		Requests:     make(map[int]uint64),
		TurnedAway:   c.TurnedAway.Load(),
		LostSessions: c.LostSessions.Load(),
		LastLost:     time.Unix(0, c.LastLost.Load()),
		Cut:          c.Cut.Load(),
		OpenClients:  c.OpenClients.Load(),
		Tunnels:      c.OpenTunnels.Load(),
		RawPassed:    c.RawPassed.Load(),
		Duration:     c.duration.snapshot(),
	}
	for i := range c.codes {
		if n := c.codes[i].Load(); n > 0 {
			out.Requests[i+lowestStatus] = n
		}
	}
	return out
}

func (c *WorkerCounters) Snapshot() Worker {
	return Worker{Requests: c.Requests.Load(), Errors: c.Errors.Load(), AnswerTime: c.AnswerTime.snapshot()}
}
