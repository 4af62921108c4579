package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/h1"
)

// transaction is one request of a downstream and its answer, over as many attempts as it
// takes: what exchange and attempt are to a client on goroutines. The rules of
// retrying are the same.
type transaction struct {
	downstream *downstream
	route      *target
	state      transactionState
	number     uint64 // tells a post that is about an earlier use of this transaction

	line       []byte // the beginning of the request line, for messages
	head       bool   // HEAD: the answer has no body
	http10     bool
	idempotent bool
	wordDue    bool // a worker that tells what it begins tells of it
	keep       bool // the client's connection may carry another request
	address    netip.Addr
	sticky     string

	request   []byte // for the worker: head and body from the first byte on, unless forgotten
	sent      int    // of request, over the upstream at hand
	forgotten bool   // request's beginning is gone, so it cannot be sent again
	complete  bool   // all of the request has come
	body      h1.Body
	left      int64 // of a body by length, what has not come
	size      int64 // of a chunked body, what has come
	pipe      *pipe // of a long body
	wantedAt  int64 // since when more of the body is awaited
	pace      pace
	chunks    h1.Chunks

	clock      int64 // of its beginning
	until      int64 // end of the hold
	tried      []*balance.Endpoint
	attempts   int
	unanswered int // attempts that the worker may have seen
	lastFail   string
	pause      time.Duration
	asked      bool // the last look for an endpoint was one
	costly     bool // another attempt may make it run twice: it needs a part of the budget
	spending   bool // it has got it
	delayed    bool // it had to wait for it
	heldAnew   bool // the hold has begun again

	place    *waiter // in the line, while every worker is full
	queued   bool    // it has been in the line
	overflow bool    // the line was full

	ep       *balance.Endpoint // of the attempt at hand
	idlePool *idlePool
	upstream *upstream
	tryClock int64
	took     time.Duration // to the head of the answer
	wrote    bool          // the worker may have seen something
	onePiece bool          // the whole request was one write
	mute     bool          // the upstream takes nothing any more
	begun    bool          // the worker gave an interim answer, be it balance.Begun
	interims int

	noted      noted  // for the access log
	tries      int    // endpoints asked, one twice where a fresh connection was needed
	lastWorker string // the last that was asked
	given      int64  // bytes of the answer's body

	status  int     // of the answer that was begun; 0: none
	from    h1.Body // how the worker's body ends
	to      h1.Body // how the client's does
	owed    int64   // of an answer by length, what has not come
	pieces  h1.Chunks
	recycle bool // the upstream may be used again

	answerBy int64 // when the worker must have begun its answer
	wakeBy   int64 // when another endpoint is looked for
	leaveBy  int64 // when a client that has ended its direction is gone
	recallBy int64 // when it may be taken back
	recalls  int   // looks at whether it can be
}

type transactionState uint8

const (
	transactionWaiting   transactionState = iota // for an endpoint
	transactionDialing                           // for a connection to it
	transactionAsking                            // the request is on its way, or the answer is awaited
	transactionAnswering                         // the answer's body is on its way
)

const longestLine = 200

// newTransaction takes over the request that has been parsed.
func (l *loop) newTransaction(g *downstream, route *target) *transaction {
	var t *transaction
	if n := len(l.spare); n > 0 {
		t, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		t = new(transaction)
	}
	r := &l.request
	l.lastTransaction++
	t.downstream, t.route, t.number = g, route, l.lastTransaction
	t.state = transactionWaiting
	t.line = append(append(append(t.line[:0], r.Method...), ' '), r.Target[:min(len(r.Target), longestLine)]...)
	t.head, t.http10, t.idempotent = r.IsHead(), r.HTTP10, r.Idempotent()
	t.keep = r.KeepAlive && !g.leaving && !l.server.closing.Load()
	t.body, t.left, t.complete = r.Body, r.Length, r.Body == h1.NoBody
	t.wordDue = !t.idempotent || t.body == h1.ByChunks || t.left > untold
	if t.body == h1.ByChunks {
		t.chunks.Reset()
	}
	t.clock = l.clock
	t.until = l.in(route.Settings.Hold)
	if g.held || g.leaving {
		t.until, g.held = l.clock, false
	}
	trusted := g.peer.IsValid() && trusts(route.Settings.Trusted, g.peer.Addr())
	t.address = g.peer.Addr()
	if trusted {
		t.address = addressBehind(t.address, forwardedFor(r), route.Settings.Trusted)
	}
	if name := route.Settings.Sticky; name != "" {
		t.sticky = string(r.Cookie(name))
	}
	l.origin = h1.Origin{Trusted: trusted, Addr: bareAddress(g.label), Node: g.label, Proto: "http", Port: g.acceptor.port}
	l.forward = h1.Forward{Origin: &l.origin}
	if n := prefixLength(route.Path, r.Path()); route.Strip && n > 0 {
		l.forward.Target, l.forward.Prefix = withoutPrefix(nil, string(r.Target), n), route.Path
	}
	t.request = r.AppendTo(t.request[:0], &l.forward)
	if route.Settings.AccessLog != nil {
		t.noted.keep(r)
	}
	g.transaction = t
	route.began()
	return t
}

