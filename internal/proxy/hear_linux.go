package proxy

import (
	"io"
	"math"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/retry"
)

// hearWorker reads an answer, as fast as the client takes it; false when there is
// nothing to do before the next event.
func (l *loop) hearWorker(k *upstream) bool {
	t := k.transaction
	switch {
	case !k.ready:
		return false
	case k.posted: // nobody has asked it yet
		l.fail(t, retry.Outcome{Ending: retry.Unbegun, Reason: "ended the connection before it was asked"})
		return false
	case t != nil && t.state == transactionAnswering:
		l.settle(&t.downstream.sock)
	}
	if t != nil && t.downstream.pending() {
		return false
	}
	if t != nil && t.pipesAnswer() {
		if t.downstream.pipe == nil {
			t.downstream.pipe = l.takePipe()
		}
		if t.downstream.pipe != nil {
			return l.pourAnswer(t)
		}
	}
	n, errno := k.receive(l.buffer[room:])
	switch {
	case errno == unix.EAGAIN:
		return false
	case n == 0:
		l.upstreamEnded(k, errno)
		return false
	}
	at, data := room, l.buffer[room:room+n]
	if len(k.in) > 0 {
		k.in = append(k.in, data...)
		at, data = elsewhere, k.in
	}
	if k.greets {
		cut, known := k.greeting(data)
		if !known {
			k.save(data)
			return true
		}
		at, data = at+cut, data[cut:]
	}
	switch {
	case len(data) == 0:
		k.in = nil
	case t == nil: // nobody asked
		l.dropIdle(k)
	case t.state == transactionAsking:
		l.readAnswer(t, data, at)
	default:
		l.out = l.out[:0]
		l.passOn(t, data, at)
	}
	return true
}

// elsewhere is the position of what does not lie in the buffer, however much is
// added to it.
const elsewhere = math.MinInt32

// readAnswer reads the heads at the beginning of data, which lies at position at
// of the buffer, or elsewhere.
func (l *loop) readAnswer(t *transaction, data []byte, at int) {
	k := t.upstream
	l.asked.Method, l.asked.HTTP10 = methodFor(t.head), t.http10
	for len(data) > 0 {
		n, fault := l.answer.Parse(data, &l.asked, maxAnswerHead)
		switch {
		case fault != h1.OK:
			l.fail(t, retry.Outcome{Ending: retry.Malformed, Reason: "gave a malformed answer: " + fault.Error()})
			return
		case n == 0:
			k.save(data)
			return
		case !l.answer.Interim():
			k.in = nil
			l.beginAnswer(t)
			l.passOn(t, data[n:], at+n)
			return
		}
		if !l.passInterim(t, data[:n]) {
			return
		}
		at, data = at+n, data[n:]
	}
	k.in = nil
}

// methodFor is as much of the method as an answer's body depends on.
func methodFor(head bool) []byte {
	if head {
		return []byte("HEAD")
	}
	return nil
}

// passInterim passes an interim answer on, but for those that are not meant for
// the client; false when the transaction is over.
func (l *loop) passInterim(t *transaction, head []byte) bool {
	held := t.withheld()
	if t.begun = true; held {
		l.sentSome(t)
	}
	if t.interims++; t.interims > maxInterim {
		l.fail(t, retry.Outcome{Ending: retry.Malformed, Reason: "gave too many interim answers"})
		return false
	}
	if string(head) == balance.Begun || l.answer.Status == 100 || t.http10 {
		return true
	}
	l.out = l.answer.AppendTo(l.out[:0], nil)
	if !l.tell(t.downstream, l.out) {
		l.desert(t)
		return false
	}
	return true
}

// beginAnswer writes the head to l.out. It is the last moment to tell the client
// that the connection ends.
func (l *loop) beginAnswer(t *transaction) {
	a := &l.answer
	t.state, t.answerBy, t.recallBy = transactionAnswering, 0, 0
	t.status = a.Status
	t.try.Answered()
	t.took = time.Duration(l.clock - t.tryClock)
	t.idlePool.worker.Requests.Add(1)
	t.idlePool.worker.AnswerTime.Add(t.took)
	t.from, t.to, t.owed, t.recycle = a.Body, a.BodyFor(&l.asked), a.Length, a.KeepAlive
	if t.from == h1.ByChunks {
		t.pieces.Reset()
	}
	t.keep = t.keep && t.complete && t.to != h1.UntilClose && !l.server.closing.Load()
	l.reply = h1.Reply{Body: t.to, Close: !t.keep, KeepAlive: t.keep && t.http10, Date: l.date(), Extra: t.stickyField()}
	l.out = a.AppendTo(l.out[:0], &l.reply)
}

