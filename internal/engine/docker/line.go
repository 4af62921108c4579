package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/moby/moby/api/types/container"

	"bulsa/internal/engine"
	"bulsa/internal/proc"
	"bulsa/internal/upstream"
)

// silence is how long a container may run without listening before a user is
// told where bulsa looks for it.
const silence = 10 * time.Second

// line is one address that is waited for or in use.
type line struct {
	target  target
	address string
	fixed   bool // the program binds a port of the host
	relayed bool // Docker's own proxy listens there, whether the app does or not
	process int  // the container's first, on this machine; 0: it cannot be seen
	cancel  context.CancelFunc
	open    bool
}

// openLines waits for the ports that are not in use yet, and for those whose
// address has changed. r.mu is held.
func (r *run) openLines(conn *connection, c container.InspectResponse) {
	s := r.launch.Release.Service
	wanted := targets(s, exposedPorts(c))
	if len(wanted) == 0 {
		r.settle()
		return
	}
	for _, t := range wanted {
		where := address(c, s, t.number, conn.loopback)
		known := r.lines[t.key]
		if where == "" || known != nil && known.address == where {
			continue
		}
		if known != nil {
			r.closeLine(t.key)
			r.send(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("its address changed from %s to %s", known.address, where)})
		}
		r.openLine(t, where, c.HostConfig.NetworkMode.IsHost(), conn.loopback)
	}
}

// openLine waits for a port beside the caller, who holds r.mu.
func (r *run) openLine(t target, address string, fixed, relayed bool) {
	ctx, cancel := context.WithCancel(r.ctx)
	l := &line{target: t, address: address, fixed: fixed, relayed: relayed, process: r.seen.PID, cancel: cancel}
	r.lines[t.key] = l
	r.engine.work.Go(func() { r.awaitLine(ctx, l) })
}

// settle tells once that there is no port to wait for.
func (r *run) settle() {
	if r.settled {
		return
	}
	r.settled = true
	s := r.launch.Release.Service
	if s.Health.HTTP != "" || s.Health.TCP {
		r.send(engine.Fact{Kind: engine.Unusable, Message: "x-bulsa.probe has no port to look at: add expose, or ports"})
		return
	}
	r.send(engine.Fact{Kind: engine.Settled})
}

// awaitLine tells when the container takes connections at an address.
func (r *run) awaitLine(ctx context.Context, l *line) {
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	c := &connector{address: l.address, relayed: l.relayed, process: l.process, refused: func() { r.refused(l) }}
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if c.answers(ctx) {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-quiet.C:
			r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf("nothing listens at %s yet: does the app listen on port %d, and on 0.0.0.0 instead of 127.0.0.1?", l.address, l.target.number)})
		case <-time.After(pause):
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	l.open = true
	r.send(engine.Fact{Kind: engine.Listening, Port: l.target.key, Address: l.address, Connector: c, FixedPort: l.fixed})
}

// connector opens connections to an address of a container.
type connector struct {
	address string
	relayed bool
	process int    // of the container, as line.process
	refused func() // told when nobody listens there, or nothing has the address
}

func (c *connector) Connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.address)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
		c.refused()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return containerConn{tcp, c.process}, nil
	}
	return conn, err
}

var _ upstream.Mortal = containerConn{}

// containerConn is a connection to a container.
type containerConn struct {
	*net.TCPConn
	process int
}

// Died says whether the container has ended: Docker tells of it only later.
func (c containerConn) Died() bool { return c.process != 0 && proc.Exiting(c.process) }

// relayPatience is how long Docker's proxy may take to find that nobody listens.
const relayPatience = 100 * time.Millisecond

// answers reports whether the app takes connections. Docker's proxy hangs up at
// once where it does not.
func (c *connector) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := c.Connect(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	if !c.relayed {
		return true
	}
	if err := conn.SetReadDeadline(time.Now().Add(relayPatience)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return err == nil || errors.Is(err, os.ErrDeadlineExceeded)
}
