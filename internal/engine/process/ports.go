package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// portRest is how long a private port is not given to another run, so that
// late packets and slow restarts of an application do not meet.
const portRest = time.Minute

// portPicker finds free TCP ports on the loopback address.
type portPicker struct {
	mu    sync.Mutex
	given map[int]time.Time
}

func (p *portPicker) pick(now time.Time) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given == nil {
		p.given = map[int]time.Time{}
	}
	for port, at := range p.given {
		if now.Sub(at) > portRest {
			delete(p.given, port)
		}
	}
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("no free port on 127.0.0.1: %w", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if _, ok := p.given[port]; !ok {
			p.given[port] = now
			return port, nil
		}
	}
	return 0, errors.New("no free port on 127.0.0.1 that was not in use a moment ago")
}

// privateListener is a listening socket that a program may take as its own by
// systemd's convention (sd_listen_fds(3)).
type privateListener struct {
	file    *os.File
	address string
	inode   uint64
}

func newPrivateListener() (*privateListener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("no free port on 127.0.0.1: %w", err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &stat); err != nil {
		file.Close()
		return nil, err
	}
	return &privateListener{file: file, address: l.Addr().String(), inode: stat.Ino}, nil
}

func (l *privateListener) close() {
	if l != nil {
		l.file.Close()
	}
}

// dialConnector opens connections to an address of the worker's own.
type dialConnector struct {
	network, address string
	speaks           string // see Speaks
}

// Speaks is "http" or "tcp" where the worker has said so, else "".
func (d dialConnector) Speaks() string { return d.speaks }

func (d dialConnector) Connect(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1} // both ends are on this machine
	return dialer.DialContext(ctx, d.network, d.address)
}
