package proxy

import (
	"fmt"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/reply"
)

// ask sends the request over an upstream that is free.
func (l *loop) ask(t *transaction, k *upstream, reused bool) {
	t.state, t.upstream, t.answerBy = transactionAsking, k, 0
	k.transaction, k.reused = t, reused
	t.sent, t.wrote, t.onePiece, t.mute, t.begun, t.interims = 0, false, false, false, false, 0
	l.pushRequest(t)
}

// wantsBody says whether more of the client's body is to be read: while it goes
// out as it comes, or as much of it as can be remembered until it can.
func (t *transaction) wantsBody() bool {
	switch {
	case t.complete || t.mute:
		return false
	case t.upstream == nil:
		return len(t.request) < replayLimit
	}
	return t.flushed() && !t.withheld()
}

// owedWord: the worker will say that it has begun the request, and has not yet. Until
// then all of the request is kept, so that another can be given it.
func (t *transaction) owedWord() bool {
	return t.state == transactionAsking && t.wordDue && !t.begun && !t.forgotten && t.upstream.willTell()
}

// withheld: no more of the body is read before that word, which comes as soon as the
// worker has read the head.
func (t *transaction) withheld() bool {
	return len(t.request) >= replayLimit && !t.complete && t.owedWord()
}

// untouched: request is all of it, and the upstream has got nothing. Of one whose beginning
// is forgotten, request is what the upstream had no room for yet.
func (t *transaction) untouched() bool { return t.sent == 0 && t.complete && !t.forgotten }

// flushed: the upstream has taken all that there is of the request.
func (t *transaction) flushed() bool { return t.sent == len(t.request) && t.pipe.empty() }

// pushRequest sends what the upstream takes. An upstream that takes nothing any more may
// still give an answer, or else says why not.
func (l *loop) pushRequest(t *transaction) {
	k := t.upstream
	if l.loose.transaction == t && l.pushLoose(t) {
		l.sentSome(t)
		return
	}
	if t.sent == len(t.request) || t.mute {
		l.pushRest(t)
		return
	}
	if t.untouched() && !k.greets && l.postpone(&k.sock, t.request) {
		return // to be continued by sent
	}
	n, errno := send(k.fd, t.request[t.sent:])
	l.pushed(t, n, errno)
}

// pushed goes on when the upstream has taken n more bytes of the request.
func (l *loop) pushed(t *transaction, n int, errno syscall.Errno) {
	if errno != 0 {
		l.mute(t)
		return
	}
	t.onePiece = t.untouched() && n == len(t.request) && n <= onePiece
	t.wrote = t.wrote || n > 0
	t.sent += n
	l.pushRest(t)
}

// pushRest sends what comes after the bytes in request.
func (l *loop) pushRest(t *transaction) {
	k := t.upstream
	l.drainBody(t)
	if !t.flushed() && !t.mute {
		l.arm(&k.sock)
	} else {
		l.disarm(&k.sock)
	}
	l.sentSome(t)
}

func (l *loop) mute(t *transaction) {
	t.mute, t.downstream.readBy = true, 0
	t.upstream.ready = true
	l.queue(&t.upstream.sock)
}

// sentSome sets the deadlines of what is awaited now: room in the upstream, more of
// the body, or the answer.
func (l *loop) sentSome(t *transaction) {
	g, settings := t.downstream, &t.route.Settings
	held := t.withheld()
	if t.state == transactionAsking && (t.complete || !t.flushed() || held) {
		t.answerBy = l.after(settings.AnswerTimeout)
		l.awaitRecall(t)
	} else {
		t.answerBy = 0
	}
	if t.complete || held {
		g.readBy = 0
	} else if t.flushed() {
		t.forgetIfDone()
		l.awaitBody(t)
		if g.ready {
			l.queue(&g.sock)
		}
	}
	g.remind(l)
}

// awaitBody gives the client time for more of the body.
func (l *loop) awaitBody(t *transaction) {
	set := &t.route.Settings
	d := set.IdleTimeout
	if set.MinRate > 0 && (d <= 0 || d > limit.Window) {
		d = limit.Window
	}
	t.downstream.readBy, t.wantedAt = l.after(d), l.clock
}

