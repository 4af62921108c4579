package tcpdiag

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What linux/inet_diag.h, linux/sock_diag.h and net/tcp_states.h say.
const (
	groups    = 1<<0 | 1<<2 // bit n-1 of SKNLGRP_INET_TCP_DESTROY (1), SKNLGRP_INET6_TCP_DESTROY (3)
	listening = 10          // TCP_LISTEN

	requestSize = 56 // struct inet_diag_req_v2
	answerSize  = 72 // struct inet_diag_msg
	toState     = 1  // in an answer: to idiag_state
	toSocket    = 4  // in an answer: to struct inet_diag_sockid; in a request 8
	toUnread    = 4 + 48 + 4
)

// Watch has c remember until ctx ends. The kernel tells of every TCP socket of this
// network namespace that it destroys; a filter keeps those that everything was read of
// away. An error means that it does not tell.
func (c *Closed) Watch(ctx context.Context) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	// Load idiag_rqueue; all of a message with another than 0, nothing of one with 0.
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: unix.NLMSG_HDRLEN + toUnread},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, Jf: 0, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups})
	}
	if err != nil {
		unix.Close(fd)
		return os.NewSyscallError("sock_diag", err)
	}
	file := os.NewFile(uintptr(fd), "sock_diag")
	context.AfterFunc(ctx, func() { _ = file.Close() })
	go c.read(file)
	return nil
}

// read ends with the file.
func (c *Closed) read(file *os.File) {
	buffer := make([]byte, 8<<10)
	for {
		n, err := file.Read(buffer)
		switch {
		case err == nil:
			if n >= unix.NLMSG_HDRLEN+answerSize {
				b := buffer[unix.NLMSG_HDRLEN:n]
				c.add(time.Now(), pairIn(b[0], b[toSocket:]), int(binary.NativeEndian.Uint32(b[toUnread:])))
			}
		case isOverrun(err): // some were lost: nobody is told of them
		default:
			return
		}
	}
}

func isOverrun(err error) bool {
	pathError, ok := err.(*os.PathError)
	return ok && pathError.Err == unix.ENOBUFS
}

// pairIn reads a struct inet_diag_sockid.
func pairIn(family byte, b []byte) Pair {
	at := func(b []byte) netip.Addr {
		if family == unix.AF_INET {
			return netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.AddrFrom16([16]byte(b[:16])).Unmap()
	}
	return Pair{
		Owner: netip.AddrPortFrom(at(b[4:]), binary.BigEndian.Uint16(b)),
		Peer:  netip.AddrPortFrom(at(b[20:]), binary.BigEndian.Uint16(b[2:])),
	}
}

// Listens says whether some socket listens at an address of this machine; true also
// where the kernel does not tell.
func Listens(at netip.AddrPort) bool {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	request := make([]byte, unix.NLMSG_HDRLEN+requestSize)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST)
	body := request[unix.NLMSG_HDRLEN:]
	body[0], body[1] = unix.AF_INET6, unix.IPPROTO_TCP
	if at.Addr().Is4() {
		body[0] = unix.AF_INET
	}
	binary.NativeEndian.PutUint32(body[4:], 1<<listening)
	socket := body[8:]
	binary.BigEndian.PutUint16(socket, at.Port())
	copy(socket[4:20], at.Addr().AsSlice())
	binary.NativeEndian.PutUint64(socket[40:], 1<<64-1) // INET_DIAG_NOCOOKIE
	// The kernel answers within the call.
	if unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return true
	}
	answer := make([]byte, 4<<10)
	n, _, err := unix.Recvfrom(fd, answer, unix.MSG_DONTWAIT)
	if err != nil || n < unix.NLMSG_HDRLEN+4 {
		return true
	}
	if binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return n >= unix.NLMSG_HDRLEN+answerSize && answer[unix.NLMSG_HDRLEN+toState] == listening
	}
	return int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])) != -int32(unix.ENOENT)
}
