//go:build !linux

package admin

import (
	"net"
	"os"
)

// peerUID trusts the modes of the folder and the socket where the kernel is not asked.
func peerUID(*net.UnixConn) (int, error) { return os.Getuid(), nil }