// bareAddress is the address in "1.2.3.4:5" or "[::1]:5".
func bareAddress(label []byte) []byte {
	if len(label) == 0 {
		return nil
	}
	if label[0] == '[' {
		return label[1:lastIndex(label, ']')]
	}
	return label[:lastIndex(label, ':')]
}

func lastIndex(b []byte, c byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == c {
			return i
		}
	}
	return 0
}

// free ends a transaction that has no endpoint any more, and counts it.
func (l *loop) free(t *transaction) {
	g := t.downstream
	if l.loose.transaction == t {
		l.loose = loose{}
	}
	l.answered(t)
	t.route.ended()
	l.standUp(g)
	g.transaction, g.readBy = nil, 0
	l.leaveLine(t)
	t.refund()
	l.givePipe(t.pipe)
	if g.pipe.empty() {
		l.givePipe(g.pipe)
		g.pipe = nil
	}
	l.recycle(t)
}

// recycle keeps a transaction and its buffers for later: those of long bodies only in the
// first few, which a busy loop uses over and over.
func (l *loop) recycle(t *transaction) {
	const most, largest = 256, 16 << 10
	const fewest, largestOfThose = 16, 2 * readAtOnce
	if len(l.spare) >= most {
		return
	}
	clear(t.tried)
	line, tried, request, noted := t.line, t.tried[:0], t.request, t.noted.bytes[:0]
	chunks, pieces := t.chunks.Trailer, t.pieces.Trailer
	*t = transaction{}
	t.line, t.tried, t.noted.bytes, t.chunks.Trailer, t.pieces.Trailer = line, tried, noted, chunks, pieces
	if cap(request) <= largest || len(l.spare) < fewest && cap(request) <= largestOfThose {
		t.request = request
	}
	l.spare = append(l.spare, t)
}

// pick sends the request to an endpoint. Where none is free it waits for news, or
// in line while all are full, or for a moment when each has failed once.
func (l *loop) pick(t *transaction) {
	ep := l.choose(t)
	if ep == nil && t.mustQueue() {
		if t.overflow = !l.joinLine(t); t.overflow {
			l.refuse(t, t.why())
			return
		}
		ep = l.choose(t)
	}
	var changed <-chan struct{}
	if ep == nil {
		changed = t.route.Pool.Changed()
		ep = l.choose(t) // it may have come just now
	}
	switch {
	case ep != nil:
		l.leaveLine(t)
		l.attempt(t, ep)
	case l.clock >= t.until:
		l.refuse(t, t.why())
	default:
		l.hold(t, changed)
	}
}

// choose acquires an endpoint if one is free, and it is this request's turn to ask
// and within the budget.
func (l *loop) choose(t *transaction) *balance.Endpoint {
	line := t.route.queue
	t.asked = false
	switch {
	case t.place != nil && !line.first(t.place):
		return nil
	case t.place == nil && t.attempts == 0 && line.length.Load() > 0: // nobody overtakes
		return nil
	case !t.afford():
		return nil
	}
	t.asked = true
	ep := t.route.Pool.Pick(balance.Request{Now: l.now, Client: t.address, Sticky: t.sticky, Tried: t.tried})
	if ep == nil {
		t.refund()
	}
	return ep
}

// afford takes a part of the budget where one is needed.
func (t *transaction) afford() bool {
	if !t.costly || t.spending {
		return true
	}
	counters := t.route.counters
	t.spending = counters.budget.take(counters.inFlight.Load())
	if !t.spending && !t.delayed {
		t.delayed = true
		counters.delayed.Add(1)
	}
	return t.spending
}

func (t *transaction) refund() {
	if t.spending {
		t.spending = false
		t.route.counters.budget.give()
	}
}

// mustQueue says whether the request has to stand in line and does not yet.
func (t *transaction) mustQueue() bool {
	return t.place == nil && t.attempts == 0 && (t.route.queue.length.Load() > 0 || anyFull(t.route.Pool))
}

func (l *loop) joinLine(t *transaction) bool {
	number := t.number
	w := &waiter{wake: func() {
		l.post(func() {
			if t.number == number && t.state == transactionWaiting && t.downstream.seat >= 0 {
				l.pickAgain(t)
			}
		})
	}}
	counters := t.route.counters
	if !t.route.queue.join(w, t.route.Settings.Queue) {
		counters.queueFull.Add(1)
		return false
	}
	t.place, t.queued = w, true
	counters.queued.Add(1)
	if d := t.route.Settings.QueueTimeout; d > 0 {
		t.until = l.in(d)
	}
	return true
}

