package inspector

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// listener is a TCP socket that listens.
type listener struct {
	inode   uint64
	address netip.AddrPort
}

// listening returns every listening socket of the process's network, by inode.
// The kernel is asked for these alone where that is possible: its table of all
// sockets (net/tcp) has a line for every connection of the machine, and reading
// some ten thousand takes 20 ms.
func (p *process) listening() (map[uint64]listener, error) {
	if p.sharesNetwork() {
		if found, err := diagnosed(); err == nil {
			return found, nil
		}
	}
	return p.tabled()
}

// sharesNetwork reports whether the process is in bulsa's own network namespace.
func (p *process) sharesNetwork() bool {
	own, err := os.Readlink("/proc/self/ns/net")
	its, err2 := os.Readlink(p.proc("ns/net"))
	return err == nil && err2 == nil && own == its
}

const (
	tcpListen = 10 // include/net/tcp_states.h
	// Sizes of inet_diag_req_v2 and inet_diag_msg (linux/inet_diag.h, sock_diag(7)).
	diagRequest = 56
	diagAnswer  = 72
)

// diagnosed asks the kernel for the listening sockets (sock_diag(7)).
func diagnosed() (map[uint64]listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	// The answer comes while it is asked for; nothing shall hang where it does not.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return nil, err
	}
	found := map[uint64]listener{}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := dump(fd, family, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func dump(fd int, family byte, found map[uint64]listener) error {
	request := make([]byte, unix.NLMSG_HDRLEN+diagRequest)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := request[unix.NLMSG_HDRLEN:]
	body[0], body[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], 1<<tcpListen)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buffer := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			switch {
			case m.Header.Type == unix.NLMSG_DONE:
				return nil
			case m.Header.Type == unix.NLMSG_ERROR || len(m.Data) < diagAnswer:
				return errors.New("the kernel does not tell which sockets listen")
			}
			if l, ok := parseDiag(m.Data); ok {
				found[l.inode] = l
			}
		}
	}
}

// parseDiag reads an inet_diag_msg: the port and address in the network's order.
func parseDiag(b []byte) (listener, bool) {
	raw := b[8:24]
	if b[0] == unix.AF_INET {
		raw = raw[:4]
	}
	address, ok := netip.AddrFromSlice(raw)
	port := binary.BigEndian.Uint16(b[4:])
	return listener{inode: uint64(binary.NativeEndian.Uint32(b[68:])), address: netip.AddrPortFrom(address, port)}, ok
}

// tabled reads the listening sockets out of the table of all (proc_pid_net(5);
// the state 0A is TCP_LISTEN).
func (p *process) tabled() (map[uint64]listener, error) {
	found := map[uint64]listener{}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		text, err := os.ReadFile(p.proc(table))
		if err != nil {
			if table == "net/tcp6" && os.IsNotExist(err) {
				continue // no IPv6 here
			}
			return nil, fmt.Errorf("cannot see the sockets of process %d: %w", p.pid, err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[3] != "0A" {
				continue
			}
			inode, err := strconv.ParseUint(fields[9], 10, 64)
			if address, ok := parseAddress(fields[1]); ok && err == nil {
				found[inode] = listener{inode: inode, address: address}
			}
		}
	}
	return found, nil
}

// parseAddress reads "0100007F:240D": the address in words of the machine's own
// order, the port as a number.
func parseAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	number, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	address, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(address, uint16(number)), ok
}

// owns returns the sockets among some that the process holds.
func (p *process) owns(some map[uint64]listener) (map[uint64]listener, error) {
	own := map[uint64]listener{}
	if len(some) == 0 {
		return own, nil
	}
	links, err := os.ReadDir(p.proc("fd"))
	if err != nil {
		return nil, fmt.Errorf("cannot see the sockets of process %d: %w", p.pid, err)
	}
	for _, link := range links {
		target, err := os.Readlink(p.proc("fd/" + link.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		text, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		inode, _ := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
		if l, ok := some[inode]; ok {
			own[inode] = l
		}
	}
	return own, nil
}
