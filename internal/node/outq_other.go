//go:build !linux

package node

import "net"

// unread is not known here.
func unread(*net.UnixConn) int { return 0 }
