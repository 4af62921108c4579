package proxy

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/h1"
)

const (
	eventsAtOnce = 256
	readAtOnce   = 128 << 10
	// room lies before the bytes that are read, so that a head that has grown can
	// be put in front of its body.
	room = 8 << 10
	// busyWait is how long a loop waits for events without giving its P back to the
	// runtime, which is the cheapest way. See docs/adr/0009-event-loops.md.
	busyWait = 20 * time.Millisecond
	// turns is how often one connection is read before the others have their turn.
	turns = 8
)

// loop serves connections with one goroutine, which owns all that is in it: only
// the mailbox takes a lock. Whatever blocks is done by goroutines that post what
// came of it.
//
// Its edge-triggered epoll tells of each change once. What a connection has to
// say, but nobody wanted yet, is remembered in sock.ready; whoever becomes willing
// to read it queues the connection.
type loop struct {
	server  *Server
	epoll   int
	bell    int // eventfd: rung when something is posted
	mail    mailbox
	ctx     context.Context // ends the goroutines that will post
	cancel  context.CancelFunc
	working sync.WaitGroup // those

	started time.Time
	now     time.Time // of this round
	clock   int64     // the same, in ns since started
	quiet   bool      // nothing has come for a while
	over    bool

	events  []unix.EpollEvent
	buffer  []byte  // what is read: room, then readAtOnce bytes
	out     []byte  // what is being written for a client
	frames  []byte  // chunks that are being written for a worker
	socks   []*sock // by descriptor
	lastGen int32
	queued  []*sock // are read again before the next wait
	batch   batch
	wheel   wheel

	acceptors       map[int]*acceptor      // by descriptor
	others          []*loop                // all of the server
	load            atomic.Int32           // downstreams
	waiting         []*downstream          // for an endpoint
	watching        map[*balance.Pool]bool // somebody will post when it changes
	idlePools       map[*balance.Endpoint]*idlePool
	spare           []*transaction
	pipes           []*pipe
	lastTransaction uint64
	loose           loose      // of the request that is being started
	request         h1.Request // the one that is being read
	origin          h1.Origin
	forward         h1.Forward
	asked           h1.Request // what an answer must know about its request
	answer          h1.Answer
	reply           h1.Reply
	dated           int64  // the second that dateNow names
	dateNow         []byte // for answers without a Date
}

// mailbox takes posts from other goroutines. It has no bound, so that nobody
// waits who posts.
type mailbox struct {
	mu    sync.Mutex
	posts []func()
	shut  bool
}

func newLoop(s *Server) (*loop, error) {
	l := &loop{
		server:    s,
		started:   time.Now(),
		events:    make([]unix.EpollEvent, eventsAtOnce),
		buffer:    make([]byte, room+readAtOnce),
		acceptors: make(map[int]*acceptor),
		watching:  make(map[*balance.Pool]bool),
		idlePools: make(map[*balance.Endpoint]*idlePool),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.batch = newBatch(s.singleCalls)
	l.look()
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make an event loop: epoll_create1: %w", err)
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		_ = unix.Close(l.epoll)
		return nil, fmt.Errorf("cannot make an event loop: eventfd: %w", err)
	}
	if err := l.control(unix.EPOLL_CTL_ADD, l.bell, 0, unix.EPOLLIN|unix.EPOLLET); err != nil {
		l.closeOwn()
		return nil, fmt.Errorf("cannot make an event loop: epoll_ctl: %w", err)
	}
	return l, nil
}

// run is the loop.
func (l *loop) run() {
	for !l.over {
		l.round(l.wait())
	}
	l.cancel()
	l.working.Wait()
	l.readMail() // what was posted meanwhile finds everything closed
	l.closeOwn()
}

// round deals with the first n of events, and with what was due when it asked for
// them: of a loop that was itself held up (a machine that stood still, SIGSTOP), what
// came in time may be among the next.
func (l *loop) round(n int) {
	asked := l.clock
	l.look()
	for from := 0; from < n; from += batchSize {
		l.deal(l.events[from:min(from+batchSize, n)])
	}
	l.wheel.turn(asked, l.late)
	l.readQueued()
	l.sendAll()
}

// deal deals with as many events as fit into a batch.
func (l *loop) deal(events []unix.EpollEvent) {
	if l.batch.ring != nil {
		l.readAhead(events)
	}
	for i := range events {
		l.dispatch(&events[i])
	}
	l.keepEarly()
}

