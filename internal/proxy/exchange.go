package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/h1"
)

// exchange is one request and its answer, over as many attempts as it takes.
type exchange struct {
	client  *client
	asker   asker
	route   *target
	req     *http.Request
	address netip.Addr // what balancing goes by
	sticky  string
	upgrade string // the protocol that the client asks for, or ""
	expects bool   // the client waits for 100 before it sends the body
	keep    bool   // the client's connection may carry another request

	whole    []byte      // the whole body, when it came with the head
	body     *body       // else, when there is one
	promised string      // names of the fields that the client wants to send after the body
	trailer  http.Header // those that came; written before body tells its end
	began    time.Time
	until    time.Time // end of the hold
	status   int       // of the answer that was begun; 0: none
	bodySent int64     // bytes of its body
	worker   string    // the last that was asked
	tries    int       // endpoints asked, one twice where a fresh connection was needed

	tried    []*balance.Endpoint
	attempts int
	lastFail string // why the last attempt failed
	pause    time.Duration

	unanswered int  // attempts that the worker may have seen
	costly     bool // another attempt may make it run twice: it needs a part of the budget
	spending   bool // it has got it
	delayed    bool // it had to wait for it
	heldAnew   bool // the hold has begun again

	place    *waiter       // in the line, while every worker is full
	turn     chan struct{} // it may be worth another look
	queued   bool          // it has been in the line
	overflow bool          // the line was full

	reader  sync.WaitGroup // the goroutine that reads the body and then watches the client
	reading bool
	start   chan struct{} // closed when the body may be read: at once, or with the 100
	started sync.Once
	gone    chan struct{} // closed when the client has left, or all is over
	left    sync.Once

	mu       sync.Mutex
	up       io.Closer // the attempt that the client's leaving cuts off
	deserted bool      // the client has left
	over     bool      // the reader is being stopped
}

// maxUnanswered bounds how many workers one request can take down that is itself
// what kills them.
const maxUnanswered = 10

// hungAfter is how long an event loop stands still that something has hung: on a
// busy machine any may be silent for a moment.
const hungAfter = time.Second

// doubt is how much a try counts of which the worker may have seen something. One
// whose event loop was hung when it ended may have been hung by this request, which
// then gets one more worker and not ten.
func doubt(ep *balance.Endpoint) int {
	if ep.Silent() && ep.Blocked(time.Now()) >= hungAfter {
		return maxUnanswered/2 + 1
	}
	return 1
}

// behindHead is how long a short body may lag behind its head and still be sent
// with it: most clients write the two one right after the other.
const behindHead = 20 * time.Millisecond

// result is how an attempt ended.
type result int

const (
	finished   result = iota // answered, whole or not, or the client has left
	unsent                   // the worker has seen nothing of the request
	unanswered               // it may have seen some or all of it
	tooLate                  // the answer timeout passed
	malformed                // the answer was no answer
	refused                  // the client's body is at fault
)

func newExchange(c *client, from asker, route *target, req *http.Request) *exchange {
	x := &exchange{
		client: c, asker: from, route: route, req: req, began: time.Now(),
		keep:  !req.Close && !c.last(),
		start: make(chan struct{}),
		gone:  make(chan struct{}),
	}
	x.until = x.began.Add(route.Settings.Hold)
	if c.held || c.leaving {
		x.until, c.held = x.began, false
	}
	x.address = x.clientAddr()
	if name := route.Settings.Sticky; name != "" {
		if cookie, err := req.Cookie(name); err == nil {
			x.sticky = cookie.Value
		}
	}
	if hasToken(req.Header["Connection"], "upgrade") && req.ProtoMajor == 1 && req.ProtoMinor == 1 {
		if p := req.Header.Get("Upgrade"); !strings.EqualFold(p, "h2c") {
			x.upgrade = p
		}
	}
	return x
}

// run answers the request; true when the client's connection may carry another.
func (x *exchange) run() bool {
	x.route.began()
	defer x.route.ended()
	bad := x.takeBody()
	if bad == nil {
		bad = x.forward()
	}
	if bad != nil {
		x.refuse(bad)
	}
	x.stopReader()
	if x.status == http.StatusSwitchingProtocols { // counted at its head
		x.route.logged(x.account())
	} else {
		x.route.answered(x.account())
	}
	return x.keep
}

