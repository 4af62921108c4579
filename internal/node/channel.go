package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Errors of Connect, Pass, Disconnect and Send.
var (
	// ErrDown: the channel to the worker is closed.
	ErrDown = errors.New("the channel to the worker is closed")
	// ErrRefused: the worker did not take the connection (its server is closed, or full).
	ErrRefused = errors.New("the worker refused the connection")
	// ErrUncertain, from Pass only: the connection was sent, and ctx ended (or
	// Close was called) before the worker's answer. It may serve it yet, so
	// the connection must not be given to another worker.
	ErrUncertain = errors.New("the worker may have taken the connection")
)

var errFull = errors.New("the worker does not read its channel")

const (
	// maxQueue is how many bytes may wait for a worker that does not read.
	maxQueue = 16 << 20
	// lastWords is how long a channel that cannot be written to any more is
	// still read: what the worker sent before it died is already there.
	lastWords = time.Second
	// unreadLook is how often a handle that must come alone is held back to see
	// whether all before it has been read.
	unreadLook = time.Millisecond
)

// Channel is the line to one worker.
type Channel struct {
	primary *Primary
	worker  int
	conn    *net.UnixConn
	handler Handler
	pid     atomic.Int64
	signal  atomic.Bool
	alone   atomic.Bool // a handle must not be read together with what was written before it
	loop    questions

	wake    chan struct{} // something is queued
	done    chan struct{} // the channel is down
	written chan struct{} // the writer has ended

	held map[string]held // servers of the worker; owned by the reader

	mu     sync.Mutex
	seq    int
	queue  []*outgoing
	queued int                   // bytes in queue
	passed map[int]chan<- answer // newconns without an answer, by seq
	tells  map[string]bool       // by server: it says what it begins over passed connections
	broken bool                  // nothing can be written any more
	closed bool                  // by us, not by the worker
	reason error                 // why it was closed by us; nil: Close
}

// outgoing is one frame on its way to the worker.
type outgoing struct {
	frame []byte
	fd    int // goes with the frame and is closed then; -1: none
	seq   int // of a newconn; -1: nobody waits
}

// answer is the end of a newconn: accepted (nil), or why not.
type answer struct {
	err       error
	uncertain bool // the worker may take it all the same
}

func newChannel(p *Primary, worker int, conn *net.UnixConn, h Handler) *Channel {
	return &Channel{
		primary: p, worker: worker, conn: conn, handler: h,
		wake: make(chan struct{}, 1), done: make(chan struct{}), written: make(chan struct{}),
		held: make(map[string]held), passed: make(map[int]chan<- answer), tells: make(map[string]bool),
	}
}

// Connect makes a socketpair, passes one end as a new connection of the server
// key, waits for the worker's acceptance and returns the other end. An error
// means that the worker will read nothing from it.
func (c *Channel) Connect(ctx context.Context, key string) (net.Conn, error) {
	fds, err := socketpair()
	if err != nil {
		return nil, err
	}
	ours := os.NewFile(uintptr(fds[0]), "upstream")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		unix.Close(fds[1])
		return nil, fmt.Errorf("cannot use a socketpair: %w", err)
	}
	theirs := inode(fds[1])
	if a := c.handOver(ctx, key, fds[1], true); a.err != nil {
		conn.Close() // a worker that accepts it later finds it ended
		return nil, c.explain(a.err)
	}
	return &upstream{UnixConn: conn.(*net.UnixConn), channel: c, theirs: theirs, will: c.willTell(key)}, nil
}

func (c *Channel) willTell(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tells[key]
}

// setTells also forgets a server, by false.
func (c *Channel) setTells(key string, tells bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tells {
		c.tells[key] = true
	} else {
		delete(c.tells, key)
	}
}

// Pass hands over a client's connection; see balance.Passer. fd is duplicated.
func (c *Channel) Pass(ctx context.Context, key string, fd uintptr) error {
	copied, err := duplicate(fd)
	if err != nil {
		return err
	}
	a := c.handOver(ctx, key, copied, false)
	if a.uncertain {
		a.err = fmt.Errorf("%w: %w", ErrUncertain, a.err)
	}
	return c.explain(a.err)
}

// Disconnect asks the worker to close its servers and end when idle.
func (c *Channel) Disconnect() error {
	return c.explain(c.cluster(plain{"act": "disconnect"}))
}

// Send sends a user message (process.on('message')). It does not wait.
func (c *Channel) Send(m any) error {
	frame, err := encode(m)
	if err != nil {
		return err
	}
	return c.explain(c.enqueue(&outgoing{frame: frame, fd: -1, seq: -1}))
}

// PID is the process that speaks at the other end, as our preload reports it:
// behind a wrapper not the one that was started. 0: not known (yet).
func (c *Channel) PID() int { return int(c.pid.Load()) }

// HandlesSignal reports whether the application handles SIGUSR1 itself, or did,
// so that the signal does not open Node's inspector.
func (c *Channel) HandlesSignal() bool { return c.signal.Load() }

// Close ends the channel; the worker exits when it notices.
func (c *Channel) Close() error {
	c.fail(nil)
	return nil
}

// fail closes the channel from our side; reason goes to Handler.Down.
func (c *Channel) fail(reason error) {
	c.mu.Lock()
	if !c.closed {
		c.closed, c.reason = true, reason
	}
	c.mu.Unlock()
	c.conn.Close() // wakes both goroutines; nothing is left to do about an error
}

func (c *Channel) explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("node worker %d: %w", c.worker, err)
}