// look reads the clock, once in a round.
func (l *loop) look() {
	l.now = time.Now()
	l.clock = int64(l.now.Sub(l.started))
}

func (l *loop) in(d time.Duration) int64 { return l.clock + int64(d) }

// wait returns the number of events that have come.
func (l *loop) wait() int {
	if l.quiet {
		n, errno := epollWait(syscall.Syscall6, l.epoll, l.events, l.patience(time.Hour))
		l.quiet = n == 0
		return eventsOf(n, errno)
	}
	most := l.patience(busyWait)
	n, errno := epollWait(syscall.RawSyscall6, l.epoll, l.events, most)
	if n == 0 || errno != 0 {
		l.quiet = errno == unix.EINTR || most == busyWait
		runtime.Gosched() // the interruption may have been a wish to stop the world
	}
	return eventsOf(n, errno)
}

func eventsOf(n int, errno syscall.Errno) int {
	if errno != 0 { // EINTR: the descriptor and the buffer are the loop's own
		return 0
	}
	return n
}

// patience is how long the loop may wait: until the next timer, and at most so long.
func (l *loop) patience(most time.Duration) time.Duration {
	if len(l.queued) > 0 {
		return 0
	}
	return l.wheel.next(l.clock, most)
}

func epollWait(call func(trap, a1, a2, a3, a4, a5, a6 uintptr) (uintptr, uintptr, syscall.Errno), epoll int, events []unix.EpollEvent, d time.Duration) (int, syscall.Errno) {
	ms := (d + time.Millisecond - 1) / time.Millisecond
	n, _, errno := call(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(ms), 0, 0)
	return int(n), errno
}

func (l *loop) dispatch(e *unix.EpollEvent) {
	fd := int(e.Fd)
	if fd < len(l.socks) {
		if s := l.socks[fd]; s != nil {
			if s.gen == e.Pad { // else the number has a new owner since
				l.noticed(s, e.Events)
			}
			return
		}
	}
	if fd == l.bell {
		l.readMail()
	} else if d := l.acceptors[fd]; d != nil {
		l.accept(d)
	}
}

// noticed takes what epoll tells of a connection.
func (l *loop) noticed(s *sock, events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.ready = true
	}
	s.ended = s.ended || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	s.broken = s.broken || events&(unix.EPOLLHUP|unix.EPOLLERR) != 0
	if s.armed && events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.owner.writable(l)
	}
	if s.ready && !s.closed {
		s.owner.readable(l)
	}
}

// late is for a connection whose timer has run out.
func (l *loop) late(s *sock) { s.owner.late(l) }

// queue has s read again before the next wait.
func (l *loop) queue(s *sock) {
	if !s.queued && !s.closed {
		s.queued = true
		l.queued = append(l.queued, s)
	}
}

// readQueued reads what is queued now. What that queues waits for the next round,
// in which others come first.
func (l *loop) readQueued() {
	n := len(l.queued)
	for i := range n {
		s := l.queued[i]
		s.queued = false
		if !s.closed {
			s.owner.readable(l)
		}
	}
	l.queued = append(l.queued[:0], l.queued[n:]...)
}

// post has the loop call f. It may be called by any goroutine; after the loop's
// end f is not called any more.
func (l *loop) post(f func()) {
	l.mail.mu.Lock()
	defer l.mail.mu.Unlock()
	if l.mail.shut {
		return
	}
	l.mail.posts = append(l.mail.posts, f)
	if len(l.mail.posts) == 1 {
		_, _ = unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// work runs f beside the loop, which waits for it before it ends.
func (l *loop) work(f func()) { l.working.Go(f) }

func (l *loop) readMail() {
	var count [8]byte
	_, _ = unix.Read(l.bell, count[:])
	l.mail.mu.Lock()
	posts := l.mail.posts
	l.mail.posts = nil
	l.mail.mu.Unlock()
	for _, f := range posts {
		f()
	}
}

func (l *loop) closeOwn() {
	l.mail.mu.Lock()
	l.mail.shut = true
	l.mail.mu.Unlock()
	_ = unix.Close(l.bell)
	_ = unix.Close(l.epoll)
	l.batch.close()
}

func (l *loop) control(op, fd int, gen int32, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: gen}
	return unix.EpollCtl(l.epoll, op, fd, &e)
}
