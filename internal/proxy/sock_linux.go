package proxy

import (
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// owner is what a descriptor belongs to: a downstream or an upstream.
type owner interface {
	readable(*loop)
	writable(*loop)
	late(*loop)
	// listens says whether readable would receive at once.
	listens() bool
	// sent goes on after p was postponed: the socket has taken n bytes of it.
	sent(l *loop, p []byte, n int, errno syscall.Errno)
}

// sock is a registered descriptor of a connection.
type sock struct {
	owner  owner
	fd     int
	gen    int32
	ready  bool // there may be something to read: bytes, the end, an error
	ended  bool // the peer has ended its direction, or all is over
	broken bool // both directions are over
	armed  bool // epoll is to tell when it can be written to
	queued bool
	closed bool
	posted bool // it is in batch.parcel
	large  bool // its last piece would not have fitted into one of a batch
	early  early
	timer
}

const always = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET

// register makes fd one of the loop's connections. On an error fd is closed.
func (l *loop) register(s *sock, fd int, o owner) error {
	l.lastGen++
	s.owner, s.fd, s.gen = o, fd, l.lastGen
	if err := l.control(unix.EPOLL_CTL_ADD, fd, s.gen, always); err != nil {
		_ = unix.Close(fd)
		s.closed = true
		return err
	}
	for fd >= len(l.socks) {
		l.socks = slices.Grow(l.socks, fd+64)
		l.socks = l.socks[:cap(l.socks)]
	}
	l.socks[fd] = s
	return nil
}

// unregister takes a connection out of the loop and leaves its descriptor open.
func (l *loop) unregister(s *sock) {
	l.settle(s)
	_ = l.control(unix.EPOLL_CTL_DEL, s.fd, 0, 0)
	l.forget(s)
}

// close ends a connection. Closing the descriptor takes it out of epoll, because
// no other descriptor shares its open file.
func (l *loop) close(s *sock) {
	if s.closed {
		return
	}
	l.settle(s)
	l.forget(s)
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(s.fd), 0, 0)
}

func (l *loop) forget(s *sock) {
	s.closed = true
	l.socks[s.fd] = nil
	l.wheel.remove(s)
}

// arm asks to be told when s can be written to.
func (l *loop) arm(s *sock) {
	if !s.armed && l.control(unix.EPOLL_CTL_MOD, s.fd, s.gen, always|unix.EPOLLOUT) == nil {
		s.armed = true
	}
}

func (l *loop) disarm(s *sock) {
	if s.armed && l.control(unix.EPOLL_CTL_MOD, s.fd, s.gen, always) == nil {
		s.armed = false
	}
}

// receive reads into p. A read that was shorter than p has taken everything; a
// further one would only be told so. p has room for a piece of a batch.
func (s *sock) receive(p []byte) (int, syscall.Errno) {
	var n int
	var errno syscall.Errno
	if s.early.there {
		n, errno, p = copy(p, s.early.data), s.early.errno, p[:batchPiece]
		s.early = early{}
	} else {
		n, errno = recv(s.fd, p, 0)
	}
	switch {
	case errno == unix.EAGAIN:
		s.ready = false
	case n > 0 && n < len(p) && !s.ended:
		s.ready = false
	}
	s.large = n >= batchPiece
	return n, errno
}

// quiet is silent without a system call where the last read has shown it.
func (s *sock) quiet() bool {
	if s.ready && !s.ended && s.silent() {
		s.ready = false
	}
	return !s.ready
}

// silent says whether there is nothing to read and no end.
func (s *sock) silent() bool {
	if s.early.there {
		return false
	}
	var b [1]byte
	_, errno := recv(s.fd, b[:], unix.MSG_PEEK)
	return errno == unix.EAGAIN
}

// recv and send do not block, so the runtime need not know of them.
func recv(fd int, p []byte, flags int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// send returns how much was taken; what did not fit is no error.
func send(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(n), 0
	case unix.EAGAIN:
		return 0, 0
	}
	return 0, errno
}
