package proxy

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/retry"
	contract "bulsa/internal/upstream"
)

// upstream is a connection to a worker on a loop. One request at a time uses it.
type upstream struct {
	sock
	idlePool    *idlePool
	conn        net.Conn     // what Connect gave: it knows what the connection's end means
	transaction *transaction // nil: idle
	in          []byte       // a part of a head
	since       int64        // when it became idle
	reused      bool
	greets      bool // the worker's first bytes may be observed.Greeting
	promised    bool // and are, says the worker
	tells       bool // the worker gives balance.Begun
}

// mayTell says whether the worker could say that it has begun a request.
func (k *upstream) mayTell() bool { return k.greets || k.tells }

// willTell says whether it does: it has greeted, or it will, because its worker has
// said so, or does on its other connections.
func (k *upstream) willTell() bool {
	return k.tells || k.greets && k.idlePool.worker.greets(k.idlePool.endpoint, k.promised)
}

func (k *upstream) leftUnread(err error) bool {
	c, ok := k.conn.(contract.LeftUnread)
	return ok && c.LeftUnread(err)
}

// knows says whether an end of the connection tells what the worker has begun.
func (k *upstream) knows() bool {
	_, ok := k.conn.(contract.LeftUnread)
	return ok
}

// died says whether the worker has ended, as far as the connection knows.
func (k *upstream) died() bool { return died(k.conn) }

func (k *upstream) cutOff() bool {
	c, ok := k.conn.(contract.Observed)
	return ok && c.CutOff()
}

// greeting looks at an upstream's first bytes. cut is the length of the greeting; known
// is false while they may still become one.
func (k *upstream) greeting(data []byte) (cut int, known bool) {
	g := k.conn.(contract.Observed).Greeting()
	if len(data) < len(g) && strings.HasPrefix(g, string(data)) {
		return 0, false
	}
	k.greets = false
	k.tells = bytes.HasPrefix(data, []byte(g))
	k.idlePool.worker.spoke(k.idlePool.endpoint, k.tells)
	if k.tells {
		cut = len(g)
	}
	return cut, true
}

// save keeps the beginning of a head; data may be a part of in.
func (k *upstream) save(data []byte) { k.in = append(k.in[:0], data...) }

// The events of an upstream.

func (k *upstream) readable(l *loop) {
	for range turns {
		if k.closed || !l.hearWorker(k) {
			return
		}
	}
	l.queue(&k.sock)
}

func (k *upstream) writable(l *loop) {
	if t := k.transaction; t != nil {
		l.pushRequest(t)
	}
}

// listens: an answer is awaited, of which nothing has come.
func (k *upstream) listens() bool {
	t := k.transaction
	return t != nil && t.state == transactionAsking && !k.posted && !t.downstream.pending()
}

func (k *upstream) sent(l *loop, _ []byte, n int, errno syscall.Errno) {
	l.pushed(k.transaction, n, errno)
}

func (k *upstream) late(l *loop) {
	if k.transaction == nil {
		l.dropIdle(k)
	}
}

// idlePool holds a loop's idle upstreams to one endpoint.
type idlePool struct {
	endpoint *balance.Endpoint
	worker   *worker
	idle     []*upstream // the youngest last
	ended    bool        // the endpoint has left: nothing is kept
}

func (l *loop) idlePool(ep *balance.Endpoint, s *service) *idlePool {
	if s := l.idlePools[ep]; s != nil {
		return s
	}
	fresh := &idlePool{endpoint: ep, worker: s.worker(ep.Config().Worker)}
	l.idlePools[ep] = fresh
	return fresh
}

// take returns an upstream that is still good, or nil. once: for a request that must
// not happen twice, or may not be there for a second time.
func (s *idlePool) take(l *loop, once bool) *upstream {
	for n := len(s.idle); n > 0; n = len(s.idle) {
		k := s.idle[n-1]
		idle := time.Duration(l.clock - k.since)
		if once && !k.knows() && !s.worker.reuse.May(l.now.Add(-idle), l.now) {
			return nil // the others are older
		}
		s.idle[n-1] = nil
		s.idle = s.idle[:n-1]
		if idle < maxIdle && !k.ready && (!once || k.silent()) {
			return k
		}
		l.close(&k.sock)
	}
	return nil
}

