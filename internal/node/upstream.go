package node

import (
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// errCutOff is the end of a connection whose worker died with it open.
var errCutOff = errors.New("the worker died with the connection open")

// upstream is bulsa's end of a connection that Connect made. An answer without
// a length ends where its connection ends, and a worker that is killed ends the
// connection as cleanly as one that is done. Only the worker's own state tells
// the one from the other.
type upstream struct {
	*net.UnixConn
	channel *Channel
}

func (u *upstream) Read(b []byte) (int, error) {
	n, err := u.UnixConn.Read(b)
	if err == io.EOF && (exiting(u.channel.PID()) || u.channel.hungUp()) {
		err = errCutOff
	}
	return n, err
}

// hungUp asks the kernel whether the worker's end of the channel is closed; the
// channel's reader may not have come that far.
func (c *Channel) hungUp() bool {
	select {
	case <-c.done:
		return true
	default:
	}
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return true
	}
	hung := false
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP needs no asking, poll(2)
		n, err := unix.Poll(poll, 0)
		hung = err == nil && n > 0 && poll[0].Revents&unix.POLLHUP != 0
	})
	return err != nil || hung
}
