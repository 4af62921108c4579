package proxy

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/retry"
)

// Stats is a copy of the counters. They only grow, but for the numbers that say
// "now": a reader takes two copies and looks at the difference.
type Stats struct {
	Services map[string]ServiceStats
}

// ServiceStats counts what one service's clients saw.
type ServiceStats struct {
	Requests       map[int]uint64 // by status code; 499: the client left before the answer
	Retries        uint64         // tries after the first
	RetriesDelayed uint64         // retries that had to wait because the budget was spent
	TurnedAway     uint64         // connections beyond Settings.Connections and ConnectionsPerAddress
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
	Workers        map[string]WorkerStats
}

// WorkerStats counts what one worker (SERVICE.N, all its runs) did.
type WorkerStats struct {
	Requests   uint64    // answers begun
	Errors     uint64    // tries that it failed, and answers that it broke off
	AnswerTime Histogram // to the head of the answer
}

// Histogram counts durations in buckets an eighth of a power of two wide, in
// microseconds, up to four minutes.
type Histogram struct {
	Count  uint64
	Sum    time.Duration
	Counts [histogramBuckets]uint64
}

const (
	histogramBuckets = 208
	exactBuckets     = 16
)

// BucketBound is the upper bound of a Histogram's bucket; a duration equal to it
// belongs to the next.
func BucketBound(bucket int) time.Duration {
	if bucket < exactBuckets {
		return time.Duration(bucket+1) * time.Microsecond
	}
	shift := (bucket-exactBuckets)/8 + 1
	return time.Duration(((bucket-exactBuckets)%8+9)<<shift) * time.Microsecond
}

func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < exactBuckets {
		return int(us)
	}
	shift := bits.Len64(us) - 4
	return min(exactBuckets+(shift-1)*8+int(us>>shift&7), histogramBuckets-1)
}

// Sub is what was counted since the older copy.
func (h Histogram) Sub(older Histogram) Histogram {
	h.Count -= older.Count
	h.Sum -= older.Sum
	for i := range h.Counts {
		h.Counts[i] -= older.Counts[i]
	}
	return h
}

// Quantile is the duration below which the share q (0 to 1) of all lies, within
// an eighth; 0 when nothing was counted.
func (h Histogram) Quantile(q float64) time.Duration {
	var total, seen uint64
	for _, n := range h.Counts {
		total += n
	}
	for i, n := range h.Counts {
		seen += n
		if n > 0 && float64(seen) >= q*float64(total) {
			return BucketBound(i)
		}
	}
	return 0
}

// Below is how many durations were less than d, to the bucket's width.
func (h Histogram) Below(d time.Duration) uint64 {
	var n uint64
	for i := range h.Counts {
		if BucketBound(i) > d {
			break
		}
		n += h.Counts[i]
	}
	return n
}

type histogram struct {
	sum    atomic.Int64
	counts [histogramBuckets]atomic.Uint64
}

func (h *histogram) add(d time.Duration) {
	h.sum.Add(int64(d))
	h.counts[bucketOf(d)].Add(1)
}

func (h *histogram) snapshot() Histogram {
	out := Histogram{Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		out.Counts[i] = h.counts[i].Load()
		out.Count += out.Counts[i]
	}
	return out
}

const (
	lowestStatus  = 100
	highestStatus = 599
)

type service struct {
	codes                      [highestStatus + 1 - lowestStatus]atomic.Uint64
	rawPassed, turnedAway, cut atomic.Uint64
	lastLost                   atomic.Int64 // unix ns
	lostSessions               atomic.Uint64
	openClients, openTunnels   atomic.Int64
	tries                      retry.Service
	crowd                      limit.PerAddress
	duration                   histogram
	workers                    sync.Map // name to *worker
}

type worker struct {
	requests, errors atomic.Uint64
	answerTime       histogram
	reuse            retry.Reuse
	first            atomic.Pointer[firstWords]
}

// firstWords is whether the last connection of a worker's process that spoke began
// with observed.Greeting.
type firstWords struct {
	process *balance.Endpoint
	greeted bool
}

func (w *worker) spoke(ep *balance.Endpoint, greeted bool) {
	if last := w.first.Load(); last == nil || *last != (firstWords{ep, greeted}) {
		w.first.Store(&firstWords{ep, greeted})
	}
}

// greets says whether a new connection will begin so, as far as another has shown it,
// and else as it is promised.
func (w *worker) greets(ep *balance.Endpoint, promised bool) bool {
	if last := w.first.Load(); last != nil && last.process == ep {
		return last.greeted
	}
	return promised
}

func (s *service) worker(name string) *worker {
	if w, ok := s.workers.Load(name); ok {
		return w.(*worker)
	}
	w, _ := s.workers.LoadOrStore(name, new(worker))
	return w.(*worker)
}

func (s *service) count(status int, took time.Duration) {
	s.codes[min(max(status, lowestStatus), highestStatus)-lowestStatus].Add(1)
	s.duration.add(took)
}

func (s *service) snapshot() ServiceStats {
	out := ServiceStats{
		Requests:       make(map[int]uint64),
		Retries:        s.tries.Retries.Load(),
		RetriesDelayed: s.tries.Delayed.Load(),
		TurnedAway:     s.turnedAway.Load(),
		LostSessions:   s.lostSessions.Load(),
		LastLost:       time.Unix(0, s.lastLost.Load()),
		Queued:         s.tries.Queued.Load(),
		QueueFull:      s.tries.QueueFull.Load(),
		Cut:            s.cut.Load(),
		InFlight:       s.tries.InFlight.Load(),
		OpenClients:    s.openClients.Load(),
		Tunnels:        s.openTunnels.Load(),
		RawPassed:      s.rawPassed.Load(),
		Duration:       s.duration.snapshot(),
		Workers:        make(map[string]WorkerStats),
	}
	for i := range s.codes {
		if n := s.codes[i].Load(); n > 0 {
			out.Requests[i+lowestStatus] = n
		}
	}
	s.workers.Range(func(name, w any) bool {
		out.Workers[name.(string)] = w.(*worker).snapshot()
		return true
	})
	return out
}

func (w *worker) snapshot() WorkerStats {
	return WorkerStats{Requests: w.requests.Load(), Errors: w.errors.Load(), AnswerTime: w.answerTime.snapshot()}
}

// registry keeps a service's counters for as long as the server lives, so that
// they survive every new table.
type registry struct{ services sync.Map }

func (r *registry) service(name string) *service {
	s, _ := r.services.LoadOrStore(name, new(service))
	return s.(*service)
}

func (r *registry) snapshot() Stats {
	out := Stats{Services: make(map[string]ServiceStats)}
	r.services.Range(func(name, s any) bool {
		out.Services[name.(string)] = s.(*service).snapshot()
		return true
	})
	return out
}
