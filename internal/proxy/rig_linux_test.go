package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"bulsa/internal/balance"
)

// rig is a loop whose rounds the test turns, between a client and a worker that
// are the test's own ends of socketpairs. Nothing in it depends on time.
type rig struct {
	t      testing.TB
	loop   *loop
	pool   *balance.Pool
	ep     *balance.Endpoint
	client int // -1: closed

	greets, promises bool // the worker may greet, and says that it will

	mu     sync.Mutex // a downstream that was handed over connects on a goroutine
	worker []int      // the connections that were opened, the last one last
}

// Connect implements balance.Connector.
func (r *rig) Connect(context.Context) (net.Conn, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	fd, err := duplicate(theirs)
	_ = theirs.Close()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.worker = append(r.worker, fd)
	if r.greets {
		return greeter{deafConn{ours}, r.promises}, nil
	}
	return ours, nil
}

func init() { fewestJoined = 1 } // one of a rig's connections alone goes by the ring, too

func newRig(t testing.TB) *rig {
	pool, err := balance.NewPool("round_robin")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, pool: pool, client: -1}
	r.ep = endpoint("app.1", r)
	pool.Publish([]*balance.Endpoint{r.ep})
	s := settings()
	s.Hold = 0
	server := New(Config{SingleCalls: singleCalls})
	server.SetTable(Table{"app:80": NewListener(Route{Service: "app", Port: "80", Pool: pool, Settings: s})})
	if r.loop, err = newLoop(server); err != nil {
		t.Fatal(err)
	}
	return r
}

// connect makes the client a downstream.
func (r *rig) connect() {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	r.client = fds[0]
	r.loop.server.downstreams.Add(1)
	r.loop.welcome(&acceptor{id: "app:80"}, fds[1], netip.AddrPort{})
	r.settle()
}

// settle turns until there is nothing left to do but to wait.
func (r *rig) settle() {
	for range 1000 {
		if n := r.turn(); n == 0 && len(r.loop.queued) == 0 {
			return
		}
	}
	r.t.Fatal("the loop does not come to rest")
}

// turn is one round, with so many events.
func (r *rig) turn() int {
	r.loop.working.Wait()
	n, errno := epollWait(syscall.RawSyscall6, r.loop.epoll, r.loop.events, 0)
	r.loop.round(eventsOf(n, errno))
	return n
}

// pass lets time pass while the loop waits.
func (r *rig) pass(d time.Duration) {
	r.loop.started = r.loop.started.Add(-d)
	r.loop.look()
}

func (r *rig) say(fd int, text string) {
	for len(text) > 0 && fd >= 0 {
		n, errno := send(fd, []byte(text))
		if errno != 0 {
			return // the other side has closed it
		}
		text = text[n:]
		r.settle()
	}
}

// heard is what has come, and whether that was all.
func (r *rig) heard(fd int) (text string, ended bool) {
	var all strings.Builder
	buf := make([]byte, 64<<10)
	for {
		n, errno := recv(fd, buf, 0)
		if n <= 0 {
			return all.String(), !errors.Is(errno, unix.EAGAIN)
		}
		all.Write(buf[:n])
		r.settle()
	}
}

// last is the worker's end of the connection that was opened last; -1: none.
func (r *rig) last() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.worker) == 0 {
		return -1
	}
	return r.worker[len(r.worker)-1]
}

func (r *rig) hangUp() {
	if r.client >= 0 {
		_ = unix.Close(r.client)
		r.client = -1
	}
	r.settle()
}

func (r *rig) workerEnds() {
	r.mu.Lock()
	for _, fd := range r.worker {
		_ = unix.Close(fd)
	}
	r.worker = nil
	r.mu.Unlock()
	r.settle()
}

