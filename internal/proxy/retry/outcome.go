package retry

import (
	"fmt"
	"slices"
	"time"
)

// What a client is told that no worker has answered.
const (
	badGateway     = 502 // a worker may have begun the request
	unavailable    = 503 // none has
	gatewayTimeout = 504
)

const (
	// mostClosed bounds how many living workers are asked: one that ends the
	// connection in place of an answer may do so because of the request. nginx asks
	// each server once, HAProxy one.
	mostClosed = 2
	// mostSeen bounds all attempts of which a worker has seen something, whoever is
	// to blame for their ends.
	mostSeen = 10
)

// Untold is the longest body with which a worker may begin what may happen twice and
// not tell of it: a request with more may be too long to be kept for another worker,
// once it goes out as it comes. Preload/begun.cjs knows it, too.
const Untold = 32 << 10

// WordDue says whether a worker that tells what it begins tells of a request that is
// no upgrade. length is that of its body, below 0: in chunks.
func WordDue(idempotent bool, length int64) bool {
	return !idempotent || length < 0 || length > Untold
}

// Idempotent is RFC 9110, section 9.2.2.
func Idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// Ending is how an attempt ended that got no answer.
type Ending uint8

const (
	Unbegun   Ending = iota // the worker has not begun the request
	Closed                  // it may have, and the connection ended; nothing says that the worker did
	Died                    // it may have, and the worker has ended
	Late                    // no answer came in time
	Malformed               // the answer was no answer
)

func (e Ending) String() string {
	return [...]string{"not begun", "closed", "died", "late", "malformed"}[e]
}

// Sent is what is known of a request when its connection has ended without an answer.
type Sent struct {
	Some     bool // of it has left
	Whole    bool // it has left in one piece
	Unread   bool // the worker left a piece unread
	NoHead   bool // it left a part of the head unread: no application begins before its end
	Told     bool // the worker has said that it tells what it begins
	WillTell bool // it has promised to say so
	Due      bool // it tells of this request: WordDue
	Begun    bool // it has told
	Died     bool // it has ended
	Mortal   bool // whether it has ended can be told
}

// Ending says what that means.
func (s Sent) Ending() Ending {
	told := s.Told || s.WillTell && s.Unread // it ended before it could say so
	switch {
	case !s.Some, s.Whole && s.Unread, s.NoHead, told && s.Due && !s.Begun:
		return Unbegun
	case s.Died:
		return Died
	}
	return Closed
}

// Seen says whether the worker has seen something of the request.
func (s Sent) Seen() bool { return s.Some && !s.NoHead && !(s.Whole && s.Unread) }

// Outcome is that of the attempt.
func (s Sent) Outcome(reason string) Outcome {
	return Outcome{Ending: s.Ending(), Seen: s.Seen(), Dead: s.Died, Doubt: !s.Mortal, Reason: reason}
}

// Outcome is an attempt that got no answer.
type Outcome struct {
	Ending Ending
	Seen   bool   // the worker has seen something of the request
	Lost   bool   // the request cannot be sent from its beginning any more
	Dead   bool   // the worker has ended: no new connection to it is worth a try
	Doubt  bool   // nobody can tell whether it has
	Reuse  *Reuse // of the worker, where the connection had carried another request and its end does not tell what was begun; else nil
	Reused bool   // the connection had carried another request
	Reason string // "closed the connection before it answered"
}

// Failed ends the attempt at hand, unless the same endpoint is to be asked again, and
// says how to go on. took is the time to the head of an answer, if there was one.
func (t *Try) Failed(now time.Time, o Outcome) Decision {
	if o.Reuse != nil && o.Ending <= Died {
		o.Reuse.spoil(now)
	}
	if hung := t.ep.Blocked(now).Truncate(time.Second); o.Ending == Died && t.ep.Silent() && hung > 0 {
		o.Reason = fmt.Sprintf("ended before it answered: its event loop had not turned for %v (the limit is x-bulsa.event_loop.unhealthy_after)", hung)
	}
	t.count(now, o)
	may := t.mayRepeat(now, o)
	// A connection that was idle may be closed by the worker at the same moment: that
	// says nothing about the worker, who is asked again over a new one.
	if o.Reused && !o.Dead && may && o.Ending <= Closed && t.afford() {
		if o.Ending == Closed {
			t.note(o.Reason)
		}
		t.route.Service.Retries.Add(1)
		return Decision{Kind: AskAgain, Endpoint: t.ep}
	}
	t.note(o.Reason)
	t.Release(now, false, 0)
	t.holdAnew(now, o.Ending)
	switch {
	case o.Ending == Late:
		return Decision{Kind: Refuse, Refusal: Refusal{Status: gatewayTimeout, Reason: t.last}}
	case !may:
		return Decision{Kind: Refuse, Refusal: t.givenUp()}
	}
	return Decision{Kind: Look}
}

