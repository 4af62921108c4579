//go:build !linux

package process

import "net"

// watchable: this system does not tell which process listens where, so only
// $PORT can be tried.
const watchable = false

func listeners() map[uint64]address { return nil }

func heldSockets(int) map[uint64]bool { return nil }

// socketBetween finds no socket here, so no connection counts as a command's.
func socketBetween(_, _ *net.TCPAddr) uint64 { return 0 }

// waitsUnread is not known here.
func waitsUnread(*net.TCPAddr) bool { return false }
