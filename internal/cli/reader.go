package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// whileRead is ctx that also ends when nobody reads w any more, as in `bulsa logs -f | head -1`:
// without it a command that follows would only notice at its next line.
func whileRead(ctx context.Context, w io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f, ok := w.(*os.File)
	if !ok {
		return ctx, cancel
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return ctx, cancel
	}
	fd := int32(f.Fd())
	go func() {
		defer cancel()
		awaitHangup(ctx, fd)
	}()
	return ctx, cancel
}

// awaitHangup returns when the other end of a pipe is closed (poll(2): POLLERR for a pipe,
// POLLHUP for a socket, which are told without being asked for), or soon after ctx ends.
func awaitHangup(ctx context.Context, fd int32) {
	const again = 500 // ms, to look at ctx
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: fd}}
		n, err := unix.Poll(fds, again)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
