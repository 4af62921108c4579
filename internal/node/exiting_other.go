//go:build !linux

package node

// exiting is not known here; the state of the channel has to do.
func Exiting(int) bool { return false }