// mustBeClean: when both sides are gone, nothing is left of them.
func (r *rig) mustBeClean() {
	r.t.Helper()
	r.hangUp()
	r.workerEnds()
	r.workerEnds() // one more may have been opened for a request behind another
	l := r.loop
	for fd, s := range l.socks {
		if s != nil {
			r.t.Errorf("descriptor %d is still served: %+v", fd, s.owner)
		}
	}
	r.mustComeToNothing("clients on goroutines", func() int64 {
		r.workerEnds() // also those that were opened just now
		l.server.mu.Lock()
		defer l.server.mu.Unlock()
		return int64(len(l.server.clients))
	})
	r.mustComeToNothing("requests under way", l.server.stats.service("app").tries.InFlight.Load)
	r.mustComeToNothing("requests at the worker", func() int64 { return int64(r.ep.InFlight()) })
	r.mustComeToNothing("clients", l.server.stats.service("app").OpenClients.Load)
	r.mustComeToNothing("downstreams of the loop", func() int64 { return int64(l.load.Load()) })
	r.mustComeToNothing("downstreams of the server", l.server.downstreams.Load)
	if len(l.waiting) != 0 {
		r.t.Errorf("%d wait", len(l.waiting))
	}
	for _, k := range l.wheel.slots {
		for ; k != nil; k = k.next {
			r.t.Errorf("a timer of %+v is left", k.owner)
		}
	}
	l.stop()
	l.cancel()
	l.closeOwn()
}

// mustComeToNothing waits, because a connection that was passed on whole (TLS) is
// counted until the goroutine that carries it has seen its end.
func (r *rig) mustComeToNothing(what string, count func() int64) {
	r.t.Helper()
	for end := time.Now().Add(5 * time.Second); count() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Errorf("%d %s are left", count(), what)
			return
		}
	}
}