// forgetIfDone drops what has been sent when it will never be sent again.
func (t *transaction) forgetIfDone() {
	if !t.remembers(0) {
		t.forgotten = true
		t.request, t.sent = t.request[:0], 0
	}
}

// remembers says whether the request with so many more bytes may have to be sent
// again from its beginning, and is kept for it.
func (t *transaction) remembers(more int) bool {
	may := t.try.Request.Idempotent || !t.wrote || t.upstream.mayTell()
	return !t.forgotten && may && (len(t.request)+more <= replayLimit || t.owedWord())
}

// readBody reads more of the client's body.
func (l *loop) readBody(t *transaction) bool {
	g := t.downstream
	if t.pipesBody() {
		if t.pipe == nil {
			t.pipe = l.takePipe()
		}
		if t.pipe != nil {
			return l.pourBody(t)
		}
	}
	n, errno := g.receive(l.buffer[room:])
	switch {
	case errno == unix.EAGAIN:
		return false
	case n == 0:
		l.desert(t)
		return false
	}
	data := l.buffer[room : room+n]
	used, bad := l.takeBody(t, data)
	if bad != nil {
		l.spoil(t, bad)
		return false
	}
	if l.tooSlow(t, n) {
		return false
	}
	if used < n {
		g.save(data[used:])
		g.fresh = true
	}
	if t.upstream != nil {
		l.sentSome(t)
	} else {
		l.awaitBody(t)
	}
	return true
}

// tooSlow ends the transaction of a client whose n bytes of body came too slowly.
func (l *loop) tooSlow(t *transaction, n int) bool {
	rate := t.route.Settings.MinRate
	if !t.pace.Slow(n, time.Duration(l.clock-t.wantedAt), rate) {
		return false
	}
	l.spoil(t, &reply.Local{Status: http.StatusRequestTimeout, Reason: fmt.Sprintf("the body arrives more slowly than %d bytes per second", rate)})
	return true
}

// takeBody takes the part of data that belongs to the request's body.
func (l *loop) takeBody(t *transaction, data []byte) (used int, _ *reply.Local) {
	if t.body == h1.ByLength {
		used = int(min(t.left, int64(len(data))))
		t.left -= int64(used)
		t.complete = t.left == 0
		l.give(t, data[:used])
		return used, nil
	}
	limit := t.route.Settings.MaxBody
	l.frames = l.frames[:0]
	for used < len(data) && !t.complete {
		part, n, fault := t.chunks.Next(data[used:])
		used += n
		if fault != h1.OK {
			return used, reply.BadRequest(fault.Error())
		}
		if t.size += int64(len(part)); limit > 0 && t.size > limit {
			return used, tooLarge(limit)
		}
		l.frames = appendPiece(l.frames, part)
		if t.complete = t.chunks.Done(); t.complete {
			l.frames = h1.AppendLastChunk(l.frames, t.chunks.Trailer)
		}
	}
	l.give(t, l.frames)
	return used, nil
}

// appendPiece writes data as a chunk of its own.
func appendPiece(b, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	b = append(h1.AppendChunkSize(b, len(data)), data...)
	return append(b, "\r\n"...)
}

// give sends a part of the request to the worker, or keeps it until it can.
func (l *loop) give(t *transaction, p []byte) {
	switch {
	case t.mute || len(p) == 0:
		return
	case t.upstream == nil:
		t.request = append(t.request, p...)
		return
	case t.remembers(len(p)):
		t.request = append(t.request, p...)
		l.pushRequest(t)
		return
	case t.sent == len(t.request):
		t.forgotten = true
		t.request, t.sent = t.request[:0], 0
		n, errno := send(t.upstream.fd, p)
		if errno != 0 {
			l.mute(t)
			return
		}
		p = p[n:]
	}
	t.request = append(t.request, p...)
	if len(p) > 0 {
		l.arm(&t.upstream.sock)
	}
}
