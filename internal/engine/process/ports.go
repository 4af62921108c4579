package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// portRest is how long a private port is not given to another run, so that
// late packets and slow restarts of an application do not meet.
const portRest = time.Minute

// portPicker finds TCP ports that are free on every address: a program may listen
// on more than loopback.
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
		l, err := net.Listen("tcp", ":0")
		if err != nil {
			return 0, fmt.Errorf("no free port: %w", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if _, ok := p.given[port]; !ok {
			p.given[port] = now
			return port, nil
		}
	}
	return 0, errors.New("no free port that was not in use a moment ago")
}

// privateListener is a listening socket that a program may take as its own by
// systemd's convention (sd_listen_fds(3)).
type privateListener struct {
	file    *os.File
	address *net.TCPAddr
	trial   net.Conn // see accepted; of the goroutine that looks
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
	return &privateListener{file: file, address: l.Addr().(*net.TCPAddr)}, nil
}

// accepted reports whether the program takes connections from the socket. That it
// holds it proves nothing: it was born with it, and Node sets close-on-exec on
// whatever it was born with. So one connection is made to it, which counts when
// the program has accepted or ended it; it carries nothing, like a check by tcp.
func (l *privateListener) accepted() bool {
	switch {
	case l == nil:
		return false
	case l.trial == nil:
		l.trial, _ = net.DialTimeout("tcp", l.address.String(), lastLook) // the next look tries again
		return false
	}
	if local, ok := l.trial.LocalAddr().(*net.TCPAddr); ok && socketBetween(l.address, local) != 0 {
		return true
	}
	_ = l.trial.SetReadDeadline(time.Now().Add(time.Microsecond)) // a connection that is closed fails below
	_, err := l.trial.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func (l *privateListener) endTrial() {
	if l != nil && l.trial != nil {
		l.trial.Close()
	}
}

func (l *privateListener) close() {
	if l != nil {
		l.file.Close()
	}
}