// talk is a request and its answer, and what the client must have got of it.
var talks = []struct{ name, request, answer, got string }{
	{"length", "GET /a?b HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{"body", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"HTTP/1.1 204 No Content\r\nB: c\r\n\r\n", "HTTP/1.1 204 No Content\r\nB: c\r\n\r\n"},
	{"chunks", "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"},
}

// plain takes the framing out of an answer: it depends on how the bytes came.
func plain(text string) string {
	_, body, _ := strings.Cut(text, "Transfer-Encoding: chunked\r\n")
	var out strings.Builder
	for _, line := range strings.Split(body, "\r\n") {
		if len(line) > 0 && len(line) < 8 && strings.Trim(line, "0123456789abcdef") != "" {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestRequestsAndAnswersMayComeInPieces(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	for _, talk := range talks {
		t.Run(talk.name, func(t *testing.T) {
			for cut := range len(talk.request) + len(talk.answer) {
				r := newRig(t)
				r.connect()
				at := min(cut, len(talk.request))
				r.say(r.client, talk.request[:at])
				r.say(r.client, talk.request[at:])
				if r.last() < 0 {
					t.Fatalf("cut at %d: the worker was not asked", cut)
				}
				at = max(cut-len(talk.request), 0)
				r.say(r.last(), talk.answer[:at])
				r.say(r.last(), talk.answer[at:])
				got, ended := r.heard(r.client)
				if ended || !strings.Contains(strings.ReplaceAll(got, date(got), ""), talk.got) && !strings.Contains(plain(got), talk.got) {
					t.Fatalf("cut at %d: %q (ended: %v)", cut, got, ended)
				}
				if talk.name == "chunks" && !strings.HasSuffix(got, "0\r\n\r\n") {
					t.Fatalf("cut at %d: not ended: %q", cut, got)
				}
				r.mustBeClean()
			}
		})
	}
}

// date is the line that the proxy adds for a worker that gives no Date.
func date(answer string) string {
	i := strings.Index(answer, "Date: ")
	if i < 0 {
		return "\x00"
	}
	return answer[i : i+strings.Index(answer[i:], "\r\n")+2]
}

func TestEitherSideMayEndAtAnyByte(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	for _, talk := range talks {
		t.Run(talk.name, func(t *testing.T) {
			for cut := range len(talk.request) + len(talk.answer) {
				for _, leaves := range []func(*rig){(*rig).hangUp, (*rig).workerEnds, func(r *rig) { r.workerEnds(); r.hangUp() }} {
					r := newRig(t)
					r.connect()
					r.say(r.client, talk.request[:min(cut, len(talk.request))])
					if cut > len(talk.request) {
						r.say(r.last(), talk.answer[:cut-len(talk.request)])
					}
					leaves(r)
					r.mustBeClean()
				}
			}
		})
	}
}

// TestALoopThatWasHeldUpBlamesNobody: the answer came in time, but the loop did not
// look for longer than it waits for one.
func TestALoopThatWasHeldUpBlamesNobody(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	r := newRig(t)
	r.connect()
	r.say(r.client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	n, errno := epollWait(syscall.RawSyscall6, r.loop.epoll, r.loop.events, 0)
	if _, failed := send(r.last(), []byte(answer)); failed != 0 {
		t.Fatal(failed)
	}
	r.loop.started = r.loop.started.Add(-settings().AnswerTimeout - time.Second)
	r.loop.round(eventsOf(n, errno))
	r.settle()
	if got, _ := r.heard(r.client); !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
		t.Errorf("%q", got)
	}
	r.mustBeClean()
}

// TestTheEndOfABodyIsNotTakenForARequest: what the worker's socket had no room for is
// sent while the answer comes, in the same round. The worker has been asked by then. (A
// client whose answer begins before its request has ended is told that the connection ends.)
func TestTheEndOfABodyIsNotTakenForARequest(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	const (
		ask  = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		size = 1000
		last = "0\r\n\r\n"
	)
	piece := fmt.Sprintf("%x\r\n%s\r\n", size, strings.Repeat("b", size))
	begin := func() (*rig, *transaction) {
		r := newRig(t)
		r.connect()
		r.say(r.client, ask)
		for _, s := range r.loop.socks {
			if s != nil {
				if g, is := s.owner.(*downstream); is {
					return r, g.transaction
				}
			}
		}
		t.Fatal("no request is under way")
		return nil, nil
	}
	fits := 0
	for r, under := begin(); ; fits++ {
		if r.say(r.client, piece); !under.flushed() {
			r.mustBeClean()
			break
		}
	}
	for _, answering := range []bool{false, true} {
		r, under := begin()
		for range fits {
			r.say(r.client, piece)
		}
		if answering {
			r.say(r.last(), head)
		}
		r.say(r.client, piece+last)
		if under.flushed() || !under.complete || !under.forgotten {
			t.Fatalf("not in the state it is about: %+v", under)
		}
		got, buf := 0, make([]byte, 64<<10)
		for n := 1; n > 0; got += n {
			n, _ = recv(r.last(), buf, 0)
		}
		answer := "5\r\nhello\r\n0\r\n\r\n"
		if !answering {
			answer = head + answer
		}
		r.say(r.last(), answer)
		rest, _ := r.heard(r.last())
		if whole := len(piece)*(fits+1) + len(last); got+len(rest) < whole || !strings.HasSuffix(rest, last) {
			t.Errorf("answering %v: the worker has %d bytes, %q the last", answering, got+len(rest), rest[max(len(rest)-20, 0):])
		}
		if got, ended := r.heard(r.client); ended != answering || !strings.HasPrefix(got, "HTTP/1.1 200 OK") || plain(got) != "hello" {
			t.Errorf("answering %v: the client has %q (ended: %v)", answering, got, ended)
		}
		r.mustBeClean()
	}
}

// FuzzLoop plays clients and workers who say and do anything in any order. The
// loop must neither panic nor forget anything.
func FuzzLoop(f *testing.F) {
	for _, talk := range talks {
		f.Add([]byte(talk.request), []byte(talk.answer), []byte{5, 10, 200, 3, 90})
		f.Add([]byte(talk.request+talk.request), []byte(talk.answer+talk.answer), []byte{255, 255, 255, 0, 1, 2})
	}
	f.Add([]byte("\x16&&0"), []byte("X"), []byte("\x16\x8bI ")) // TLS, passed on whole
	f.Fuzz(func(t *testing.T, request, answer, steps []byte) {
		r := newRig(t)
		if len(steps)%2 == 1 {
			r.loop.batch.close()
			r.loop.batch = newBatch(true)
		}
		r.connect()
		for _, step := range steps[:min(len(steps), 32)] {
			n := int(step >> 3)
			switch step % 8 {
			case 0, 1, 2:
				n = min(n*4, len(request))
				r.say(r.client, string(request[:n]))
				request = request[n:]
			case 3, 4, 5:
				n = min(n*4, len(answer))
				r.say(r.last(), string(answer[:n]))
				answer = answer[n:]
			case 6:
				if n%2 == 0 {
					r.workerEnds()
				} else if r.client >= 0 {
					_ = unix.Shutdown(r.client, unix.SHUT_WR)
					r.settle()
				}
			case 7:
				r.pass(time.Duration(n) * time.Second / 4)
				r.settle()
			}
		}
		r.mustBeClean()
	})
}