// account is the request in figures, once it is over.
func (x *exchange) account() *account {
	a := &account{
		client: x.address, status: x.status, sent: x.bodySent,
		began: x.began, took: time.Since(x.began), worker: x.worker, attempts: x.tries,
	}
	a.describe(x.req)
	return a
}

// takeBody looks at what the request carries. A body that has come with the head
// needs no goroutine and can be sent again.
func (x *exchange) takeBody() *refusal {
	req, limit := x.req, x.route.Settings.MaxBody
	if expect := req.Header.Get("Expect"); expect != "" && req.ProtoAtLeast(1, 1) {
		if !strings.EqualFold(expect, "100-continue") {
			x.keep = x.keep && req.ContentLength == 0
			return &refusal{status: http.StatusExpectationFailed, reason: "an unknown expectation"}
		}
		x.expects = req.ContentLength != 0
	}
	switch {
	case limit > 0 && req.ContentLength > limit:
		x.keep = false
		return x.bodyRefusal(errBodyTooLarge)
	case req.ContentLength == 0:
		return nil
	}
	if x.whole = x.asker.shortBody(req, x.expects); x.whole != nil {
		x.expects = false // it did not wait
		return nil
	}
	x.body, x.promised = newBody(), trailerNames(req.Trailer)
	if !x.expects {
		x.startBody()
	}
	x.startReader()
	return nil
}

func (x *exchange) chunked() bool { return x.req.ContentLength < 0 }

// startBody lets the client's body be read.
func (x *exchange) startBody() { x.started.Do(func() { close(x.start) }) }

// startReader starts the one goroutine that reads from the client while the
// request is on its way: its body, then the end of the stream.
func (x *exchange) startReader() {
	if x.reading || x.req == nil || !x.asker.hears() && x.body == nil {
		return
	}
	x.reading = true
	x.reader.Go(func() {
		if x.body != nil && !x.readBody() || !x.asker.hears() {
			return
		}
		if x.armRead(time.Time{}) && x.asker.awaitEnd(x.gone) {
			x.clientLeft()
		}
	})
}

// readBody is false when there is nothing to watch any more.
func (x *exchange) readBody() bool {
	select {
	case <-x.start:
	case <-x.gone:
		return false
	}
	set := &x.route.Settings
	patience, rate := set.IdleTimeout, set.MinRate
	if set.H2C && x.chunked() { // gRPC: a stream of messages, which may be silent for long
		patience, rate = 0, 0
	}
	if rate > 0 && (patience <= 0 || patience > paceWindow) {
		patience = paceWindow
	}
	src := &paced{Reader: x.asker.bodyOf(x.req, &x.trailer), rate: rate}
	err := x.body.fill(src, set.MaxBody, func() { x.armRead(deadline(patience)) })
	if err != nil && x.asker.leftBy(err) {
		x.clientLeft()
	}
	return err == nil
}

// armRead sets the client's read deadline unless stopReader was called.
func (x *exchange) armRead(until time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.asker.setReadDeadline(until)
	return true
}

// stopReader takes the client's connection back for the next request.
func (x *exchange) stopReader() {
	if !x.reading {
		return
	}
	x.reading = false
	if x.body != nil {
		if done, err := x.body.state(); !done || err != nil {
			x.keep = false
		}
		x.body.close()
	}
	x.mu.Lock()
	x.over = true
	x.asker.setReadDeadline(past())
	x.mu.Unlock()
	x.left.Do(func() { close(x.gone) })
	x.reader.Wait()
	x.asker.setReadDeadline(time.Time{})
}

// clientLeft cuts off the attempt at hand: nobody waits for its answer.
func (x *exchange) clientLeft() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	x.deserted = true
	x.left.Do(func() { close(x.gone) })
	if x.up != nil {
		_ = x.up.Close()
	}
}

func (x *exchange) isDeserted() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.deserted
}

// use makes up what the client's leaving closes; nil: nothing.
func (x *exchange) use(up io.Closer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.up = up
	if up != nil && x.deserted {
		_ = up.Close()
	}
}

