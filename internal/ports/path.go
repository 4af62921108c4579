package ports

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"bulsa/internal/listen"
)

// pathLook is how often it is seen whether the paths of unix sockets still lead to them.
const pathLook = time.Second

// path is where a unix socket is found.
type path struct {
	name string
	file fs.FileInfo // as the socket made it; the kernel gives its number to no other file while it is bound
	mode fs.FileMode // of the file when it was last seen
	lost bool        // it was said that it is gone
}

// openPath listens on a unix socket, whose file it does not remove when the
// listener is closed: it may be another one's then.
func openPath(name string) (net.Listener, *path, error) {
	l, err := listen.OpenUnix(name)
	if err != nil {
		return nil, nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	p := &path{name: name}
	if p.file, err = os.Lstat(name); err == nil {
		p.mode = p.file.Mode().Perm()
	}
	return l, p, nil
}

// remove removes the file, if it is still the socket's.
func (p *path) remove() {
	if leads, _ := p.leads(); leads {
		_ = os.Remove(p.name) // gone meanwhile: just as well
	}
}

// leads reports whether the path still leads to the socket, and free whether
// nothing else is there.
func (p *path) leads() (leads, free bool) {
	now, err := os.Lstat(p.name)
	if err != nil {
		return false, os.IsNotExist(err)
	}
	if p.file == nil || !os.SameFile(p.file, now) {
		return false, false
	}
	p.mode = now.Mode().Perm()
	return true, false
}

// watchPaths binds unix sockets again whose path somebody has removed, until the
// book ends.
func (b *Book) watchPaths() {
	look := time.NewTicker(pathLook)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-b.ctx.Done():
			return
		}
		b.mu.Lock()
		for _, s := range b.open {
			if s.path != nil {
				b.bindAgain(s)
			}
		}
		b.mu.Unlock()
	}
}

// bindAgain gives a unix socket its path back, when that was removed: by an
// application that clears it away before it listens, although a worker beside it is
// served there, or by whoever clears the folder. b.mu is held.
func (b *Book) bindAgain(s *socket) {
	leads, free := s.path.leads()
	if leads {
		return
	}
	service := s.users[0].service
	if !free {
		if !s.path.lost {
			b.cfg.Notice(service, fmt.Sprintf("%s is not bulsa's socket any more: something else was put there, so clients do not reach %s; remove it, and bulsa binds the path again", s.path.name, service))
		}
		s.path.lost = true
		return
	}
	fresh, at, err := openPath(s.path.name)
	if err != nil {
		if !s.path.lost {
			b.cfg.Notice(service, fmt.Sprintf("the socket %s was removed, and cannot be made again: %v", s.path.name, err))
		}
		s.path.lost = true
		return
	}
	mode := s.path.mode
	s.stopServing()
	s.listener.Close()
	s.listener, s.path = fresh, at
	if err := os.Chmod(s.path.name, mode); err != nil {
		b.cfg.Notice(service, fmt.Sprintf("cannot give %s its rights %#o back: %v", s.path.name, mode, err))
	}
	b.route()
	b.cfg.Notice(service, fmt.Sprintf("the socket %s was removed, and is bound again", s.path.name))
}
