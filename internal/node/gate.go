package node

import (
	"fmt"
	"net"
	"os"
)

// Gate is where the Node processes of one worker come to join the cluster, each
// over a connection of its own: a unix socket whose path is in their environment.
// Whatever stands between bulsa and them (a shell, npm, flock, a launcher that
// nobody knows) need not know of it.
type Gate struct {
	path     string
	listener *net.UnixListener
}

// OpenGate makes the socket. A file that a killed bulsa has left there is replaced.
func OpenGate(path string) (*Gate, error) {
	os.Remove(path) // none is as good; one that stays is the error of the next line
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot open the socket where Node processes join: %w", err)
	}
	return &Gate{path: path, listener: l}, nil
}

// Path is where the socket is.
func (g *Gate) Path() string { return g.path }

// Admit calls join for every process that comes, until the gate is closed.
func (g *Gate) Admit(join func(*net.UnixConn)) {
	for {
		conn, err := g.listener.AcceptUnix()
		if err != nil {
			return
		}
		join(conn)
	}
}

// Close ends Admit and removes the socket. Connections stay.
func (g *Gate) Close() { g.listener.Close() }
