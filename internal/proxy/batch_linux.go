package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many connections are read, or written to, by one system call.
	batchSize = 64
	// batchPiece is how much of each: more goes by a call of its own.
	batchPiece = 4 << 10
)

// batch joins the system calls of a round: what the next events' connections have to
// say is read by one call before their turn, and what is to be said to others is
// written by one call after it.
type batch struct {
	ring   *uring // nil: each receive and each send is a call of its own
	fewest int    // for less, a call of its own is as good
	early  []*sock
	parcel []parcel // waits to be sent
	memory []byte   // what follows
	buffer []byte   // of early, a piece for each
	copies []byte   // what parcels hold that does not lie somewhere else
}

// parcel is what is to be sent to one connection.
type parcel struct {
	to   *sock // nil: it was taken back
	data []byte
}

// early is what was read of a connection ahead of its turn.
type early struct {
	there bool
	data  []byte
	errno syscall.Errno
}

// fewestJoined is from how many receives or sends on one call for all is cheaper.
var fewestJoined = 2

// newBatch makes one without a ring where that cannot be had.
func newBatch(single bool) batch {
	b := batch{fewest: fewestJoined}
	if single {
		return b
	}
	ring, err := newUring(batchSize)
	if err != nil {
		return b
	}
	// Pages that no batch has reached cost nothing.
	const size = batchSize * batchPiece
	b.memory, err = unix.Mmap(-1, 0, 2*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		ring.close()
		return b
	}
	b.ring, b.buffer, b.copies = ring, b.memory[:size], b.memory[size:size]
	b.early, b.parcel = make([]*sock, 0, batchSize), make([]parcel, 0, batchSize)
	return b
}

func (b *batch) close() {
	if b.ring != nil {
		b.ring.close()
		_ = unix.Munmap(b.memory)
	}
}

// readAhead reads what the connections of some events have to say, if they will want
// it in their turn. A connection whose last piece was a large one is left alone: that
// is read into the loop's buffer, all at once.
func (l *loop) readAhead(events []unix.EpollEvent) {
	b := &l.batch
	for i := range events {
		e := &events[i]
		if e.Events&unix.EPOLLIN == 0 || int(e.Fd) >= len(l.socks) {
			continue
		}
		if s := l.socks[e.Fd]; s != nil && s.gen == e.Pad && !s.large && !s.early.there && s.owner.listens() {
			b.early = append(b.early, s)
		}
	}
	if len(b.early) >= b.fewest {
		for i, s := range b.early {
			b.ring.receive(s.fd, b.buffer[i*batchPiece:(i+1)*batchPiece])
		}
		for i, n := range b.ring.run() {
			b.early[i].early = earlyOf(b.buffer[i*batchPiece:], n)
		}
		return
	}
	b.early = b.early[:0]
}

// earlyOf is what a receive of the ring has brought. That there is nothing to read is
// not kept: the connection finds out itself.
func earlyOf(buffer []byte, n int32) early {
	switch {
	case n >= 0:
		return early{there: true, data: buffer[:n]}
	case n == uringNotDone, n == -int32(unix.EAGAIN):
		return early{}
	}
	return early{there: true, errno: syscall.Errno(-n)}
}

// keepEarly is for what was not wanted after all, if that ever happens: its place in
// the buffer is given to others.
func (l *loop) keepEarly() {
	for i, s := range l.batch.early {
		if s.early.there && !s.closed {
			s.early.data = append([]byte(nil), s.early.data...)
			l.queue(s)
		}
		l.batch.early[i] = nil
	}
	l.batch.early = l.batch.early[:0]
}

// postpone has p sent with what else goes out in this round, and says whether it
// will: p must stay as it is until then. What comes of it, sent is told.
func (l *loop) postpone(s *sock, p []byte) bool {
	if !l.mayPostpone(s, p) {
		return false
	}
	l.enqueue(s, p)
	return true
}

// postponeCopy is postpone for a p that is about to change.
func (l *loop) postponeCopy(s *sock, p []byte) bool {
	if !l.mayPostpone(s, p) {
		return false
	}
	n := len(l.batch.copies)
	l.batch.copies = append(l.batch.copies, p...)
	l.enqueue(s, l.batch.copies[n:])
	return true
}

func (l *loop) enqueue(s *sock, p []byte) {
	s.posted = true
	l.batch.parcel = append(l.batch.parcel, parcel{s, p})
}

// mayPostpone makes room for p, if it can wait at all.
func (l *loop) mayPostpone(s *sock, p []byte) bool {
	if l.batch.ring == nil || len(p) > batchPiece || s.posted {
		return false
	}
	if len(l.batch.parcel) == batchSize {
		l.sendAll()
	}
	return true
}

// takeBack has what was postponed not be sent.
func (l *loop) takeBack(s *sock) {
	if !s.posted {
		return
	}
	s.posted = false
	for i := range l.batch.parcel {
		if l.batch.parcel[i].to == s {
			l.batch.parcel[i] = parcel{}
		}
	}
}

// settle sends what was postponed for s, because something else is done with it now.
func (l *loop) settle(s *sock) {
	if s.posted {
		l.sendAll()
	}
}

// sendAll sends what was postponed.
func (l *loop) sendAll() {
	b := &l.batch
	if len(b.parcel) == 0 {
		return
	}
	var results []int32
	if len(b.parcel) >= b.fewest {
		for _, p := range b.parcel {
			fd := -1 // refused by the kernel, to nobody's harm
			if p.to != nil {
				fd = p.to.fd
			}
			b.ring.send(fd, p.data)
		}
		results = b.ring.run()
	}
	for i, p := range b.parcel {
		if p.to != nil {
			p.to.posted = false
			n, errno := sentOf(p, results, i)
			p.to.owner.sent(l, p.data, n, errno)
		}
		b.parcel[i] = parcel{}
	}
	b.parcel, b.copies = b.parcel[:0], b.copies[:0]
}

// sentOf is what came of a parcel's send; it is made now if the ring has not done it.
func sentOf(p parcel, results []int32, i int) (int, syscall.Errno) {
	switch {
	case results == nil, results[i] == uringNotDone:
		return send(p.to.fd, p.data)
	case results[i] == -int32(unix.EAGAIN):
		return 0, 0
	case results[i] < 0:
		return 0, syscall.Errno(-results[i])
	}
	return int(results[i]), 0
}