// date is the Date that an answer without one is owed (RFC 9110, section 6.6.1).
func (l *loop) date() []byte {
	if second := l.now.Unix(); second != l.dated {
		l.dated = second
		l.dateNow = l.now.UTC().AppendFormat(l.dateNow[:0], http.TimeFormat)
	}
	return l.dateNow
}

func (t *transaction) stickyField() []byte {
	name := t.route.Settings.Sticky
	if name == "" {
		return nil
	}
	id := balance.StickyID(t.try.Endpoint())
	if id == t.try.Request.Sticky {
		return nil
	}
	return []byte("Set-Cookie: " + name + "=" + id + "; Path=/; HttpOnly; SameSite=Lax\r\n")
}

// passOn sends l.out to the client, and behind it the part of the body that is at
// the beginning of data.
func (l *loop) passOn(t *transaction, data []byte, at int) {
	if t.session.begins {
		t.session.learn(t.route, balance.StickyID(t.try.Endpoint()), data, l.now)
	}
	var part []byte
	used, over, fault := 0, false, h1.OK
	switch t.from {
	case h1.NoBody:
		over = true
	case h1.ByLength:
		used = int(min(t.owed, int64(len(data))))
		t.owed -= int64(used)
		t.given += int64(used)
		part, over = data[:used], t.owed == 0
	case h1.UntilClose:
		used, part = len(data), data
		t.given += int64(used)
		if t.to == h1.ByChunks {
			l.out, part = appendPiece(l.out, data), nil
		}
	case h1.ByChunks:
		used, fault = l.passChunks(t, data)
		over = t.pieces.Done()
	}
	t.recycle = t.recycle && used == len(data)
	switch {
	case !l.tellBoth(t.downstream, part, at):
		l.desert(t)
	case fault != h1.OK:
		l.breakOff(t, fault)
	case over:
		l.finish(t)
	}
}

// passChunks writes the chunks in data anew, to l.out.
func (l *loop) passChunks(t *transaction, data []byte) (used int, _ h1.Fault) {
	for used < len(data) && !t.pieces.Done() {
		part, n, fault := t.pieces.Next(data[used:])
		if fault != h1.OK {
			return used, fault
		}
		used += n
		t.given += int64(len(part))
		if t.to == h1.ByChunks {
			l.out = appendPiece(l.out, part)
		} else {
			l.out = append(l.out, part...)
		}
	}
	if t.pieces.Done() && t.to == h1.ByChunks {
		l.out = h1.AppendLastChunk(l.out, t.pieces.Trailer)
	}
	return used, h1.OK
}

// tellBoth sends l.out and then part, with one call if part lies at position at of
// the buffer and has room in front.
func (l *loop) tellBoth(g *downstream, part []byte, at int) bool {
	start := at - len(l.out)
	switch {
	case len(part) == 0:
		return len(l.out) == 0 || l.tell(g, l.out)
	case len(l.out) == 0:
		return l.tell(g, part)
	case start < 0:
		return l.tell(g, l.out) && l.tell(g, part)
	}
	copy(l.buffer[start:], l.out)
	return l.tell(g, l.buffer[start:at+len(part)])
}

// upstreamEnded is for an upstream whose worker has ended it: err is 0 or what broke it.
func (l *loop) upstreamEnded(k *upstream, err syscall.Errno) {
	t := k.transaction
	var end error = err
	if err == 0 {
		end = io.EOF
	}
	switch {
	case t == nil:
		l.dropIdle(k)
	case t.state == transactionAsking:
		l.unanswered(t, end)
	case t.from != h1.UntilClose || err != 0 || k.cutOff():
		l.breakOff(t, end)
	case t.to == h1.ByChunks && !l.tell(t.downstream, lastChunk()):
		l.desert(t)
	default:
		l.finish(t)
	}
}

func lastChunk() []byte { return h1.AppendLastChunk(nil, nil) }

// finish is for a request whose answer has been given whole.
func (l *loop) finish(t *transaction) {
	g, k := t.downstream, t.upstream
	k.transaction, t.upstream = nil, nil
	if t.recycle && t.complete && t.flushed() && !t.mute && k.quiet() {
		t.idlePool.put(l, k)
	} else {
		l.close(&k.sock)
	}
	l.release(t, true)
	keep, unread := t.keep, !t.complete
	l.free(t)
	if keep {
		l.next(g)
	} else {
		l.end(g, unread)
	}
}

// breakOff is for a worker that has not given all that it promised. It makes sure
// that the client does not take a part for the whole.
func (l *loop) breakOff(t *transaction, err error) {
	g := t.downstream
	l.server.log.Warn("answer broken off", "service", t.route.Service, "worker", t.worker(), "request", string(t.line), "error", err)
	l.dropUpstream(t)
	l.release(t, false)
	t.idlePool.worker.Errors.Add(1)
	to := t.to
	l.free(t)
	if to == h1.UntilClose {
		l.abort(g)
		return
	}
	l.end(g, false)
}
