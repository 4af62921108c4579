package ports

import (
	"context"
	"net"
	"slices"
	"syscall"

	"bulsa/internal/engine"
)

// socket is one public socket.
type socket struct {
	id        string
	users     []user // one, or those that share a published port; never changed, but replaced
	published bool   // else a worker asked for it
	listener  net.Listener
	path      *path          // of a unix socket; nil: it is none
	packet    net.PacketConn // UDP
	shared    bool           // the workers accept themselves: bulsa only holds it
	served    bool
	stop      context.CancelFunc // ends Serve
	ended     chan struct{}      // closed when Serve has returned
	face      *face              // nil: it speaks no TLS
	datagrams net.PacketConn     // of the same port, for HTTP/3
	ending    context.CancelFunc // ends HTTP/3; nil: it has not begun
}

// user is a service behind a socket.
type user struct {
	service string
	port    engine.Port
	target  int  // as it is published; 0: none
	number  int  // of the service's ports; -1: one that a worker asked for
	joined  bool // it has joined the pool of another one, and no route of its own
}

// use is how a service is behind the socket.
func (s *socket) use(service string) (user, bool) {
	i := slices.IndexFunc(s.users, func(u user) bool { return u.service == service })
	if i < 0 {
		return user{}, false
	}
	return s.users[i], true
}

// close returns when the address is free again.
func (s *socket) close() {
	s.hangUp()
	s.stopServing()
	if s.path != nil {
		s.path.remove()
	}
	if s.listener != nil {
		s.listener.Close()
	}
	if s.packet != nil {
		s.packet.Close()
	}
}

// stopServing returns when nothing is accepted any more.
func (s *socket) stopServing() {
	if s.served {
		s.stop()
		<-s.ended
	}
	s.served = false
}

// address is what the socket is bound to, for people.
func (s *socket) address() string {
	if s.packet != nil {
		return s.packet.LocalAddr().String() + "/udp"
	}
	if s.listener.Addr().Network() == "unix" {
		return "unix:" + s.listener.Addr().String()
	}
	return s.listener.Addr().String()
}

func (s *socket) number() int {
	if s.listener != nil {
		if a, ok := s.listener.Addr().(*net.TCPAddr); ok {
			return a.Port
		}
		return 0
	}
	return s.packet.LocalAddr().(*net.UDPAddr).Port
}

// descriptor returns the socket's descriptor; it stays valid while the socket is open.
func descriptor(s *socket) uintptr {
	var conn any = s.listener
	if s.packet != nil {
		conn = s.packet
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	var fd uintptr
	raw.Control(func(f uintptr) { fd = f })
	return fd
}
