package admin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bulsa/internal/api"
)

// DefaultAddress is where the admin server listens when nobody says otherwise;
// the next free port when it is taken.
const DefaultAddress = "127.0.0.1:9900"

const portsTried = 100

// ControlListener is the control socket of one project. Accept lets in only
// processes of the same user and of root. It holds the project's lock until Close.
type ControlListener struct {
	*net.UnixListener
	path string
	lock *os.File
}

// ListenControl opens the project's control socket: a folder with mode 0700, a
// socket with mode 0600. Of two bulsas that start the same project at once one
// gets the error that the other runs; the socket of one that died is replaced.
func ListenControl(project string) (*ControlListener, error) {
	if err := api.CheckRuntime(project); err != nil {
		return nil, err
	}
	dir := api.RuntimeDir(project)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the control socket: %w; set BULSA_RUNTIME_DIR to a folder that can be written", err)
	}
	if err := api.CheckRuntime(project); err != nil {
		return nil, err // it was put there meanwhile
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot protect the folder of the control socket: %w", err)
	}
	lock, err := takeLock(project)
	if err != nil {
		return nil, err
	}
	l, err := bind(api.SocketPath(project))
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &ControlListener{UnixListener: l, path: api.SocketPath(project), lock: lock}, nil
}

// takeLock claims the project for this process by flock(2), which ends with the
// process however it ends. The file holds the pid, for messages.
func takeLock(project string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(api.RuntimeDir(project), "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock project %q: %w", project, err)
	}
	err = flock(f)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer f.Close()
		return nil, fmt.Errorf("project %q already runs%s", project, holder(f))
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock project %q: %w", project, err)
	}
	return f, nil
}

// dyingTime is how long a lock is waited for: that of a bulsa that was killed is
// held until the kernel has closed all that it had open.
const (
	dyingTime = 3 * time.Second
	dyingPoll = 10 * time.Millisecond
)

func flock(f *os.File) error {
	for begun := time.Now(); ; time.Sleep(dyingPoll) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(begun) > dyingTime {
			return err
		}
	}
}

func holder(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// bind makes the socket under a name of its own, gives it its mode and only then
// its final name: nobody can connect in between, and an old one is replaced at once.
func bind(path string) (*net.UnixListener, error) {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot open the control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot open the control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(temporary, 0o600)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot open the control socket: %w", err)
	}
	return l, nil
}

// Accept returns the next connection of this user or of root.
func (l *ControlListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(conn)
		if err == nil && (uid == 0 || uid == os.Getuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

// Close removes the socket and gives the project free.
func (l *ControlListener) Close() error {
	if err := l.UnixListener.Close(); err != nil {
		return err // closed before: the path may be another's by now
	}
	err := os.Remove(l.path)
	return errors.Join(err, l.lock.Close())
}

// ListenAdmin opens the admin server's TCP socket. An empty address means
// DefaultAddress, or the next free port when that is taken; an address that was
// asked for is used or is an error. Only loopback addresses are possible.
func ListenAdmin(address string) (net.Listener, error) {
	if address != "" {
		loopback, err := loopbackAddress(address)
		if err != nil {
			return nil, err
		}
		l, err := net.Listen("tcp", loopback)
		if err != nil {
			return nil, fmt.Errorf("--admin %s: %w; choose another port, or --admin off", address, cause(err))
		}
		return l, nil
	}
	first := netip.MustParseAddrPort(DefaultAddress)
	var last error
	for i := range uint16(portsTried) {
		l, err := net.Listen("tcp", netip.AddrPortFrom(first.Addr(), first.Port()+i).String())
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no free port for the admin server from %s on: %w; choose one with --admin, or --admin off", DefaultAddress, cause(last))
}

// loopbackAddress checks what --admin says and gives a bare port its host.
func loopbackAddress(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = "127.0.0.1", address
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return "", fmt.Errorf("--admin %s: not an address: write HOST:PORT, as %s, or off", address, DefaultAddress)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("--admin %s: the admin server listens on loopback addresses only: write 127.0.0.1:%s, or off", address, port)
	}
	return net.JoinHostPort(host, port), nil
}

// cause is the innermost reason: "address already in use".
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
