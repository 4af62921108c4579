package proxy

import (
	"context"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"

	"bulsa/internal/balance"
)

// loops are a server's event loops, one for each processor. They begin with the
// first listener that they can serve.
type loops struct {
	off     bool
	mu      sync.Mutex
	all     []*loop
	running sync.WaitGroup
}

// processors is how many there are for the program, before loops have it use one more.
var processors = runtime.GOMAXPROCS(0)

// begin returns the loops, which it starts if need be; nil when there are none.
func (ls *loops) begin(s *Server) []*loop {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.off || len(ls.all) > 0 {
		return ls.all
	}
	for range processors {
		l, err := newLoop(s)
		if err != nil {
			s.log.Warn("serving clients on goroutines instead of event loops", "error", err)
			for _, l := range ls.all {
				l.closeOwn()
			}
			ls.off, ls.all = true, nil
			return nil
		}
		ls.all = append(ls.all, l)
	}
	for _, l := range ls.all {
		l.others = ls.all
		ls.running.Go(l.run)
	}
	// A loop that waits for events keeps its P for a while: the others need one, too.
	runtime.GOMAXPROCS(processors + 1)
	return ls.all
}

// each posts f to every loop.
func (ls *loops) each(f func(*loop)) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.all {
		l.post(func() { f(l) })
	}
}

// sweep has the loops forget endpoints that are in none of the pools.
func (ls *loops) sweep(pools []*balance.Pool) {
	live := make(map[*balance.Endpoint]bool)
	for _, p := range pools {
		for _, ep := range p.Endpoints() {
			live[ep] = true
		}
	}
	ls.each(func(l *loop) { l.sweep(live) })
}

// drain ends clients that wait between two requests.
func (ls *loops) drain() { ls.each((*loop).drain) }

// cut ends all clients.
func (ls *loops) cut() { ls.each((*loop).cut) }

// stop ends the loops when they have no clients any more.
func (ls *loops) stop() {
	ls.each((*loop).stop)
	ls.running.Wait()
}

// acceptOnLoops has the loops accept the clients of ln until ctx ends, ln is
// closed or the server shuts down; false when they cannot.
func (s *Server) acceptOnLoops(ctx context.Context, id string, ln net.Listener) bool {
	all := s.loops.begin(s)
	if len(all) == 0 {
		return false
	}
	fds := descriptors(ln, len(all))
	if fds == nil {
		return false
	}
	acceptors := make([]*acceptor, len(all))
	for i, l := range all {
		d := &acceptor{id: id, fd: fds[i], port: portOf(ln.Addr())}
		acceptors[i] = d
		l.post(func() {
			if err := l.openAcceptor(d); err != nil {
				s.log.Warn("cannot accept clients", "listener", ln.Addr().String(), "error", err)
			}
		})
	}
	s.untilClosed(ctx, ln)
	var closed sync.WaitGroup
	for i, l := range all {
		closed.Add(1)
		l.post(func() {
			l.closeAcceptor(acceptors[i])
			closed.Done()
		})
	}
	closed.Wait()
	return true
}

// untilClosed returns when no more clients are wanted, and what the kernel has
// completed until then can be accepted: a closed listener would reset it.
func (s *Server) untilClosed(ctx context.Context, ln net.Listener) {
	const grace = 10 * time.Millisecond
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			time.Sleep(grace)
			return
		case <-s.stopping:
			time.Sleep(grace)
			return
		case <-look.C:
			if isClosed(ln) {
				return
			}
		}
	}
}

func isClosed(ln net.Listener) bool {
	raw, err := ln.(syscall.Conn).SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// emptiest is the loop that is to have the next client: l, unless another one has
// clearly fewer of them.
func (l *loop) emptiest() *loop {
	best, load := l, l.load.Load()-crowded
	for _, other := range l.others {
		if n := other.load.Load(); n < load {
			best, load = other, n
		}
	}
	return best
}

// drain gives clients that wait between two requests a last moment to ask. A
// request that is already there is still served.
func (l *loop) drain() {
	for _, s := range l.socks {
		if s == nil {
			continue
		}
		if g, ok := s.owner.(*downstream); ok && !g.pending() && (g.state == downstreamIdle || g.state == downstreamNew && g.seat < 0) && !g.fresh && g.silent() {
			g.awaitBytes(l, farewell)
		}
	}
}

// cut ends all clients.
func (l *loop) cut() {
	for _, s := range l.socks {
		if s != nil {
			if g, ok := s.owner.(*downstream); ok {
				l.lose(g)
			}
		}
	}
}

// stop ends the loop, which has no clients any more.
func (l *loop) stop() {
	l.over = true
	for _, s := range l.socks {
		if s != nil {
			l.close(s)
		}
	}
	for _, p := range l.pipes {
		p.close()
	}
	l.pipes = nil
}
