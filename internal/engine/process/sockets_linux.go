package process

import (
	"bufio"
	"encoding/hex"
	"net"
	"os"
	"strconv"
	"strings"
)

// watchable: this system tells which process listens where.
const watchable = true

// tcpListen is the state of a listening socket in /proc/net/tcp.
const tcpListen = "0A"

// listeners reads all listening TCP sockets of the network namespace, by inode.
func listeners() map[uint64]address {
	found := map[uint64]address{}
	readListeners("/proc/self/net/tcp", found)
	readListeners("/proc/self/net/tcp6", found)
	return found
}

// readListeners stops at the first other socket: the kernel prints the
// listening ones first, and there may be very many others.
func readListeners(file string, found map[uint64]address) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan() // the head line
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != tcpListen {
			return
		}
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		a, ok := parseAddress(fields[1])
		if err == nil && ok {
			found[inode] = a
		}
	}
}

// parseAddress reads "0100007F:1F90": each group of four bytes is a number in
// the machine's byte order, which is little-endian wherever Go runs Linux but s390x and mips.
func parseAddress(s string) (address, bool) {
	host, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	raw, err2 := hex.DecodeString(host)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return address{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
	}
	return address{ip: net.IP(raw), port: int(n)}, true
}

// heldSockets are the sockets that a process holds, by inode.
func heldSockets(pid int) map[uint64]bool {
	base := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(base)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	held := map[uint64]bool{}
	for _, name := range names {
		link, err := os.Readlink(base + "/" + name)
		if err != nil || !strings.HasPrefix(link, "socket:[") {
			continue
		}
		inode, err := strconv.ParseUint(strings.TrimSuffix(link[len("socket:["):], "]"), 10, 64)
		if err == nil {
			held[inode] = true
		}
	}
	return held
}

// waitsUnread reports whether a connection to the address has bytes that nobody has
// read, or was not even accepted.
func waitsUnread(at *net.TCPAddr) bool {
	found := false
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		eachSocket(file, func(local, _ address, fields []string) bool {
			const established = "01"
			_, unread, _ := strings.Cut(fields[4], ":") // tx_queue:rx_queue
			found = fields[3] == established && local.is(at) && strings.Trim(unread, "0") != ""
			return !found
		})
		if found {
			break
		}
	}
	return found
}

// socketBetween is the inode of the socket on this machine that is bound to
// local and connected to remote; 0: none.
func socketBetween(local, remote *net.TCPAddr) uint64 {
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		if inode := findSocket(file, local, remote); inode != 0 {
			return inode
		}
	}
	return 0
}

func findSocket(file string, local, remote *net.TCPAddr) (inode uint64) {
	eachSocket(file, func(a, b address, fields []string) bool {
		if a.is(local) && b.is(remote) {
			inode, _ = strconv.ParseUint(fields[9], 10, 64) // none: 0
			return false
		}
		return true
	})
	return inode
}

// eachSocket reads a table of sockets (proc_pid_net(5)) until f has seen enough.
func eachSocket(file string, f func(local, remote address, fields []string) (more bool)) {
	table, err := os.Open(file)
	if err != nil {
		return
	}
	defer table.Close()
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		local, ok := parseAddress(fields[1])
		remote, ok2 := parseAddress(fields[2])
		if ok && ok2 && !f(local, remote, fields) {
			return
		}
	}
}

func (a address) is(t *net.TCPAddr) bool { return a.port == t.Port && a.ip.Equal(t.IP) }