// forward tries endpoints until one has answered; else it says why none has.
func (x *exchange) forward() *refusal {
	for {
		ep := x.pick()
		if x.isDeserted() {
			if ep != nil {
				x.refund()
				x.route.release(ep, true, 0)
			}
			x.desert()
			return nil
		}
		if ep == nil {
			return x.why()
		}
		if x.attempts > 0 {
			x.route.counters.retries.Add(1)
		}
		x.worker = ep.Config().Worker
		r := x.attempt(ep)
		x.settle(r)
		switch {
		case r == finished:
			return nil
		case r == refused:
			_, err := x.body.state()
			return x.bodyRefusal(err)
		case r == tooLate:
			return &refusal{status: http.StatusGatewayTimeout, reason: x.lastFail}
		case !x.mayRepeat(r):
			return &refusal{status: http.StatusBadGateway, reason: x.lastFail}
		}
	}
}

// desert ends an exchange whose client has left before the answer.
func (x *exchange) desert() {
	x.keep = false
	if x.status == 0 {
		x.status = statusClientGone
	}
}

// mayRepeat says whether another attempt cannot make anything happen twice, and
// rewinds the body for it.
func (x *exchange) mayRepeat(r result) bool {
	late := x.route.Settings.RetryTimeout
	switch {
	case r == malformed, x.unanswered > maxUnanswered, r == unanswered && !idempotent(x.req.Method), late > 0 && time.Since(x.began) > late:
		return false
	}
	return x.body == nil || x.body.rewind()
}

// idempotent is RFC 9110, section 9.2.2.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// settle gives back what an attempt took of the budget. From the first that a
// worker may have seen, further ones cost. Whoever a worker has died with is held
// anew, which RetryTimeout bounds; whoever was turned away, once.
func (x *exchange) settle(r result) {
	x.refund()
	x.costly = x.costly || r == unanswered
	if r == unanswered || r == unsent && !x.heldAnew {
		x.heldAnew = true
		x.until = later(x.until, time.Now().Add(x.route.Settings.Hold))
	}
}

func (x *exchange) refund() {
	if x.spending {
		x.spending = false
		x.route.counters.budget.give()
	}
}

// afford takes a part of the budget where one is needed.
func (x *exchange) afford() bool {
	if !x.costly || x.spending {
		return true
	}
	counters := x.route.counters
	x.spending = counters.budget.take(counters.inFlight.Load())
	if !x.spending && !x.delayed {
		x.delayed = true
		counters.delayed.Add(1)
	}
	return x.spending
}

// pick acquires an endpoint; nil when the hold has ended or the client has left.
// When each has failed once it waits for news or a moment, and begins again. While
// all are full it stands in line.
func (x *exchange) pick() *balance.Endpoint {
	const shortest, longest = 5 * time.Millisecond, 100 * time.Millisecond
	defer x.leaveLine()
	pool := x.route.Pool
	for {
		changed := pool.Changed()
		now := time.Now()
		ep, asked := x.choose(now)
		switch {
		case ep != nil:
			return ep
		case x.mustQueue():
			if x.overflow = !x.joinLine(now); x.overflow {
				return nil
			}
			continue
		case !now.Before(x.until):
			return nil
		}
		x.startReader()
		pause := x.until.Sub(now)
		if len(pool.Endpoints()) > 0 && (x.place == nil || x.route.queue.first(x.place)) {
			x.pause = min(max(2*x.pause, shortest), longest)
			pause = min(pause, x.pause)
		}
		if !x.rest(changed, pause) {
			return nil
		}
		if asked {
			x.tried = x.tried[:0]
		}
	}
}

// choose acquires an endpoint if one is free, and it is this request's turn to
// ask and within the budget.
func (x *exchange) choose(now time.Time) (ep *balance.Endpoint, asked bool) {
	line := x.route.queue
	switch {
	case x.place != nil && !line.first(x.place):
		return nil, false
	case x.place == nil && x.attempts == 0 && line.length.Load() > 0: // nobody overtakes
		return nil, false
	case !x.afford():
		return nil, false
	}
	ep = x.route.Pool.Pick(balance.Request{Now: now, Client: x.address, Sticky: x.sticky, Tried: x.tried})
	if ep == nil {
		x.refund()
	}
	return ep, true
}

