package inner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"bulsa/internal/api"
)

const (
	// SocketName is the socket in the folder that a container shares with bulsa.
	SocketName = "socket"
	// silence is how long no report may come before the last one is too old.
	silence = 5 * time.Second
	// A sender may report reportsPerSecond times a second and bytesPerSecond much,
	// and a good deal more at once, for what it said while nobody could listen.
	reportsPerSecond, reportsAtOnce = 20, 100
	bytesPerSecond, bytesAtOnce     = 1 << 20, 4 << 20
	// penance is how long somebody is not listened to who sent no report.
	penance = time.Second
)

// Listener is where one container reports.
type Listener struct{ socket *net.UnixListener }

// Listen opens the socket in the folder name of root, which is made where it is
// missing. root must be a folder that nobody else can write; the socket is open
// to every user in the container.
func Listen(root, name string) (*Listener, error) {
	if err := MakeFolder(root, name); err != nil {
		return nil, err
	}
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	// A socket's address is at most some 100 bytes long, whatever root is.
	fresh := fmt.Sprintf("/proc/self/fd/%d/%s.new", dir.Fd(), name)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	socket.SetUnlinkOnClose(false)
	// It gets its mode where the container does not see it, and moves then.
	err = os.Chmod(fresh, 0o666)
	if err == nil {
		err = os.Rename(fresh, filepath.Join(root, name, SocketName))
	}
	if err != nil {
		socket.Close()
		return nil, err
	}
	return &Listener{socket}, nil
}

// MakeFolder makes the folder that a container shares, for all users of it to look into.
func MakeFolder(root, name string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chmod(dir, 0o755) // whatever the umask is
}

// Hear hands over each report, and nil when none are to be expected any more,
// until ctx ends. It listens to one sender at a time. complain gets a line about
// the first one who sends something else.
func (l *Listener) Hear(ctx context.Context, told func(*api.Inside), complain func(error)) {
	defer context.AfterFunc(ctx, func() { l.socket.Close() })()
	defer l.socket.Close()
	for complained := false; ; {
		conn, err := l.socket.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			wait(ctx, penance) // no descriptor is left, for now
			continue
		}
		err = hear(ctx, conn, told)
		conn.Close()
		if errors.Is(err, errMalformed) {
			if !complained {
				complained = true
				complain(err)
			}
			wait(ctx, penance)
		}
	}
}

// hear reads from one sender to its end.
func hear(ctx context.Context, conn net.Conn, told func(*api.Inside)) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reports := newReader(conn)
	number, size := allowance{most: reportsAtOnce, rate: reportsPerSecond}, allowance{most: bytesAtOnce, rate: bytesPerSecond}
	any := false
	defer func() {
		if any && ctx.Err() == nil {
			told(nil)
		}
	}()
	for {
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		r, err := reports.next()
		if err != nil {
			return err
		}
		if now := time.Now(); !number.take(now, 1) || !size.take(now, float64(reports.last)) {
			return fmt.Errorf("%w: so many come that it must be something else", errMalformed)
		}
		any = true
		told(r)
	}
}

// allowance is what somebody may take at once, and gets again with time.
type allowance struct {
	most, rate float64
	left       float64
	at         time.Time // of left; zero: nothing was taken yet
}

func (a *allowance) take(now time.Time, n float64) bool {
	if a.at.IsZero() {
		a.left = a.most
	} else {
		a.left = min(a.most, a.left+now.Sub(a.at).Seconds()*a.rate)
	}
	a.at = now
	a.left -= n
	return a.left >= 0
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