func (s *idlePool) put(l *loop, k *upstream) {
	if s.ended || len(s.idle) >= maxIdleConns || l.over {
		l.close(&k.sock)
		return
	}
	k.since = l.clock
	s.idle = append(s.idle, k)
	l.wheel.set(&k.sock, l.in(maxIdle))
}

func (s *idlePool) close(l *loop) {
	for _, k := range s.idle {
		l.close(&k.sock)
	}
	clear(s.idle)
	s.idle = s.idle[:0]
}

// dropIdle closes an upstream that waits for a request.
func (l *loop) dropIdle(k *upstream) {
	if i := slices.Index(k.idlePool.idle, k); i >= 0 {
		k.idlePool.idle = slices.Delete(k.idlePool.idle, i, i+1)
	}
	l.close(&k.sock)
}

// sweep closes the upstreams of endpoints that have left, and forgets those.
func (l *loop) sweep(live map[*balance.Endpoint]bool) {
	for ep, s := range l.idlePools {
		s.ended = !live[ep]
		if !s.ended {
			continue
		}
		s.close(l)
		if ep.InFlight() == 0 {
			delete(l.idlePools, ep)
		}
	}
}

// dial opens a connection to the endpoint of the attempt at hand.
func (l *loop) dial(t *transaction) {
	t.state, t.upstream = transactionDialing, nil
	t.downstream.remind(l)
	number, idlePool, connector := t.number, t.idlePool, t.idlePool.endpoint.Config().Connector
	timeout := t.route.Settings.ConnectTimeout
	l.work(func() {
		ctx, cancel := l.ctx, context.CancelFunc(func() {})
		if timeout > 0 {
			ctx, cancel = context.WithTimeout(ctx, timeout)
		}
		conn, fd, err := connect(ctx, connector)
		cancel()
		l.post(func() { l.dialed(t, number, idlePool, conn, fd, err) })
	})
	l.watch(t.downstream)
}

var errNoDescriptor = errors.New("the connection has no descriptor")

// connect opens a connection and takes its descriptor out of the runtime's hands.
func connect(ctx context.Context, c balance.Connector) (conn net.Conn, fd int, err error) {
	conn, err = c.Connect(ctx)
	if err != nil {
		return nil, -1, err
	}
	fd, err = duplicate(conn)
	_ = conn.Close()
	return conn, fd, err
}

func duplicate(conn net.Conn) (fd int, err error) {
	raw := rawConn(conn)
	if raw == nil {
		return -1, errNoDescriptor
	}
	fd = -1
	controlErr := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(controlErr, err)
}

// dialed takes what came of a dial. The transaction that wanted it may be over.
func (l *loop) dialed(t *transaction, number uint64, s *idlePool, conn net.Conn, fd int, err error) {
	wanted := t.number == number && t.state == transactionDialing && t.downstream != nil
	if err == nil && l.over {
		_ = unix.Close(fd)
		return
	}
	k := &upstream{idlePool: s, conn: conn}
	if err == nil {
		k.learn()
		err = l.register(&k.sock, fd, k)
	}
	switch {
	case err == nil && wanted:
		l.ask(t, k, false)
	case err == nil:
		s.put(l, k)
	case wanted:
		l.fail(t, retry.Outcome{Ending: retry.Unbegun, Reason: "cannot be reached: " + err.Error()})
	}
}

// learn finds out what the worker may say besides answers.
func (k *upstream) learn() {
	switch c := k.conn.(type) {
	case contract.Observed:
		k.greets, k.promised = true, c.WillTell()
	case contract.Teller:
		k.tells = c.Tells()
	}
}
