package proxy

import (
	"bytes"
	"net"
	"os"
)

// handOver gives a downstream to a client on goroutines, which is there for what is
// rare: upgrades, bodies that wait for a 100, connections that go to a worker
// untouched. ahead is what has been read and not answered.
func (l *loop) handOver(g *downstream, ahead []byte) {
	ahead = bytes.Clone(ahead)
	l.unregister(&g.sock)
	f := os.NewFile(uintptr(g.fd), "")
	conn, err := net.FileConn(f)
	_ = f.Close()
	if err == nil {
		c := newClient(l.server, g.acceptor.id, conn)
		c.ahead, c.held = ahead, g.held
		l.server.admit(c)
	}
	l.gone(g)
}
