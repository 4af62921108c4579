package listen

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
)

// firstInherited is SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstInherited = 3

// Inherited takes over the sockets that systemd has opened for this process
// (LISTEN_PID, LISTEN_FDS), in their order; none when there are none. It unsets
// the variables, so that no worker believes that they are meant for it. It is
// to be called once, early.
func Inherited() ([]net.Listener, error) {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	if pid == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, not a number of sockets", count)
	}
	var all []net.Listener
	for fd := firstInherited; fd < firstInherited+n; fd++ {
		ln, err := Adopt(uintptr(fd))
		if err != nil {
			for _, ln := range all {
				_ = ln.Close()
			}
			return nil, fmt.Errorf("cannot use the sockets from systemd: %w", err)
		}
		all = append(all, ln)
	}
	return all, nil
}

// Matches says whether ln is what Open(network "tcp", host, port) would have
// opened. An empty host matches a socket on all addresses only.
func Matches(ln net.Listener, host string, port int) bool {
	a, ok := ln.Addr().(*net.TCPAddr)
	if !ok || a.Port != port {
		return false
	}
	if host == "" {
		return a.IP.IsUnspecified()
	}
	want, err := netip.ParseAddr(host)
	return err == nil && want.Unmap() == a.AddrPort().Addr().Unmap()
}

// MatchesUnix says whether ln listens on the socket at path.
func MatchesUnix(ln net.Listener, path string) bool {
	a, ok := ln.Addr().(*net.UnixAddr)
	return ok && a.Name == path
}
