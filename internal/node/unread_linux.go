package node

import (
	"errors"
	"syscall"

	contract "bulsa/internal/upstream"
)

var _ contract.LeftUnread = (*upstream)(nil)

// LeftUnread says whether err, which ended a Read, means that the worker closed
// the connection with bytes in it that it had not read: only then does a stream
// socket of the unix family end with ECONNRESET (unix_release_sock in
// net/unix/af_unix.c). Node reads up to 64 KiB at once and the kernel keeps a
// write of up to 32 KiB together, so a request that was one such write, the only
// one since the last answer, has not been seen at all.
func (u *upstream) LeftUnread(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