// mustQueue says whether the request has to stand in line and does not yet.
func (x *exchange) mustQueue() bool {
	if x.place != nil || x.attempts > 0 {
		return false
	}
	return x.route.queue.length.Load() > 0 || anyFull(x.route.Pool)
}

// anyFull says whether an endpoint has as many requests as it may.
func anyFull(p *balance.Pool) bool {
	for _, ep := range p.Endpoints() {
		if most := ep.Config().MaxConns; most > 0 && ep.InFlight() >= most {
			return true
		}
	}
	return false
}

func (x *exchange) joinLine(now time.Time) bool {
	turn := make(chan struct{}, 1)
	w := &waiter{wake: func() {
		select {
		case turn <- struct{}{}:
		default:
		}
	}}
	if !x.route.queue.join(w, x.route.Settings.Queue) {
		x.route.counters.queueFull.Add(1)
		return false
	}
	x.place, x.turn = w, turn
	x.route.counters.queued.Add(1)
	if d := x.route.Settings.QueueTimeout; d > 0 {
		x.until = now.Add(d)
	}
	x.queued = true
	return true
}

// waits is how long the request may wait.
func (x *exchange) waits() time.Duration {
	if d := x.route.Settings.QueueTimeout; x.queued && d > 0 {
		return d
	}
	return x.route.Settings.Hold
}

func (x *exchange) leaveLine() {
	if x.place == nil {
		return
	}
	x.route.queue.leave(x.place)
	x.place, x.turn = nil, nil
	x.route.counters.queued.Add(-1)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// rest is false when the client has left meanwhile, or was cut off.
func (x *exchange) rest(changed <-chan struct{}, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-changed:
	case <-x.turn:
	case <-t.C:
	case <-x.gone:
		return false
	case <-x.client.server.cutOff:
		return false
	}
	return true
}

// failed notes why an endpoint will not be asked again in this round.
func (x *exchange) failed(ep *balance.Endpoint, reason string) {
	x.tried = append(x.tried, ep)
	x.attempts++
	x.lastFail = ep.Config().Worker + " " + reason + x.about()
}

// what is the request, for messages; "" for a connection that is passed on.
func (x *exchange) what() string {
	if x.req == nil {
		return ""
	}
	return fmt.Sprintf("%s %.200s", x.req.Method, requestTarget(x.req))
}

func (x *exchange) about() string {
	if what := x.what(); what != "" {
		return " (" + what + ")"
	}
	return ""
}

// why tells what kept the request from being answered.
func (x *exchange) why() *refusal {
	if x.attempts > 0 {
		return &refusal{status: http.StatusBadGateway, reason: x.lastFail}
	}
	reason := "no worker is ready"
	if len(x.route.Pool.Endpoints()) > 0 {
		reason = "all workers are busy: each has as many requests as it may"
	}
	if x.overflow {
		reason += fmt.Sprintf(", and %d wait already", x.route.Settings.Queue)
	} else if waited := x.waits(); waited > 0 {
		reason += fmt.Sprintf("; waited %v", waited)
	}
	return &refusal{status: http.StatusServiceUnavailable, reason: reason + x.about(), retryAfter: time.Second}
}

func (x *exchange) bodyRefusal(err error) *refusal {
	switch {
	case errors.Is(err, errBodyTooLarge):
		return &refusal{status: http.StatusRequestEntityTooLarge, reason: fmt.Sprintf("the body is larger than %d bytes", x.route.Settings.MaxBody)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{status: http.StatusRequestTimeout, reason: "the body of the request stopped arriving"}
	case errors.Is(err, errTooSlow):
		return &refusal{status: http.StatusRequestTimeout, reason: fmt.Sprintf("the body arrives more slowly than %d bytes per second", x.route.Settings.MinRate)}
	}
	var fault h1.Fault
	if errors.As(err, &fault) {
		return faulty(fault, 0)
	}
	return badRequest("a malformed body")
}

// refuse answers in the worker's place.
func (x *exchange) refuse(r *refusal) {
	x.status = r.status
	x.stopReader()
	if r.status >= http.StatusInternalServerError {
		x.client.server.log.warn("request not answered", "service", x.route.Service, "status", r.status, "error", r.reason)
	}
	x.asker.decline(x, r)
}
