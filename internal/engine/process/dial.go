package process

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"bulsa/internal/proc"
	"bulsa/internal/tcpdiag"
	"bulsa/internal/upstream"
)

var (
	_ upstream.Connector  = dialConnector{}
	_ upstream.Speaker    = dialConnector{}
	_ upstream.Mortal     = unixConn{}
	_ upstream.Mortal     = tcpConn{}
	_ upstream.Accountant = tcpConn{}
)

// dialConnector opens connections to an address of the worker's own.
type dialConnector struct {
	network, address string
	speaks           string // see Speaks
	run              *run
}

// Speaks is "http" or "tcp" where the worker has said so, else "".
func (d dialConnector) Speaks() string { return d.speaks }

func (d dialConnector) Connect(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1} // both ends are on this machine
	conn, err := dialer.DialContext(ctx, d.network, d.address)
	switch c := conn.(type) {
	case *net.TCPConn:
		d.run.engine.watchUnread()
		return tcpConn{c, d.run}, nil
	case *net.UnixConn:
		return unixConn{c, d.run}, nil
	}
	return conn, err
}

// watchUnread begins to remember what connections of workers are closed with. Where the
// kernel does not tell, nothing is known of them.
func (e *Engine) watchUnread() {
	e.watching.Do(func() {
		if err := e.unread.Watch(e.ctx); err != nil {
			e.log.Debug("the kernel does not tell what workers have not read", "error", err)
		}
	})
}

// unixConn is a connection to a worker's own unix socket.
type unixConn struct {
	*net.UnixConn
	run *run
}

// Died says whether the worker has ended.
func (c unixConn) Died() bool { return c.run.isEnding() }

// tcpConn is a connection to a worker's own port.
type tcpConn struct {
	*net.TCPConn
	run *run
}

// Died says whether the worker has ended, or the process of it that served: nobody
// listens at its port any more.
func (c tcpConn) Died() bool {
	return c.run.isEnding() || !tcpdiag.Listens(plain(c.RemoteAddr()))
}

// unreadAfter is how long the kernel may take to say what a socket was closed with.
const unreadAfter = 250 * time.Millisecond

// Unread is how many bytes the worker has not read of what was sent to it, as far as
// that is known after err has ended a Read. A socket that is closed with such bytes
// resets its connection (RFC 9293, section 3.10.4); so nobody waits for others.
func (c tcpConn) Unread(err error) int {
	if !errors.Is(err, syscall.ECONNRESET) {
		return 0
	}
	return c.run.engine.unread.Unread(tcpdiag.Pair{Owner: plain(c.RemoteAddr()), Peer: plain(c.LocalAddr())}, unreadAfter)
}

func plain(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// isEnding says whether the first process of the worker has ended, or is about to.
func (r *run) isEnding() bool { return r.ctx.Err() != nil || proc.Exiting(r.child.pid) }
