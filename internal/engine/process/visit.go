package process

import (
	"context"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// A health check by command is written as for a container: it asks localhost and
// the port that the application believes it listens on. But in front of a worker
// bulsa owns that port, or nobody does. So a connection that a worker's command
// opens is led to this very worker: from a published port (Visit), and from the
// port behind it, which is opened while a command runs (door).

// visitPatience is how long a worker may take to accept a command's connection.
const visitPatience = 5 * time.Second

var _ engine.Visited = (*Engine)(nil)

// Visit implements engine.Visited.
func (e *Engine) Visit(service string, p engine.Port, conn net.Conn) bool {
	r := e.visitor(conn)
	if r == nil || r.plan.service.Name != service {
		return false
	}
	e.lead(r, p, conn)
	return true
}

// visitor is the run whose command holds the other end of conn.
func (e *Engine) visitor(conn net.Conn) *run {
	local, ok1 := conn.LocalAddr().(*net.TCPAddr)
	remote, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	if e.commands.Load() == 0 || !ok1 || !ok2 || !remote.IP.IsLoopback() {
		return nil
	}
	inode := socketBetween(remote, local)
	if inode == 0 {
		return nil
	}
	e.mu.Lock()
	running := make([]*execution, 0, len(e.executions))
	for x := range e.executions {
		running = append(running, x)
	}
	e.mu.Unlock()
	rows := e.table.read(0)
	for _, x := range running {
		for _, p := range members(rows, x.child.pid) {
			if heldSockets(p.pid)[inode] {
				return x.run
			}
		}
	}
	return nil
}

// lead brings conn to a port of the worker: as it is, where the worker takes
// whole connections, else over a connection of its own.
func (e *Engine) lead(r *run, p engine.Port, conn net.Conn) {
	defer conn.Close() // not listening yet: the command finds that out at once
	if !e.begin(r) {
		return
	}
	defer e.working.Done()
	defer r.helpers.Done()
	ctx, cancel := context.WithTimeout(r.ctx, visitPatience)
	defer cancel()
	r.mu.Lock()
	line := r.lines[p]
	r.mu.Unlock()
	switch to := line.(type) {
	case interface {
		Pass(ctx context.Context, fd uintptr) error
	}:
		if raw, err := conn.(syscall.Conn).SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = to.Pass(ctx, fd) }) // refused: closed, as for any client
		}
	case interface {
		Connect(ctx context.Context) (net.Conn, error)
	}:
		if up, err := to.Connect(ctx); err == nil {
			splice(r.ctx, conn, up)
		}
	}
}

// splice copies both ways until both sides have ended, or ctx has.
func splice(ctx context.Context, a, b net.Conn) {
	defer b.Close()
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	var there sync.WaitGroup
	there.Go(func() { forwardTo(b, a) })
	forwardTo(a, b)
	there.Wait()
}

func forwardTo(to, from net.Conn) {
	_, _ = io.Copy(to, from) // a side that breaks off ends
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// door is the port behind a published one, on loopback. It is open while
// commands of workers run, and leads only these anywhere.
type door struct {
	users     int
	listeners []net.Listener
}

// openDoors opens what a command of r may ask; close it when the command has ended.
func (e *Engine) openDoors(r *run) (close func()) {
	var opened []int
	for _, p := range r.plan.service.Ports {
		if p.Target != 0 && p.Target != p.Published && !slices.Contains(opened, p.Target) {
			e.openDoor(p.Target)
			opened = append(opened, p.Target)
		}
	}
	return func() {
		for _, port := range opened {
			e.closeDoor(port)
		}
	}
}

// openDoor does nothing for a port that is in use: by the program itself, as it
// should be, or by a stranger.
func (e *Engine) openDoor(port int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.doors[port]
	if d == nil {
		d = &door{}
		e.doors[port] = d
		for _, host := range []string{"127.0.0.1", "::1"} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				continue
			}
			d.listeners = append(d.listeners, l)
			e.helpers.Go(func() { e.answerDoor(l, port) })
		}
	}
	d.users++
}

func (e *Engine) closeDoor(port int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.doors[port]
	if d.users--; d.users > 0 {
		return
	}
	delete(e.doors, port)
	for _, l := range d.listeners {
		l.Close()
	}
}

func (e *Engine) answerDoor(l net.Listener, port int) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		e.helpers.Go(func() {
			r := e.visitor(conn)
			if r == nil {
				conn.Close()
				return
			}
			e.lead(r, r.portBehind(port), conn)
		})
	}
}

// portBehind is the port that a target of the service stands for.
func (r *run) portBehind(target int) engine.Port {
	ports := r.plan.service.Ports
	i := slices.IndexFunc(ports, func(p spec.Port) bool { return p.Target == target })
	if i <= 0 || target == ports[0].Target {
		return engine.Main
	}
	return engine.Port(strconv.Itoa(target))
}
