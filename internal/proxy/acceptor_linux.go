package proxy

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// acceptor is a listening socket on a loop. Each loop has its own descriptor of it.
type acceptor struct {
	id     string
	fd     int
	port   []byte // told to workers; empty: not TCP
	pause  time.Duration
	paused bool
}

const (
	acceptAtOnce = 64
	// crowded is by how many clients a loop may have more than another.
	crowded = 16
)

// openAcceptor starts to accept. All loops wait for the same socket, and the kernel
// wakes one of them for each client.
func (l *loop) openAcceptor(d *acceptor) error {
	l.acceptors[d.fd] = d
	return l.control(unix.EPOLL_CTL_ADD, d.fd, 0, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
}

// closeAcceptor takes those in who have come already, and stops.
func (l *loop) closeAcceptor(d *acceptor) {
	for l.accept(d) {
	}
	delete(l.acceptors, d.fd)
	_ = unix.Close(d.fd)
}

// accept lets clients in; true when there may be more of them.
func (l *loop) accept(d *acceptor) bool {
	for range acceptAtOnce {
		fd, peer, errno := accept(d.fd)
		switch {
		case errno == 0:
			d.pause = 0
			l.admit(d, fd, peer)
		case errno == unix.EAGAIN:
			return false
		case passing(errno) && errno != unix.ECONNABORTED && errno != unix.EINTR:
			l.pauseAcceptor(d, errno)
			return false
		}
	}
	return true
}

// pauseAcceptor waits instead of spinning when there are no descriptors left: the
// kernel keeps the client in the backlog, and would report it again at once.
// What is idle makes room, on all loops.
func (l *loop) pauseAcceptor(d *acceptor, errno syscall.Errno) {
	const longest = time.Second
	if d.paused {
		return
	}
	d.paused, d.pause = true, min(max(2*d.pause, 5*time.Millisecond), longest)
	l.server.log.Warn("cannot accept a client; trying again", "listener", d.id, "error", errno, "pause", d.pause)
	_ = l.control(unix.EPOLL_CTL_DEL, d.fd, 0, 0)
	for _, each := range l.others {
		each.post(each.shed)
	}
	pause := d.pause
	l.work(func() {
		select {
		case <-time.After(pause):
		case <-l.server.stopping:
		}
		l.post(func() {
			d.paused = false
			if l.acceptors[d.fd] == d {
				_ = l.control(unix.EPOLL_CTL_ADD, d.fd, 0, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
			}
		})
	})
}

// shed closes idle connections to workers, and a few clients between two requests.
func (l *loop) shed() {
	const atMost = 32
	for _, s := range l.idlePools {
		s.close(l)
	}
	closed := 0
	for _, s := range l.socks {
		if s == nil || closed == atMost {
			continue
		}
		if g, ok := s.owner.(*downstream); ok && g.state == downstreamIdle && !g.pending() {
			l.lose(g)
			closed++
		}
	}
}

// admit makes a downstream of a client, of this loop or of one with fewer of them.
func (l *loop) admit(d *acceptor, fd int, peer netip.AddrPort) {
	l.server.downstreams.Add(1)
	if to := l.emptiest(); to != l {
		to.post(func() { to.welcome(d, fd, peer) })
		return
	}
	l.welcome(d, fd, peer)
}

// accept is accept4(2), with the client's address if it has one.
func accept(listener int) (fd int, peer netip.AddrPort, errno syscall.Errno) {
	var any unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(any))
	r, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&any)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, peer, errno
	}
	switch any.Addr.Family {
	case unix.AF_INET:
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(&any))
		peer = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), swapped(a.Port))
	case unix.AF_INET6:
		a := (*unix.RawSockaddrInet6)(unsafe.Pointer(&any))
		peer = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), swapped(a.Port))
	}
	return int(r), peer, 0
}

// swapped turns a port in the network's order into a number.
func swapped(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// descriptors makes n descriptors of a listening socket, which its clients
// inherit the settings of; nil when the loops cannot serve it.
func descriptors(ln net.Listener, n int) []int {
	var tcp bool
	switch ln.(type) {
	case *net.TCPListener:
		tcp = true
	case *net.UnixListener:
	default:
		return nil
	}
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	var fds []int
	_ = raw.Control(func(fd uintptr) {
		if tcp {
			prepareTCP(int(fd))
		}
		for range n {
			dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				break
			}
			fds = append(fds, dup)
		}
	})
	if len(fds) < n {
		closeAll(fds)
		return nil
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// prepareTCP sets what net sets for every connection; Linux hands it down.
func prepareTCP(fd int) {
	const seconds, probes = 15, 9
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probes)
}

func portOf(a net.Addr) []byte {
	if t, ok := a.(*net.TCPAddr); ok {
		return slices.Clip(strconv.AppendInt(nil, int64(t.Port), 10))
	}
	return nil
}
