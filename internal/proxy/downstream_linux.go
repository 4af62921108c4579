package proxy

import (
	"bytes"
	"cmp"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/reply"
)

// downstream is a client's connection on a loop. Between two requests it owns nothing
// but this.
type downstream struct {
	sock
	acceptor    *acceptor
	peer        netip.AddrPort // not valid: a unix socket's client
	label       []byte         // the peer as text
	entered     *entrance      // what it met last
	owner       *target        // whose client it is counted as
	pass        pass
	transaction *transaction // its request that is under way
	state       downstreamState
	held        bool // the wait for a first worker is already spent
	probed      bool // it is waited for a moment whether it says anything
	waited      bool // the rest of a short body has been waited for
	fresh       bool // in has not been looked at
	leaving     bool // its listener is gone: the request at hand is its last
	linger      bool // what the client still sends is read before the end
	deaf        bool // it takes nothing any more
	seat        int  // in loop.waiting; none: -1

	in   []byte // what has come and is not used yet
	out  []byte // what the socket has not taken yet
	told int    // of out
	pipe *pipe  // of a long answer; what it holds comes after out

	holdBy  int64 // when a new client's wait for the first worker ends
	readBy  int64 // when what the client has to send must have come; 0: any time
	writeBy int64 // when it must have taken something of out
	tookAt  int64 // when it took something last
	reading limit.Meter
}

type downstreamState uint8

const (
	downstreamNew    downstreamState = iota // nothing has been read: its bytes may be a worker's to read
	downstreamIdle                          // between two requests
	downstreamHead                          // a part of a head has come
	downstreamShort                         // a head has come, and a part of its short body
	downstreamBusy                          // its request is under way
	downstreamEnding                        // the last answer is on its way out
	downstreamLinger                        // all is sent; what still comes is thrown away
)

// lingerTime is how long is read on after the last answer: closing with unread
// bytes would reset the connection, and the client would lose the answer (RFC
// 9112, section 9.6).
const lingerTime = time.Second

func (g *downstream) pending() bool { return g.told < len(g.out) || !g.pipe.empty() }

// welcome makes a downstream of an accepted connection.
func (l *loop) welcome(d *acceptor, fd int, peer netip.AddrPort) {
	e := l.server.entrance(d.id)
	if e == nil || l.over {
		_ = unix.Close(fd)
		l.server.downstreamLeft()
		return
	}
	g := &downstream{acceptor: d, peer: peer, entered: e, owner: e.owner, seat: -1}
	if l.register(&g.sock, fd, g) != nil {
		l.server.downstreamLeft()
		return
	}
	l.load.Add(1)
	if peer.IsValid() {
		g.label = peer.AppendTo(make([]byte, 0, 24))
	}
	if e.TLS != nil || e.Settings.ProxyProtocol || e.mayDivert(peer) {
		l.handOver(g, nil)
		return
	}
	var bad *reply.Local
	if g.pass, bad = g.owner.counters.enter(peer.Addr(), &e.Settings); bad != nil {
		l.server.log.Warn("connection turned away", "service", g.owner.Service, "client", peer.Addr().String(), "reason", bad.Reason)
		if e.Settings.Protocol == TCP { // nothing that we could say would be understood
			l.lose(g)
			return
		}
		_ = l.tell(g, bad.Append(nil, g.owner.Service, l.server.version, true, false))
		l.end(g, true)
		return
	}
	l.meet(g) // epoll tells what it has said already
}

// readable reads until there is nothing more, or nothing more is wanted.
func (g *downstream) readable(l *loop) {
	if g.deaf {
		l.lose(g)
		return
	}
	for range turns {
		if g.closed || !l.hear(g) {
			return
		}
	}
	l.queue(&g.sock)
}

// hear does one step; false when there is nothing to do before the next event.
func (l *loop) hear(g *downstream) bool {
	switch g.state {
	case downstreamNew:
		return l.meet(g)
	case downstreamIdle, downstreamHead, downstreamShort:
		l.settle(&g.sock) // of a client that asks again before it is answered
		switch {
		case g.pending(): // the last answer goes first
			return false
		case g.fresh:
			l.begin(g, g.in)
			return true
		}
		return g.ready && l.readHead(g)
	case downstreamBusy:
		switch t := g.transaction; {
		case t.wakeBy > 0 && l.clock >= t.wakeBy:
			l.pickAgain(t)
		case t.wantsBody():
			return g.ready && l.readBody(t)
		default:
			l.watch(g)
		}
	case downstreamLinger:
		return g.ready && l.throwAway(g)
	}
	return false
}

