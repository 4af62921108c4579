package proxy

import (
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/reply"
	"bulsa/internal/proxy/retry"
	contract "bulsa/internal/upstream"
)

// transaction is one request of a downstream and its answer, over as many attempts as it
// takes: what exchange and attempt are to a client on goroutines.
type transaction struct {
	downstream *downstream
	route      *target
	state      transactionState
	number     uint64 // tells a post that is about an earlier use of this transaction

	line    []byte // the beginning of the request line, for messages
	head    bool   // HEAD: the answer has no body
	http10  bool
	wordDue bool // a worker that tells what it begins tells of it
	keep    bool // the client's connection may carry another request

	request   []byte // for the worker: head and body from the first byte on, unless forgotten
	headSize  int    // of request, bytes of the head
	sent      int    // of request, over the upstream at hand
	forgotten bool   // request's beginning is gone, so it cannot be sent again
	complete  bool   // all of the request has come
	body      h1.Body
	left      int64 // of a body by length, what has not come
	size      int64 // of a chunked body, what has come
	pipe      *pipe // of a long body
	wantedAt  int64 // since when more of the body is awaited
	pace      limit.Meter
	chunks    h1.Chunks

	clock    int64 // of its beginning
	try      retry.Try
	idlePool *idlePool // of the attempt at hand
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

	session  session
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
	transactionUnclear                           // for what the kernel knows of the connection's end
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
	t.head, t.http10 = r.IsHead(), r.HTTP10
	t.keep = r.KeepAlive && !g.leaving && !l.server.closing.Load()
	t.body, t.left, t.complete = r.Body, r.Length, r.Body == h1.NoBody
	length := t.left
	if t.body == h1.ByChunks {
		t.chunks.Reset()
		length = -1
	}
	t.clock = l.clock
	trusted := g.peer.IsValid() && trusts(route.Settings.Trusted, g.peer.Addr())
	asks := retry.Request{Line: t.line, Client: g.peer.Addr(), Idempotent: r.Idempotent(), Hasty: g.held || g.leaving}
	if asks.Hasty {
		g.held = false
	}
	if trusted {
		asks.Client = addressBehind(asks.Client, forwardedFor(r), route.Settings.Trusted)
	}
	if name := route.Settings.Sticky; name != "" {
		asks.Sticky = string(r.Cookie(name))
	}
	var worker string
	if t.session, worker = route.sessionOf(r.Target, l.now); worker != "" {
		asks.Sticky = worker
	}
	t.wordDue = retry.WordDue(asks.Idempotent, length)
	t.try.Begin(l.now, route.tries, asks)
	l.origin = h1.Origin{Trusted: trusted, Addr: bareAddress(g.label), Node: g.label, Proto: "http", Port: g.acceptor.port}
	l.forward = h1.Forward{Origin: &l.origin}
	if n := prefixLength(route.Path, r.Path()); route.Strip && n > 0 {
		l.forward.Target, l.forward.Prefix = withoutPrefix(nil, string(r.Target), n), route.Path
	}
	t.request = r.AppendTo(t.request[:0], &l.forward)
	t.headSize = len(t.request)
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
	t.try.End()
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
	line, try, request, noted := t.line, t.try, t.request, t.noted.bytes[:0]
	chunks, pieces := t.chunks.Trailer, t.pieces.Trailer
	*t = transaction{}
	t.line, t.try, t.noted.bytes, t.chunks.Trailer, t.pieces.Trailer = line, try, noted, chunks, pieces
	if cap(request) <= largest || len(l.spare) < fewest && cap(request) <= largestOfThose {
		t.request = request
	}
	l.spare = append(l.spare, t)
}

// pick sends the request to an endpoint, or waits for one.
func (l *loop) pick(t *transaction) {
	d := t.try.Next(l.now)
	if d.Kind == retry.StandIn {
		t.try.Join(l.now, l.turn(t))
		d = t.try.Next(l.now)
	}
	l.follow(t, d)
}

// follow does what was decided.
func (l *loop) follow(t *transaction, d retry.Decision) {
	switch d.Kind {
	case retry.Ask:
		l.attempt(t, d.Endpoint)
	case retry.AskAgain:
		t.tries++
		l.dial(t)
	case retry.Look:
		l.pick(t)
	case retry.Refuse:
		l.refuse(t, refusalOf(d.Refusal))
	default:
		l.hold(t, d)
	}
}

// turn is for a transaction in line: it looks again when it is called.
func (l *loop) turn(t *transaction) func() {
	number := t.number
	return func() {
		l.post(func() {
			if t.number == number && t.state == transactionWaiting && t.downstream.seat >= 0 {
				l.pickAgain(t)
			}
		})
	}
}