func (l *loop) leaveLine(t *transaction) {
	if t.place == nil {
		return
	}
	t.route.queue.leave(t.place)
	t.place = nil
	t.route.counters.queued.Add(-1)
}

// hold waits for news of the pool or, when each endpoint has failed once, a moment.
func (l *loop) hold(t *transaction, changed <-chan struct{}) {
	const shortest, longest = 5 * time.Millisecond, 100 * time.Millisecond
	t.state, t.wakeBy = transactionWaiting, t.until
	if len(t.route.Pool.Endpoints()) > 0 && (t.place == nil || t.route.queue.first(t.place)) {
		t.pause = min(max(2*t.pause, shortest), longest)
		t.wakeBy = min(t.until, l.in(t.pause))
	}
	t.downstream.remind(l)
	l.sitDown(t.downstream, t.route.Pool, changed)
	l.watch(t.downstream)
}

// watchPool has poolChanged called once.
func (l *loop) watchPool(pool *balance.Pool, changed <-chan struct{}) {
	if l.watching[pool] {
		return
	}
	l.watching[pool] = true
	l.work(func() {
		select {
		case <-changed:
		case <-l.ctx.Done():
		}
		l.post(func() {
			delete(l.watching, pool)
			l.poolChanged(pool)
		})
	})
}

func (l *loop) poolChanged(pool *balance.Pool) {
	for _, g := range append([]*downstream(nil), l.waiting...) {
		switch {
		case g.seat < 0:
		case g.transaction == nil:
			l.queue(&g.sock)
		case g.transaction.route.Pool == pool:
			l.pickAgain(g.transaction)
		}
	}
}

// pickAgain begins another round, in which those that failed may be asked again.
func (l *loop) pickAgain(t *transaction) {
	t.wakeBy = 0
	if t.asked {
		t.tried = t.tried[:0]
	}
	l.standUp(t.downstream)
	l.pick(t)
}

// attempt tries one endpoint that was picked. A connection that was idle may be
// closed by the worker at the same moment: that says nothing about the worker,
// who is asked again over a new one.
func (l *loop) attempt(t *transaction, ep *balance.Endpoint) {
	if t.attempts > 0 {
		t.route.counters.retries.Add(1)
	}
	l.standUp(t.downstream)
	t.wakeBy = 0
	t.tries, t.lastWorker = t.tries+1, ep.Config().Worker
	t.ep, t.tryClock, t.took = ep, l.clock, 0
	t.idlePool = l.idlePool(ep, t.route.counters)
	if k := t.idlePool.take(l, t.wordDue); k != nil {
		l.ask(t, k, true)
		return
	}
	l.dial(t)
}

// fail ends a try without an answer and goes on with another, if that cannot make
// anything happen twice.
func (l *loop) fail(t *transaction, r result, reason string) {
	k := t.upstream
	reused := k != nil && k.reused
	l.dropUpstream(t)
	if reused && (r == unanswered || r == unsent) && !k.knows() {
		t.idlePool.worker.reuse.spoil(l.now)
	}
	if reused && (r == unsent && !t.forgotten || r == unanswered && l.mayRepeatAtOnce(t)) {
		if r == unanswered {
			t.failed(died(t.begun))
		}
		t.route.counters.retries.Add(1)
		t.tries++
		l.dial(t)
		return
	}
	t.failed(reason)
	l.release(t, false)
	t.idlePool.worker.errors.Add(1)
	t.ep = nil
	t.costly = t.costly || r == unanswered
	if r == unanswered || r == unsent && !t.heldAnew {
		t.heldAnew = true
		t.until = max(t.until, l.in(t.route.Settings.Hold))
	}
	switch {
	case r == tooLate:
		l.refuse(t, &refusal{status: http.StatusGatewayTimeout, reason: t.lastFail})
	case !t.mayRepeat(r, l.clock):
		l.refuse(t, &refusal{status: http.StatusBadGateway, reason: t.lastFail})
	default:
		l.pick(t)
	}
}

// failed notes why the endpoint will not be asked again in this round.
func (t *transaction) failed(reason string) {
	t.tried = append(t.tried, t.ep)
	t.attempts++
	t.lastFail = t.worker() + " " + reason + t.about()
}

// mayRepeatAtOnce: the budget allows another try after one that the worker may
// have seen.
func (l *loop) mayRepeatAtOnce(t *transaction) bool {
	t.costly = true
	return t.mayRepeat(unanswered, l.clock) && t.afford()
}

