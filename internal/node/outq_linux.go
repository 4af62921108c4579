package node

import (
	"net"

	"golang.org/x/sys/unix"
)

// unread is how much memory holds what the worker has not read of the channel yet
// (SIOCOUTQ, unix(7)); 0 if the kernel does not tell.
func unread(conn *net.UnixConn) (n int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	if err := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
		return 0
	}
	return n
}
