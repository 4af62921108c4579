package node

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"bulsa/internal/proc"
	contract "bulsa/internal/upstream"
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
	theirs  uint64 // inode of the worker's end
	opened  bool   // the first bytes have been looked at
	first   []byte // of them, what was not given out yet
	tells   bool
	will    bool // see WillTell
}

// What the data path asks for; that it takes bytes back is Linux's alone.
var (
	_ contract.Observed = (*upstream)(nil)
	_ contract.Teller   = (*upstream)(nil)
	_ contract.Mortal   = (*upstream)(nil)
	_ contract.Recaller = (*upstream)(nil)
)

// greeting are the first bytes of a connection on which the worker tells of what
// it begins: preload/begun.cjs.
const greeting = "bulsa: tells\n"

// Tells says whether the worker gives an interim answer (balance.Begun) to every
// request that must not happen twice, but for upgrades, right before its
// application gets it. It is known once the worker may have read anything.
func (u *upstream) Tells() bool { return u.tells }

// WillTell is what the worker said of its server when it began to listen: that Tells
// will be true.
func (u *upstream) WillTell() bool { return u.will }

// Greeting and CutOff are what Read knows, for those who read the descriptor
// themselves: the first bytes, if they are these, mean that Tells is true.
func (u *upstream) Greeting() string { return greeting }

// CutOff says, after the end of the stream, whether the worker died with the
// connection open: then what came is not all.
func (u *upstream) CutOff() bool { return proc.Exiting(u.channel.PID()) || u.channel.Gone() }

// Died says, after the end of the stream, whether the worker has ended.
func (u *upstream) Died() bool { return u.CutOff() }

func (u *upstream) Read(b []byte) (int, error) {
	if !u.opened {
		if err := u.open(); err != nil {
			return 0, err
		}
	}
	if len(u.first) > 0 {
		n := copy(b, u.first)
		u.first = u.first[n:]
		return n, nil
	}
	return u.read(b)
}

// open takes the greeting off the connection, if there is one.
func (u *upstream) open() error {
	buf := make([]byte, 512)
	for len(u.first) < len(greeting) && strings.HasPrefix(greeting, string(u.first)) {
		n, err := u.read(buf)
		u.first = append(u.first, buf[:n]...)
		if err != nil && n == 0 {
			if len(u.first) == 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			break // the next read meets the same end
		}
	}
	u.first, u.tells = bytes.CutPrefix(u.first, []byte(greeting))
	u.opened = true
	return nil
}

func (u *upstream) read(b []byte) (int, error) {
	n, err := u.UnixConn.Read(b)
	if err == io.EOF && u.CutOff() {
		err = errCutOff
	}
	return n, err
}

// Gone asks the kernel whether the worker's end of the channel is closed; the
// channel's reader may not have come that far.
func (c *Channel) Gone() bool {
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