// handOver sends fd, which it owns, as a new connection of the server key and
// waits for the worker's answer.
func (c *Channel) handOver(ctx context.Context, key string, fd int, ours bool) answer {
	ended := make(chan answer, 1)
	out, err := c.newconn(key, fd, ours, ended)
	if err != nil {
		unix.Close(fd)
		return answer{err: err}
	}
	select {
	case a := <-ended:
		return a
	case <-ctx.Done():
	}
	sent := !c.withdraw(out)
	select {
	case a := <-ended: // at the same moment
		return a
	default:
		return answer{err: context.Cause(ctx), uncertain: sent}
	}
}

// newconn queues a newconn. ours marks the connections that only bulsa writes
// to: the preload believes what their headers say about the client.
func (c *Channel) newconn(key string, fd int, ours bool, ended chan<- answer) (*outgoing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := plain{"cmd": cmdCluster, "act": "newconn", "key": key, "seq": c.seq}
	if ours {
		m["bulsa"] = true
	}
	frame, err := encode(withHandle(m, "net.Native"))
	if err != nil {
		return nil, err
	}
	out := &outgoing{frame: frame, fd: fd, seq: c.seq}
	if err := c.push(out); err != nil {
		return nil, err
	}
	c.passed[c.seq] = ended
	c.seq++
	return out, nil
}

// withdraw takes a newconn back whose caller has stopped waiting. false: it
// has left already.
func (c *Channel) withdraw(out *outgoing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.passed, out.seq)
	i := slices.Index(c.queue, out)
	if i < 0 {
		return false
	}
	c.queue = slices.Delete(c.queue, i, i+1)
	c.queued -= len(out.frame)
	unix.Close(out.fd)
	return true
}

// cluster queues a message of the cluster protocol.
func (c *Channel) cluster(m plain) error { return c.clusterWith(m, -1, "") }

// clusterWith queues a message of the cluster protocol with a descriptor (-1:
// none), which it owns from now on.
func (c *Channel) clusterWith(m plain, fd int, kind string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	m["cmd"], m["seq"] = cmdCluster, c.seq
	c.seq++
	whole := m
	if fd >= 0 {
		whole = withHandle(m, kind)
	}
	frame, err := encode(whole)
	if err == nil {
		err = c.push(&outgoing{frame: frame, fd: fd, seq: -1})
	}
	if err != nil && fd >= 0 {
		unix.Close(fd)
	}
	return err
}

func (c *Channel) enqueue(out *outgoing) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.push(out)
}

// push is called with mu held.
func (c *Channel) push(out *outgoing) error {
	if c.broken {
		return ErrDown
	}
	if c.queued > 0 && c.queued+len(out.frame) > maxQueue {
		return errFull
	}
	c.queue = append(c.queue, out)
	c.queued += len(out.frame)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// write is the writing goroutine: it sends what is queued until the channel is
// down.
func (c *Channel) write() {
	defer close(c.written)
	for {
		out, later := c.next()
		if out == nil {
			select {
			case <-c.wake:
			case <-later:
			case <-c.done:
				return
			}
			continue
		}
		sent, err := writeFrame(c.conn, out.frame, out.fd)
		if out.fd >= 0 {
			unix.Close(out.fd)
		}
		switch {
		case err == nil:
		case !sent && refusedByKernel(err):
			c.settle(out.seq, answer{err: err})
		default:
			c.breakOff()
			if !sent {
				c.settle(out.seq, answer{err: ErrDown})
			}
			return
		}
	}
}

// next is what is to be written now, or when to look again: a runtime that takes
// handles alone gets one only when it has read all that came before.
func (c *Channel) next() (out *outgoing, later <-chan time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return nil, nil
	}
	out = c.queue[0]
	if out.fd >= 0 && c.alone.Load() && unread(c.conn) > 0 {
		return nil, time.After(unreadLook)
	}
	c.queue[0] = nil
	c.queue = c.queue[1:]
	c.queued -= len(out.frame)
	return out, nil
}

// breakOff stops writing for good: what is queued has not been sent, so whoever
// waits for it may go elsewhere at once. The reader goes on for the answers
// that the worker gave before its end.
func (c *Channel) breakOff() {
	c.mu.Lock()
	queue := c.queue
	c.queue, c.queued, c.broken = nil, 0, true
	c.mu.Unlock()
	for _, out := range queue {
		if out.fd >= 0 {
			unix.Close(out.fd)
		}
		c.settle(out.seq, answer{err: ErrDown})
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(lastWords)) // fails on a closed connection: nothing to read then
}

// settle ends a newconn.
func (c *Channel) settle(seq int, a answer) {
	c.mu.Lock()
	ended := c.passed[seq]
	delete(c.passed, seq)
	c.mu.Unlock()
	if ended != nil {
		ended <- a
	}
}

// settleAll ends every newconn that was sent and not answered.
func (c *Channel) settleAll(a answer) {
	c.mu.Lock()
	passed := c.passed
	c.passed = make(map[int]chan<- answer)
	c.mu.Unlock()
	for _, ended := range passed {
		ended <- a
	}
}

// read is the reading goroutine: it calls the handler until the worker ends.
func (c *Channel) read() {
	err := readFrames(c.conn, c.receive)
	c.breakOff()
	c.conn.Close()
	close(c.done)
	<-c.written
	c.mu.Lock()
	closed, reason := c.closed, c.reason
	c.mu.Unlock()
	// A worker answers before it reads, so one that has ended has read nothing.
	// One that we let go may still live.
	c.settleAll(answer{err: ErrDown, uncertain: closed})
	switch {
	case closed:
		err = reason
	case expected(err):
		err = nil
	}
	c.handler.Down(err)
}

// expected reports the ways in which a channel ends with its worker.
func expected(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, os.ErrDeadlineExceeded)
}