// release gives the endpoint back, for the next in line; ok says whether the
// worker is without blame.
func (l *loop) release(t *transaction, ok bool) {
	t.refund()
	t.ep.Release(l.now, ok, t.took)
	t.route.queue.room()
	if t.idlePool.ended && t.ep.InFlight() == 0 {
		delete(l.idlePools, t.ep)
	}
}

// dropUpstream ends the connection of the attempt at hand.
func (l *loop) dropUpstream(t *transaction) {
	if k := t.upstream; k != nil {
		l.takeBack(&k.sock)
		k.transaction, t.upstream = nil, nil
		l.close(&k.sock)
	}
}

// mayRepeat says whether another try cannot make anything happen twice.
func (t *transaction) mayRepeat(r result, now int64) bool {
	late := int64(t.route.Settings.RetryTimeout)
	switch {
	case late > 0 && now-t.clock > late, r == malformed, r == tooLate, t.unanswered > maxUnanswered, r == unanswered && !t.idempotent:
		return false
	}
	return !t.forgotten
}

// judge says what the end of an upstream means that has given no answer.
func (t *transaction) judge(end error) result {
	k := t.upstream
	if !t.wrote || t.onePiece && k.leftUnread(end) {
		return unsent
	}
	t.unanswered += doubt(t.ep)
	told := k.tells || k.willTell() && k.leftUnread(end) // it died before it could greet
	if told && !t.begun && t.wordDue {
		return unsent
	}
	return unanswered
}

func (t *transaction) worker() string { return t.ep.Config().Worker }

func (t *transaction) about() string { return fmt.Sprintf(" (%s)", t.line) }

// why tells what kept the request from being answered.
func (t *transaction) why() *refusal {
	x := exchange{route: t.route, attempts: t.attempts, lastFail: t.lastFail, queued: t.queued, overflow: t.overflow}
	r := x.why()
	if t.attempts == 0 {
		r.reason += t.about()
	}
	return r
}

// late looks at the deadlines of a request under way.
func (t *transaction) late(l *loop) {
	g := t.downstream
	switch now := l.clock; {
	case t.leaveBy > 0 && now >= t.leaveBy:
		l.desert(t)
	case t.wakeBy > 0 && now >= t.wakeBy:
		l.pickAgain(t)
	case t.recallBy > 0 && now >= t.recallBy && t.state == transactionAsking:
		l.recall(t)
	case t.answerBy > 0 && now >= t.answerBy:
		if t.route.mayTakeLonger(t.ep) {
			t.answerBy = l.in(lookAgain)
			break
		}
		t.answerBy = 0
		l.fail(t, tooLate, "did not answer within "+t.route.Settings.AnswerTimeout.String())
	case g.readBy > 0 && now >= g.readBy && !t.wantsBody():
		g.readBy = l.after(t.route.Settings.IdleTimeout)
	case g.readBy > 0 && now >= g.readBy:
		l.spoil(t, &refusal{status: http.StatusRequestTimeout, reason: "the body of the request stopped arriving"})
	}
}

// spoil ends a transaction whose client is at fault.
func (l *loop) spoil(t *transaction, r *refusal) {
	l.leaveWorker(t)
	if t.status == 0 {
		l.refuse(t, r)
		return
	}
	g := t.downstream
	l.free(t)
	l.end(g, true)
}

// leaveWorker ends the attempt at hand without blame for the worker.
func (l *loop) leaveWorker(t *transaction) {
	l.dropUpstream(t)
	if t.ep != nil {
		l.release(t, true)
		t.ep = nil
	}
}

// refuse answers in the worker's place.
func (l *loop) refuse(t *transaction, r *refusal) {
	g := t.downstream
	t.status = r.status
	keep := t.keep && t.complete && r.status != http.StatusBadRequest && !l.server.closing.Load()
	if r.status >= http.StatusInternalServerError {
		l.server.log.warn("request not answered", "service", t.route.Service, "status", r.status, "error", r.reason)
	}
	answer := r.append(nil, t.route.Service, l.server.version, !keep, t.head)
	l.free(t)
	switch {
	case !l.tell(g, answer):
		l.lose(g)
	case keep:
		l.next(g)
	default:
		l.end(g, true)
	}
}

// desert ends a transaction whose client has left.
func (l *loop) desert(t *transaction) {
	g := t.downstream
	l.leaveWorker(t)
	if t.status == 0 {
		t.status = statusClientGone
	}
	l.free(t)
	l.lose(g)
}

func tooLarge(limit int64) *refusal {
	return &refusal{status: http.StatusRequestEntityTooLarge, reason: fmt.Sprintf("the body is larger than %d bytes", limit)}
}

// forwardedFor joins what X-Forwarded-For says.
func forwardedFor(r *h1.Request) string {
	var all string
	for name, value := range r.Fields {
		if http.CanonicalHeaderKey(string(name)) == "X-Forwarded-For" {
			all = join(all, string(value))
		}
	}
	return all
}