func (g *downstream) writable(l *loop) {
	if !l.flush(g) || g.pending() {
		return
	}
	switch {
	case g.state == downstreamEnding:
		l.part(g)
	case g.state != downstreamBusy:
		l.queue(&g.sock)
	case g.transaction.upstream != nil:
		l.queue(&g.transaction.upstream.sock)
	}
}

func (g *downstream) late(l *loop) {
	switch now := l.clock; {
	case g.writeBy > 0 && now >= g.writeBy:
		l.lose(g)
	case g.state == downstreamBusy:
		g.transaction.late(l)
	case g.seat >= 0:
		l.queue(&g.sock)
	case g.readBy == 0 || now < g.readBy:
	case g.state == downstreamHead:
		l.refuseUnread(g, g.owner, &reply.Local{Status: http.StatusRequestTimeout, Reason: "the head of the request did not arrive in time"}, nil)
	case g.state == downstreamShort:
		g.waited, g.fresh = true, true
		l.queue(&g.sock)
	case g.state == downstreamNew && g.probed:
		if g.probed = false; g.owner.speaks() != HTTP {
			l.handOver(g, nil)
			return
		}
		g.awaitBytes(l, g.entered.Settings.HeaderTimeout)
	default:
		l.lose(g)
	}
	g.remind(l)
}

// remind sets the timer to the next of the downstream's deadlines.
func (g *downstream) remind(l *loop) {
	if g.closed {
		return
	}
	next := sooner(g.readBy, g.writeBy)
	if g.seat >= 0 {
		next = sooner(next, g.holdBy)
	}
	if t := g.transaction; t != nil {
		next = sooner(sooner(next, t.answerBy), sooner(t.wakeBy, sooner(t.leaveBy, t.recallBy)))
	}
	l.wheel.set(&g.sock, next)
}

