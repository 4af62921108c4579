package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// maxFrame is the longest message that a worker may send, in bytes.
	maxFrame = 64 << 20
	// readSize fits many small frames; Node writes with the same size.
	readSize = 64 << 10
	// maxRights is how many descriptors one read can carry. Node sends one at a
	// time; the kernel closes what does not fit.
	maxRights = 16
)

// decoder cuts a stream into frames: one JSON value each, ended by a newline
// (lib/internal/child_process/serialization.js).
type decoder struct {
	buf     []byte
	scanned int // bytes of buf known to hold no newline
	max     int
}

// feed calls each for every frame that p completes, without its newline. A
// frame is valid only during the call. Empty frames are skipped.
func (d *decoder) feed(p []byte, each func(frame []byte)) error {
	d.buf = append(d.buf, p...)
	start := 0
	for {
		i := bytes.IndexByte(d.buf[start+d.scanned:], '\n')
		if i < 0 {
			break
		}
		end := start + d.scanned + i
		if end-start > d.max {
			return d.tooLong()
		}
		if end > start {
			each(d.buf[start:end])
		}
		start, d.scanned = end+1, 0
	}
	d.keep(start)
	if len(d.buf) > d.max {
		return d.tooLong()
	}
	return nil
}

// keep moves the unfinished frame to the front, and lets go of a buffer that
// one long frame has blown up.
func (d *decoder) keep(start int) {
	rest := d.buf[start:]
	switch {
	case start == 0: // a long frame is not copied again for every piece of it
	case len(rest) == 0 && cap(d.buf) > 16*readSize:
		d.buf = nil
	default:
		d.buf = d.buf[:copy(d.buf, rest)]
	}
	d.scanned = len(d.buf)
}

func (d *decoder) tooLong() error {
	return fmt.Errorf("the worker sent a message of more than %d bytes", d.max)
}

// encode makes a frame of v.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v) // never holds a raw newline
	if err != nil {
		return nil, fmt.Errorf("cannot encode a message to the worker: %w", err)
	}
	if len(b) >= maxFrame {
		return nil, fmt.Errorf("a message to the worker is longer than %d bytes", maxFrame)
	}
	return append(b, '\n'), nil
}

// readFrames reads until the stream ends, and returns why. Descriptors that
// come along are closed: nothing in bulsa wants a worker's handle, and the
// worker is told through NODE_HANDLE_ACK that it was taken.
func readFrames(conn *net.UnixConn, each func(frame []byte)) error {
	d := decoder{max: maxFrame}
	buf := make([]byte, readSize)
	oob := make([]byte, unix.CmsgSpace(4*maxRights))
	for {
		n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return err // n is -1 then
		}
		if n == 0 {
			return io.EOF
		}
		closeRights(oob[:oobn])
		if err := d.feed(buf[:n], each); err != nil {
			return err
		}
	}
}

func closeRights(oob []byte) {
	if len(oob) == 0 {
		return
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
}

// writeFrame writes one frame, its descriptor (none: -1) with its first byte.
// sent reports whether any of it left, and so the descriptor too.
func writeFrame(conn *net.UnixConn, frame []byte, fd int) (sent bool, err error) {
	n := 0
	if fd >= 0 {
		n, _, err = conn.WriteMsgUnix(frame, unix.UnixRights(fd), nil)
		if err != nil {
			return false, err
		}
	}
	if n == len(frame) {
		return true, nil
	}
	m, err := conn.Write(frame[n:])
	return n+m > 0, err
}

// refusedByKernel reports errors of sendmsg that concern the descriptor and not
// the channel: too many descriptors in flight (unix(7)), or a bad one.
func refusedByKernel(err error) bool {
	return errors.Is(err, syscall.ETOOMANYREFS) || errors.Is(err, syscall.EBADF) || errors.Is(err, syscall.ENOMEM)
}

// duplicate copies fd for sending. The copy is non-blocking, which libuv expects
// of every socket it is given; the flag belongs to the open file, so the
// original becomes non-blocking as well.
func duplicate(fd uintptr) (int, error) {
	copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot duplicate descriptor %d: %w", fd, err)
	}
	if err := unix.SetNonblock(copied, true); err != nil {
		unix.Close(copied)
		return -1, fmt.Errorf("cannot make descriptor %d non-blocking: %w", fd, err)
	}
	return copied, nil
}