// hold waits for news of the pool, or until it is time to look again.
func (l *loop) hold(t *transaction, d retry.Decision) {
	t.state, t.wakeBy = transactionWaiting, l.in(d.Until.Sub(l.now))
	t.downstream.remind(l)
	l.sitDown(t.downstream, t.route.Pool, d.Changed)
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

// pickAgain ends a wait.
func (l *loop) pickAgain(t *transaction) {
	t.wakeBy = 0
	l.standUp(t.downstream)
	l.pick(t)
}

// attempt tries one endpoint that was picked.
func (l *loop) attempt(t *transaction, ep *balance.Endpoint) {
	l.standUp(t.downstream)
	t.wakeBy = 0
	t.tries, t.lastWorker = t.tries+1, ep.Config().Worker
	t.tryClock, t.took = l.clock, 0
	t.idlePool = l.idlePool(ep, t.route.counters)
	if k := t.idlePool.take(l, t.wordDue); k != nil {
		l.ask(t, k, true)
		return
	}
	l.dial(t)
}

// fail ends a try without an answer and goes on as is decided.
func (l *loop) fail(t *transaction, o retry.Outcome) {
	o.Lost = t.forgotten
	if k := t.upstream; k != nil && k.reused {
		o.Reused = true
		if !k.knows() {
			o.Reuse = &t.idlePool.worker.reuse
		}
	}
	l.dropUpstream(t)
	l.failed(t, o)
}

// failed is fail, where the connection is gone.
func (l *loop) failed(t *transaction, o retry.Outcome) {
	ep := t.try.Endpoint()
	d := t.try.Failed(l.now, o)
	if d.Kind != retry.AskAgain {
		t.idlePool.worker.Errors.Add(1)
		l.released(t, ep)
	}
	l.follow(t, d)
}

// release ends the attempt at hand; ok says whether the worker is without blame.
func (l *loop) release(t *transaction, ok bool) {
	ep := t.try.Endpoint()
	t.try.Release(l.now, ok, t.took)
	l.released(t, ep)
}

// released forgets an endpoint that has left, with its last transaction.
func (l *loop) released(t *transaction, ep *balance.Endpoint) {
	if t.idlePool.ended && ep.InFlight() == 0 {
		delete(l.idlePools, ep)
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

// judge says what the end of an upstream means that has given no answer.
func (t *transaction) judge(end error, reason string) retry.Outcome {
	return t.known(end).Outcome(reason)
}

// known is what is known when the upstream has ended without an answer.
func (t *transaction) known(end error) retry.Sent {
	k := t.upstream
	return retry.Sent{
		Some: t.wrote, Whole: t.onePiece, Unread: k.leftUnread(end),
		Told: k.tells, WillTell: k.willTell(), Due: t.wordDue, Begun: t.begun, Died: k.died(), Mortal: tellsOfDeath(k.conn),
	}
}

// unanswered is for an upstream that has ended in place of an answer. Where a request
// that must not happen twice may have been begun, and the kernel will say how much of it
// was read, it is waited for that.
func (l *loop) unanswered(t *transaction, end error) {
	k, sent, reason := t.upstream, t.known(end), ended(t.begun)
	a, can := k.conn.(contract.Accountant)
	if !can || end != unix.ECONNRESET || t.try.Request.Idempotent || t.forgotten || sent.Ending() == retry.Unbegun {
		l.fail(t, sent.Outcome(reason))
		return
	}
	reused, body, number := k.reused, t.sent-t.headSize, t.number
	l.dropUpstream(t)
	t.state, t.answerBy, t.recallBy = transactionUnclear, 0, 0
	l.work(func() {
		sent.NoHead = a.Unread(end) > body
		l.post(func() {
			if t.number != number || t.state != transactionUnclear || t.downstream == nil {
				return // the client has left
			}
			o := sent.Outcome(reason)
			if o.Reused = reused; reused {
				o.Reuse = &t.idlePool.worker.reuse
			}
			l.failed(t, o)
		})
	})
}

func (t *transaction) worker() string { return t.try.Endpoint().Config().Worker }

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
		if t.route.mayTakeLonger(t.try.Endpoint()) {
			t.answerBy = l.in(lookAgain)
			break
		}
		t.answerBy = 0
		l.fail(t, retry.Outcome{Ending: retry.Late, Reason: "did not answer within " + t.route.Settings.AnswerTimeout.String()})
	case g.readBy > 0 && now >= g.readBy && !t.wantsBody():
		g.readBy = l.after(t.route.Settings.IdleTimeout)
	case g.readBy > 0 && now >= g.readBy:
		l.spoil(t, &reply.Local{Status: http.StatusRequestTimeout, Reason: "the body of the request stopped arriving"})
	}
}

// spoil ends a transaction whose client is at fault.
func (l *loop) spoil(t *transaction, r *reply.Local) {
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
	if t.try.Endpoint() != nil {
		l.release(t, true)
	}
}

// refuse answers in the worker's place.
func (l *loop) refuse(t *transaction, r *reply.Local) {
	g := t.downstream
	t.status = r.Status
	keep := t.keep && t.complete && r.Status != http.StatusBadRequest && !l.server.closing.Load()
	if r.Status >= http.StatusInternalServerError {
		l.server.log.Warn("request not answered", "service", t.route.Service, "status", r.Status, "error", r.Reason)
	}
	answer := r.Append(nil, t.route.Service, l.server.version, !keep, t.head)
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

func tooLarge(limit int64) *reply.Local {
	return &reply.Local{Status: http.StatusRequestEntityTooLarge, Reason: fmt.Sprintf("the body is larger than %d bytes", limit)}
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