// sooner is the earlier of two deadlines, of which 0 is none.
func sooner(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// awaitBytes gives the client d to send something; 0: for ever.
func (g *downstream) awaitBytes(l *loop, d time.Duration) {
	g.readBy = 0
	if d > 0 {
		g.readBy = l.in(d)
	}
	g.remind(l)
}

// meet decides who reads the client's bytes: while there are no endpoints nobody
// knows, so it waits; false when there is nothing to do before the next event.
func (l *loop) meet(g *downstream) bool {
	e := l.server.entrance(g.acceptor.id)
	switch {
	case e == nil:
		l.lose(g)
		return false
	case e.plain() && l.mustWait(g, e.owner):
		return false
	case e.plain() && (anyRawOnly(e.owner.Pool) || e.owner.speaks() == TCP):
		l.handOver(g, nil)
		return false
	case g.readBy == 0 && g.undecided():
		g.probed = true
		g.awaitBytes(l, moment)
	case g.readBy == 0:
		g.awaitBytes(l, e.Settings.HeaderTimeout)
	}
	if !g.ready {
		return false
	}
	var first [len(http2Preface)]byte
	n, errno := recv(g.fd, first[:], unix.MSG_PEEK)
	said := string(first[:n])
	hello, helloKnown := helloTLS(first[:n])
	switch {
	case errno == unix.EAGAIN:
		g.ready = false
	case errno != 0 || n == 0:
		l.lose(g)
	case g.undecided() && !startsWithMethod(first[:n]):
		l.handOver(g, nil) // more may have to be looked at
	case n < len(first) && (strings.HasPrefix(http2Preface, said) || !helloKnown) && !g.ended:
		g.ready = false // more bytes are another event
	case hello || said == http2Preface:
		l.handOver(g, nil)
	default:
		g.state = downstreamIdle
		return true
	}
	return false
}

// undecided: only what comes tells what the client speaks.
func (g *downstream) undecided() bool {
	return g.entered.plain() && g.owner.speaks() == Auto
}

// mustWait has a new client wait for the first worker.
func (l *loop) mustWait(g *downstream, route *target) bool {
	changed := route.Pool.Changed()
	if g.held || len(route.Pool.Endpoints()) > 0 || route.Pool.Rests() != "" {
		l.standUp(g)
		return false
	}
	if g.holdBy == 0 {
		g.holdBy = l.in(route.Settings.Hold)
	}
	if l.clock >= g.holdBy {
		g.held = true
		l.standUp(g)
		return false
	}
	l.sitDown(g, route.Pool, changed)
	g.remind(l)
	return true
}

// readHead reads what may be a request, or the rest of one.
func (l *loop) readHead(g *downstream) bool {
	n, errno := g.receive(l.buffer[room:])
	switch {
	case errno == unix.EAGAIN:
		return false
	case n == 0:
		l.lose(g)
		return false
	}
	data := l.buffer[room : room+n]
	if len(g.in) > 0 {
		lineEnded := bytes.IndexByte(data, '\n') >= 0
		g.in = append(g.in, data...)
		if g.state == downstreamHead && !lineEnded && len(g.in) < defaultMaxHeader {
			return true // no head ends here
		}
		data = g.in
	}
	l.begin(g, data)
	return true
}

// begin starts the request at the beginning of data, if all of its head is there.
func (l *loop) begin(g *downstream, data []byte) {
	g.fresh = false
	e := l.server.entrance(g.acceptor.id)
	if g.leaving = e == nil; g.leaving {
		e = g.entered // its listener was closed: it is told so with its next answer
	}
	g.entered = e
	limit := headerLimit(e.Settings.MaxHeader)
	n, fault := l.request.Parse(data, limit)
	switch {
	case fault != h1.OK:
		l.refuseUnread(g, e.owner, faulty(fault, limit), nil)
	case n == 0:
		g.save(data)
		if g.state != downstreamHead {
			g.state = downstreamHead
			g.awaitBytes(l, e.Settings.HeaderTimeout)
		}
	default:
		l.start(g, e, data, n)
	}
}

// save keeps what has come and is not used; data may be a part of in.
func (g *downstream) save(data []byte) {
	if len(data) == 0 {
		g.in = nil
		return
	}
	g.in = append(g.in[:0], data...)
}

// start makes a transaction of the request that has been parsed: the first n bytes of
// data are its head.
func (l *loop) start(g *downstream, e *entrance, data []byte, n int) {
	r := &l.request
	route := e.target(r.Host, r.Path())
	switch {
	case r.Upgrade != nil || r.Expects || e.Challenge != nil || route != nil && (route.Redirect != "" || route.Settings.H2C):
		l.handOver(g, data)
		return
	case route == nil:
		l.refuseUnread(g, e.owner, e.noRoute(r.Host, r.Path(), false), r)
		return
	case r.Body == h1.ByLength && route.Settings.MaxBody > 0 && r.Length > route.Settings.MaxBody:
		l.refuseUnread(g, route, tooLarge(route.Settings.MaxBody), r)
		return
	case r.Body == h1.ByLength && !g.waited && r.Length > int64(len(data)-n) && r.Length <= onePiece:
		g.save(data)
		if g.state != downstreamShort {
			g.state = downstreamShort
			g.awaitBytes(l, behindHead)
		}
		return
	}
	t := l.newTransaction(g, route)
	g.state, g.waited, g.readBy = downstreamBusy, false, 0
	used := 0
	switch r.Body {
	case h1.ByLength:
		used = l.takeLoose(t, data, n)
	case h1.ByChunks:
		var bad *reply.Local
		if used, bad = l.takeBody(t, data[n:]); bad != nil {
			g.save(nil)
			l.refuse(t, bad)
			return
		}
	}
	g.save(data[n+used:])
	g.fresh = len(g.in) > 0
	if !t.complete {
		l.awaitBody(t)
	}
	l.pick(t)
	l.keepLoose()
}

// after is the deadline in d from now; none for no d.
func (l *loop) after(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return l.in(d)
}

// watch finds out whether a client whose request is under way has left. One that
// has only ended its own direction is served if the answer is quick.
func (l *loop) watch(g *downstream) {
	t := g.transaction
	if !g.ended || len(g.in) > 0 {
		return
	}
	if !g.broken {
		var b [1]byte
		n, errno := recv(g.fd, b[:], unix.MSG_PEEK)
		if n > 0 || errno == unix.EAGAIN {
			return
		}
		if until := t.clock + int64(fastAnswer); errno == 0 && l.clock < until {
			t.leaveBy = until
			g.remind(l)
			return
		}
	}
	l.desert(t)
}

// tell sends b to the client, and keeps what the socket does not take; false when
// the client is gone.
func (l *loop) tell(g *downstream, b []byte) bool {
	l.settle(&g.sock)
	switch {
	case g.deaf:
		return false
	case g.pending():
		g.out = append(g.out, b...)
		return true
	case l.postponeCopy(&g.sock, b):
		return true
	}
	n, errno := send(g.fd, b)
	if errno != 0 {
		return false
	}
	l.owe(g, b[n:])
	return true
}

// owe keeps what the socket has not taken.
func (l *loop) owe(g *downstream, b []byte) {
	if len(b) == 0 {
		return
	}
	g.out, g.told = append(g.out[:0], b...), 0
	g.writeBy, g.tookAt = l.after(g.patience()), l.clock
	l.arm(&g.sock)
	g.remind(l)
}

// listens: the head of a request, or more of it, is awaited.
func (g *downstream) listens() bool {
	awaits := g.state == downstreamIdle || g.state == downstreamHead || g.state == downstreamShort
	return awaits && !g.fresh && !g.pending()
}

func (g *downstream) sent(l *loop, p []byte, n int, errno syscall.Errno) {
	if errno != 0 {
		g.deaf = true
		l.queue(&g.sock)
		return
	}
	l.owe(g, p[n:])
}

// settings are those of the request at hand, or of the connection.
func (g *downstream) settings() *Settings {
	if g.transaction != nil {
		return &g.transaction.route.Settings
	}
	return &g.owner.Settings
}

// patience is how long the client may leave an answer unread.
func (g *downstream) patience() time.Duration {
	set := g.settings()
	return cmp.Or(set.WriteTimeout, set.IdleTimeout)
}

// flush sends what is pending; false when the client is gone.
func (l *loop) flush(g *downstream) bool {
	n, errno := g.push()
	if errno != 0 || n > 0 && g.reading.Slow(n, time.Duration(l.clock-g.tookAt), g.settings().MinRate) {
		l.lose(g)
		return false
	}
	if g.pending() {
		if n > 0 {
			g.writeBy, g.tookAt = l.after(g.patience()), l.clock
		}
	} else {
		g.out, g.told, g.writeBy = nil, 0, 0
		if g.transaction == nil {
			l.givePipe(g.pipe)
			g.pipe = nil
		}
		l.disarm(&g.sock)
	}
	g.remind(l)
	return true
}

// push sends what is pending.
func (g *downstream) push() (n int, errno syscall.Errno) {
	if g.told < len(g.out) {
		n, errno = send(g.fd, g.out[g.told:])
		g.told += n
	}
	if errno == 0 && g.told == len(g.out) && !g.pipe.empty() {
		var more int
		more, errno = g.pipe.drain(g.fd, false)
		n += more
	}
	return n, errno
}

// next is for a downstream whose request is answered and whose connection goes on.
func (l *loop) next(g *downstream) {
	g.state = downstreamIdle
	if g.fresh || g.ready {
		l.queue(&g.sock)
	} else if l.server.closing.Load() {
		g.awaitBytes(l, farewell)
		return
	}
	g.awaitBytes(l, g.owner.Settings.IdleTimeout)
}

// refuseUnread answers a request that was not understood (nil), or that is not
// read, and ends the connection.
func (l *loop) refuseUnread(g *downstream, route *target, r *reply.Local, request *h1.Request) {
	l.unread(g.peer.Addr(), route, r.Status, request)
	_ = l.tell(g, r.Append(nil, route.Service, l.server.version, true, request != nil && request.IsHead()))
	l.end(g, true)
}

// end closes the connection when all is sent.
func (l *loop) end(g *downstream, linger bool) {
	g.state, g.linger, g.readBy, g.in, g.fresh = downstreamEnding, linger, 0, nil, false
	l.settle(&g.sock)
	if !g.pending() {
		l.part(g)
	}
}

func (l *loop) part(g *downstream) {
	if !g.linger || g.ended || unix.Shutdown(g.fd, unix.SHUT_WR) != nil {
		l.lose(g)
		return
	}
	g.state = downstreamLinger
	g.awaitBytes(l, lingerTime)
	if g.ready {
		l.queue(&g.sock)
	}
}

// throwAway reads on, so that the end does not become a reset.
func (l *loop) throwAway(g *downstream) bool {
	n, errno := g.receive(l.buffer[room:])
	if n == 0 && errno != unix.EAGAIN {
		l.lose(g)
	}
	return n > 0
}

// abort resets the connection, so that an answer that only the connection's end
// would complete is not taken for whole.
func (l *loop) abort(g *downstream) {
	_ = unix.SetsockoptLinger(g.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	l.lose(g)
}

// lose closes the connection now.
func (l *loop) lose(g *downstream) {
	if g.closed {
		return
	}
	if g.transaction != nil {
		l.desert(g.transaction) // which comes back here
		return
	}
	l.close(&g.sock)
	l.gone(g)
}

func (l *loop) gone(g *downstream) {
	l.standUp(g)
	l.givePipe(g.pipe)
	g.in, g.out, g.pipe = nil, nil, nil
	l.load.Add(-1)
	g.owner.counters.leave(g.pass)
	l.server.downstreamLeft()
}

// sitDown has g wait until the pool changes, or its timer runs out.
func (l *loop) sitDown(g *downstream, pool *balance.Pool, changed <-chan struct{}) {
	if g.seat < 0 {
		g.seat = len(l.waiting)
		l.waiting = append(l.waiting, g)
	}
	l.watchPool(pool, changed)
}

// standUp ends the wait. The order of the others stays.
func (l *loop) standUp(g *downstream) {
	if g.seat < 0 {
		return
	}
	l.waiting = append(l.waiting[:g.seat], l.waiting[g.seat+1:]...)
	for i := g.seat; i < len(l.waiting); i++ {
		l.waiting[i].seat = i
	}
	g.seat = -1
}
