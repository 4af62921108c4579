// Package listen opens listening sockets, and says clearly why one cannot be had.
package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// InUse is the error of an address that another program listens on.
type InUse struct {
	Network string // tcp, udp or unix
	Address string // the port for a number without host, host:port, or the path
	PID     int    // of the program, when /proc tells; else 0
	Program string // its name, when /proc tells
	err     error
}

func (e *InUse) Error() string {
	who := ""
	if e.PID > 0 {
		who = fmt.Sprintf(" (by PID %d %s)", e.PID, e.Program)
	}
	if e.Network == "unix" {
		return fmt.Sprintf("socket %s is in use%s; choose another path or stop it", e.Address, who)
	}
	return fmt.Sprintf("port %s is in use%s; choose another port or stop it", e.Address, who)
}

func (e *InUse) Unwrap() error { return e.err }

// config probes clients that have fallen silent: the first probe after 15 s.
func config() *net.ListenConfig {
	return &net.ListenConfig{KeepAlive: 15 * time.Second}
}

// Open listens on a TCP port. An empty host means all addresses, IPv6 and IPv4
// on one socket where the kernel has both. Port 0: any free one. network is
// tcp, tcp4 or tcp6. SO_REUSEADDR is set, and the backlog is what the kernel
// allows (net.core.somaxconn), as Go does by itself. The error for a taken port
// is *InUse.
func Open(ctx context.Context, network, host string, port int) (net.Listener, error) {
	if err := checkPort(port); err != nil {
		return nil, err
	}
	ln, err := config().Listen(ctx, network, net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, explain(network, host, port, err)
	}
	return ln, nil
}

// OpenPacket opens a UDP socket, for workers that share one. network is udp,
// udp4 or udp6; host and port as for Open. With reuse the address may be another
// program's, too, if that allows it (SO_REUSEADDR, socket(7)): who listens to
// multicast (mDNS, SSDP) shares a port known to all.
func OpenPacket(ctx context.Context, network, host string, port int, reuse bool) (net.PacketConn, error) {
	if err := checkPort(port); err != nil {
		return nil, err
	}
	c := config()
	if reuse {
		c.Control = reuseAddress
	}
	pc, err := c.ListenPacket(ctx, network, net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, explain(network, host, port, err)
	}
	return pc, nil
}

func reuseAddress(_, _ string, raw syscall.RawConn) error {
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}); err != nil {
		return err
	}
	return set
}

func checkPort(port int) error {
	if port < 0 || port > 65535 {
		return fmt.Errorf("port %d does not exist; choose one from 1 to 65535, or 0 for any that is free", port)
	}
	return nil
}

func explain(network, host string, port int, err error) error {
	address := strconv.Itoa(port)
	if host != "" {
		address = net.JoinHostPort(host, address)
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e := &InUse{Network: network[:3], Address: address, err: err}
		e.PID, e.Program = holder(network[:3], port)
		return e
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("port %s needs more rights; choose one above 1023, or give the program CAP_NET_BIND_SERVICE: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen on %s: this machine does not have the address %s; choose one of its own: %w", address, host, err)
	case errors.As(err, &dns):
		return fmt.Errorf("cannot listen on %s: the host %q is not known; write an address: %w", address, host, err)
	}
	return fmt.Errorf("cannot listen on %s: %w", address, err)
}

// OpenUnix listens on a unix socket. A socket file that nobody answers on is
// left over from a program that died, and is replaced; anything else at path is
// left alone. Closing the listener removes the file.
func OpenUnix(path string) (net.Listener, error) {
	ln, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeStale(path, err); err != nil {
			return nil, err
		}
		ln, err = net.Listen("unix", path)
	}
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EINVAL):
		return nil, fmt.Errorf("cannot listen on %s: the path of a socket has at most about 100 bytes, this one has %d; choose a shorter one: %w", path, len(path), err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cannot listen on %s: its folder does not exist; make it first: %w", path, err)
	}
	return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
}

func removeStale(path string, inUse error) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("cannot listen on %s: a file that is not a socket is there; choose another path or remove it", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return &InUse{Network: "unix", Address: path, err: inUse}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot listen on %s: the socket left there cannot be removed: %w", path, err)
	}
	return nil
}