// count notes what the outcome says about the request.
func (t *Try) count(now time.Time, o Outcome) {
	if o.Seen {
		t.seen++
	}
	switch o.Ending {
	case Closed:
		t.closed++
	case Died:
		guilty, convicted := t.route.Service.suspects.died(t.keys(), t.ep, t.asks, now)
		if guilty {
			t.blamed++
		}
		t.convicted = convicted && (t.blamed > 1 || t.rank == convict)
	case Unbegun:
		return
	}
	t.begun, t.costly = true, true
}

// note remembers why an endpoint will not be asked again in this round.
func (t *Try) note(reason string) {
	t.tried = append(t.tried, t.ep)
	t.attempts++
	t.last = t.ep.Config().Worker + " " + reason + t.about()
}

// holdAnew begins the hold again: for whoever a worker has ended with, which
// RetryTimeout bounds; for whoever was turned away, once.
func (t *Try) holdAnew(now time.Time, e Ending) {
	if e == Closed || e == Died || e == Unbegun && !t.heldAnew {
		t.heldAnew = true
		t.until = later(t.until, now.Add(t.route.Hold))
	}
}

// mayRepeat says whether another attempt can do no harm: nothing happens twice that
// must not, and what ends workers ends few.
func (t *Try) mayRepeat(now time.Time, o Outcome) bool {
	late := t.route.RetryTimeout
	switch {
	case o.Lost, o.Ending > Died, late > 0 && now.Sub(t.began) > late, t.seen >= mostSeen:
		return false
	case o.Ending == Unbegun:
		return true
	case !t.Request.Idempotent:
		return false
	case o.Ending == Closed && (t.Request.Upgrade || t.rank == convict):
		return false
	case o.Ending == Closed && o.Doubt:
		return o.Reused || t.untried()
	case o.Ending == Closed:
		return t.closed+t.blamed < mostClosed
	}
	return !t.convicted
}

// untried says whether there is an endpoint that has not failed yet. A server of somebody
// else that ends a connection in place of an answer may have been killed: as with nginx,
// each is asked once, and once more where the connection was an old one.
func (t *Try) untried() bool {
	for _, ep := range t.route.Pool.Endpoints() {
		if ep != t.ep && !slices.Contains(t.tried, ep) {
			return true
		}
	}
	return false
}

// Refusal is an answer in the workers' place.
type Refusal struct {
	Status     int
	Reason     string
	RetryAfter time.Duration
}

// retryAfter is when a client may come again whose request nobody has begun.
const retryAfter = time.Second

// givenUp is for a request that is not tried any more.
func (t *Try) givenUp() Refusal {
	switch {
	case !t.begun:
		return Refusal{Status: unavailable, Reason: t.last, RetryAfter: retryAfter}
	case t.convicted && t.blamed > 1:
		return Refusal{Status: badGateway, Reason: t.last + "; it was with two workers when they ended, so no other gets it"}
	case t.convicted:
		return Refusal{Status: badGateway, Reason: t.last + "; others like it have ended with their workers, so no other gets it"}
	}
	return Refusal{Status: badGateway, Reason: t.last}
}

// unserved tells what kept the request from being given to a worker. That is 502 only
// where one may have begun it, or where that is what becomes of others like it.
func (t *Try) unserved() Refusal {
	if t.spurned || t.rank == convict {
		return Refusal{Status: badGateway, Reason: "requests like it end workers, and none can be spared for it" + t.about()}
	}
	reason, rests := "no worker is ready", false
	switch {
	case t.route.Pool.Rests() != "":
		reason, rests = t.route.Pool.Rests(), true
	case len(t.route.Pool.Endpoints()) == 0:
	case t.attempts == 0:
		reason = "all workers are busy: each has as many requests as it may"
	default:
		reason = "no worker took it"
	}
	if t.overflow {
		reason += fmt.Sprintf(", and %d wait already", t.route.Queue)
	} else if waited := t.waits(); waited > 0 && !rests {
		reason += fmt.Sprintf("; waited %v", waited)
	}
	if t.attempts == 0 {
		reason += t.about()
	} else {
		reason += "; before, " + t.last
	}
	if t.begun {
		return Refusal{Status: badGateway, Reason: reason}
	}
	return Refusal{Status: unavailable, Reason: reason, RetryAfter: retryAfter}
}

// waits is how long the request may wait.
func (t *Try) waits() time.Duration {
	if d := t.route.QueueTimeout; t.queued && d > 0 {
		return d
	}
	return t.route.Hold
}

// about is the request, for messages.
func (t *Try) about() string {
	if len(t.Request.Line) == 0 {
		return ""
	}
	return " (" + string(t.Request.Line) + ")"
}
