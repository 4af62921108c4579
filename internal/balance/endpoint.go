package balance

import (
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The endpoint's state word: requests in flight in the low half, flags above.
const (
	inFlightMask uint64 = 1<<32 - 1
	draining     uint64 = 1 << 32 // no new requests, for good
	idle         uint64 = 1 << 33 // the drain channel has been closed
	out          uint64 = 1 << 34 // out of rotation until Endpoint.until
	dead         uint64 = 1 << 35 // out because Down was called
	onTrial      uint64 = 1 << 36 // acquired since it went out: an answer brings it back
	mute         uint64 = 1 << 37 // its event loop is silent
)

const (
	defaultFailTimeout = 10 * time.Second // nginx's
	untilNextPick      = 0                // Endpoint.until: Down knows no time, the next Pick sets it
	minSlowStartShare  = 0.01             // a share of nothing could not be divided by
)

// Values of Endpoint.running that are no time.
const (
	unwatched int64 = 0 // SetLoop was never called
	polling   int64 = 1 // the loop waits for events
)

// level says how good an endpoint is for the next request; lower is better.
type level int

const (
	usable   level = iota // in rotation, or out and due for a trial request
	silent                // its event loop does not turn: it would wait for long
	ejected               // out of rotation after too many failures
	down                  // out of rotation because nobody listens there
	unusable              // draining, or full
)

// Endpoint is one address that can take requests. All methods may be called
// from any goroutine.
type Endpoint struct {
	// What every Pick reads, within one cache line.
	state     atomic.Uint64
	limit     uint64        // MaxConns; a state word from here on is full or has a flag
	perWeight float64       // 1 / Weight
	slowUntil int64         // unix ns; 0: no slow start
	answers   atomic.Uint64 // smoothed answer time, see answerTime
	looked    atomic.Int64  // unix ns until which a tick of its event loop is believed to last; odd: the loop was late of late
	running   atomic.Int64  // unix ns since when its event loop has not turned, or polling, or unwatched
	key       uint64        // of the worker's name: stays the same over respawns

	cfg         Config
	sticky      string
	failTimeout int64 // ns
	drained     chan struct{}

	until    atomic.Int64 // unix ns; only read while out
	answered atomic.Uint64
	failed   atomic.Uint64
	failedAt atomic.Int64 // unix ns of the last failure; 0: none

	mu    sync.Mutex // only taken when a request fails or a trial succeeds
	fails []int64    // unix ns of the failures inside the window, oldest first
}

// NewEndpoint makes an endpoint with nothing in flight. A Weight below 1 is 1.
func NewEndpoint(c Config) *Endpoint {
	c.Weight = max(c.Weight, 1)
	name := c.Worker
	if name == "" {
		name = c.Address
	}
	e := &Endpoint{
		limit:       inFlightMask,
		perWeight:   1 / float64(c.Weight),
		cfg:         c,
		key:         hashString(name),
		sticky:      strconv.FormatUint(hashString("sticky "+name), 36),
		failTimeout: int64(c.FailTimeout),
		drained:     make(chan struct{}),
	}
	if c.MaxConns > 0 {
		e.limit = min(e.limit, uint64(c.MaxConns))
	}
	if e.failTimeout <= 0 {
		e.failTimeout = int64(defaultFailTimeout)
	}
	if c.SlowStart > 0 && !c.Ready.IsZero() {
		e.slowUntil = c.Ready.Add(c.SlowStart).UnixNano()
	}
	return e
}

// StickyID is the value for a sticky cookie that leads back to e, or to the
// worker that replaces it under the same name. It does not show the name.
func StickyID(e *Endpoint) string { return e.sticky }

// Config returns what the endpoint was made of.
func (e *Endpoint) Config() Config { return e.cfg }

// Release gives back what Pick acquired; call it exactly once for each Pick. ok
// says whether the worker answered at all; took is the time to the head of its
// answer (0: unknown).
func (e *Endpoint) Release(now time.Time, ok bool, took time.Duration) {
	if ok {
		e.succeed(now.UnixNano(), took)
	} else {
		e.fail(now.UnixNano())
	}
	e.leave()
}

// Drain keeps new requests away for good and returns a channel that is closed
// when nothing is in flight any more. Further calls return the same channel.
func (e *Endpoint) Drain() <-chan struct{} {
	e.state.Or(draining)
	e.closeIfIdle()
	return e.drained
}

// Down says that nobody listens there: the worker's channel ended, or it refused
// a connection. The endpoint takes no request while any other can, ejected ones
// included; otherwise a dead worker, with nothing in flight, would be everybody's
// first choice until its exit is published. It is not for good, because an
// external server comes back behind the same Endpoint: after FailTimeout one
// request tries it, and an answer brings it back. Down does not replace Release.
func (e *Endpoint) Down() {
	if e.state.Load()&dead != 0 {
		return
	}
	e.until.Store(untilNextPick)
	e.state.And(^onTrial)
	e.state.Or(out | dead)
}

// InFlight is the number of requests acquired and not released.
func (e *Endpoint) InFlight() int { return int(e.state.Load() & inFlightMask) }

// Answered counts requests that ended with an answer.
func (e *Endpoint) Answered() uint64 { return e.answered.Load() }

// Failed counts requests that ended without an answer.
func (e *Endpoint) Failed() uint64 { return e.failed.Load() }

// Busy says whether a request is in flight, or ended within the time before now.
func (e *Endpoint) Busy(now time.Time, within time.Duration) bool {
	recent := func(age time.Duration) bool { return age >= 0 && age <= within }
	answered := answerTime(e.answers.Load())
	return e.InFlight() > 0 ||
		e.failedAt.Load() != 0 && recent(time.Duration(now.UnixNano()-e.failedAt.Load())) ||
		answered != 0 && recent(time.Duration(answered.age(now.UnixNano()))*time.Millisecond)
}

// Ejected says whether failures or Down keep the endpoint out of rotation. When
// that is true of every endpoint of a pool, they get requests all the same.
func (e *Endpoint) Ejected(now time.Time) bool {
	return e.state.Load()&out != 0 && !e.trialDue(now.UnixNano())
}

// Loop is the state of a worker's event loop.
type Loop struct {
	Latency time.Duration // how long a request that arrives waits before the worker looks at it, on average
	At      time.Time     // of the look; zero: it holds until the next one
	Since   time.Time     // since when the loop has not turned; zero: it waits for events
	Silent  bool          // it has not turned for so long that nothing should be sent there
}

// SetLoop reports the state of the worker's event loop. A silent one gets no
// request while any other worker can take it, but for those of its own clients
// (Request.Sticky): they would not find their session elsewhere.
func (e *Endpoint) SetLoop(l Loop) {
	believed := int64(math.MaxInt64)
	if !l.At.IsZero() {
		believed = l.At.UnixNano() + loopTrust
	}
	if believed &^= 1; l.Latency >= loopPenalty {
		believed |= 1
	}
	e.looked.Store(believed)
	since := polling
	if !l.Since.IsZero() {
		since = l.Since.UnixNano()
	}
	e.running.Store(since)
	switch was := e.state.Load()&mute != 0; {
	case l.Silent && !was:
		e.state.Or(mute)
	case !l.Silent && was:
		e.state.And(^mute)
	}
}

// Blocked is how long the worker's event loop has not turned, as far as SetLoop
// has reported; 0 when it waits for events.
func (e *Endpoint) Blocked(now time.Time) time.Duration {
	if since := e.running.Load(); since != unwatched && since != polling {
		return max(time.Duration(now.UnixNano()-since), 0)
	}
	return 0
}

// Turns says whether the worker's event loop is watched and turns: what its requests
// wait for is something else.
func (e *Endpoint) Turns(now time.Time) bool {
	const busy = time.Second // longer than one of many short callbacks
	return e.running.Load() != unwatched && !e.Silent() && e.Blocked(now) < busy
}

// Draining says whether Drain was called.
func (e *Endpoint) Draining() bool { return e.state.Load()&draining != 0 }

// Silent says whether SetLoop reported a silent loop last.
func (e *Endpoint) Silent() bool { return e.state.Load()&mute != 0 }

// AnswerTime is the smoothed time to the head of an answer; 0 before the first.
func (e *Endpoint) AnswerTime() time.Duration {
	return time.Duration(answerTime(e.answers.Load()).micros()) * time.Microsecond
}

// level says how good the endpoint is now. Below limit it is usable.
func (e *Endpoint) level(now int64) level {
	s := e.state.Load()
	switch {
	case s&draining != 0 || s&inFlightMask >= e.limit:
		return unusable
	case s&out != 0 && !e.trialDue(now):
		if s&dead != 0 {
			e.until.CompareAndSwap(untilNextPick, now+e.failTimeout)
			return down
		}
		return ejected
	case s&mute != 0:
		return silent
	}
	return usable
}

// trialDue says whether the time out of rotation is over. Times are wall clock,
// because a duration since process start needs a global; so an end that lies
// further away than FailTimeout means that the clock was set back: over, too.
func (e *Endpoint) trialDue(now int64) bool {
	until := e.until.Load()
	return until != untilNextPick && (now >= until || until-now > e.failTimeout)
}

// acquire counts one more request in flight, unless the endpoint has become
// worse than allowed since the caller looked.
func (e *Endpoint) acquire(now int64, allowed level) bool {
	s, entered := e.enter()
	if !entered {
		return false
	}
	if s&out == 0 {
		return true
	}
	if allowed < ejected && !e.claimTrial(now) {
		e.leave()
		return false
	}
	e.state.Or(onTrial)
	return true
}

// enter adds one, and takes it back if the endpoint is draining. With MaxConns
// it compares and swaps: an add that is taken back could turn another away.
func (e *Endpoint) enter() (state uint64, ok bool) {
	if e.limit == inFlightMask {
		s := e.state.Add(1)
		if s&draining != 0 {
			e.leave()
			return s, false
		}
		return s, true
	}
	for {
		s := e.state.Load()
		if s&draining != 0 || s&inFlightMask >= e.limit {
			return s, false
		}
		if e.state.CompareAndSwap(s, s+1) {
			return s + 1, true
		}
	}
}

// leave takes one away; the last one out of a draining endpoint shuts the door.
func (e *Endpoint) leave() {
	s := e.state.Add(math.MaxUint64)
	if s&draining != 0 && s&inFlightMask == 0 {
		e.closeIfIdle()
	}
}

// closeIfIdle closes the drain channel once. Whoever brings the count to zero
// comes here, also a Pick that entered too late and left again.
func (e *Endpoint) closeIfIdle() {
	for {
		s := e.state.Load()
		if s&draining == 0 || s&(inFlightMask|idle) != 0 {
			return
		}
		if e.state.CompareAndSwap(s, s|idle) {
			close(e.drained)
			return
		}
	}
}

// claimTrial lets one request through and keeps the next away for FailTimeout,
// as nginx does: a trial that hangs must not keep the endpoint out for ever.
func (e *Endpoint) claimTrial(now int64) bool {
	until := e.until.Load()
	return e.trialDue(now) && e.until.CompareAndSwap(until, now+e.failTimeout)
}

func (e *Endpoint) succeed(now int64, took time.Duration) {
	e.answered.Add(1)
	if took > 0 {
		old := e.answers.Load()
		// A lost race loses one sample of many: not worth a loop.
		e.answers.CompareAndSwap(old, uint64(answerTime(old).add(now, took)))
	}
	// Only an answer to a request that was sent after it went out counts: what
	// was in flight before says nothing.
	if e.state.Load()&onTrial != 0 {
		e.mu.Lock()
		e.fails = e.fails[:0]
		e.state.And(^(out | dead | onTrial))
		e.mu.Unlock()
	}
}

func (e *Endpoint) fail(now int64) {
	e.failed.Add(1)
	e.failedAt.Store(now)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state.Load()&out != 0 {
		e.until.Store(now + e.failTimeout)
		e.state.And(^onTrial)
		return
	}
	if e.cfg.MaxFails <= 0 {
		return
	}
	e.forgetFailsBefore(now - e.failTimeout)
	e.fails = append(e.fails, now)
	if len(e.fails) >= e.cfg.MaxFails {
		e.fails = e.fails[:0]
		e.until.Store(now + e.failTimeout)
		e.state.And(^onTrial)
		e.state.Or(out)
	}
}

func (e *Endpoint) forgetFailsBefore(t int64) {
	old := 0
	for old < len(e.fails) && e.fails[old] <= t {
		old++
	}
	e.fails = append(e.fails[:0], e.fails[old:]...)
}

// growing says whether slow start keeps its share small.
func (e *Endpoint) growing(now int64) bool { return now < e.slowUntil }

// share is the part of its weight that the endpoint has earned: 1, or less
// during slow start.
func (e *Endpoint) share(now int64) float64 {
	left := float64(e.slowUntil-now) / float64(e.cfg.SlowStart)
	return min(max(1-left, minSlowStartShare), 1)
}
