package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/node"
	"bulsa/internal/spec"
	"bulsa/internal/upstream"
)

const (
	// channelPatience is how long a closed channel may take to say so.
	channelPatience = time.Second
	// maxSocketPath leaves room for ".2" in sun_path, which is 104 bytes on macOS (unix(4)).
	// and for the ".PID" of a process that joins late.
	maxSocketPath = 92
)

var (
	_ upstream.Connector = (*connector)(nil)
	_ upstream.Passer    = (*connector)(nil)
	_ upstream.Speaker   = (*connector)(nil)
	_ upstream.Connector = rawConnector{}
	_ upstream.Passer    = rawConnector{}
	_ upstream.RawOnly   = rawConnector{}
)

var errRawOnly = errors.New("this server takes whole client connections only")

// prepareNode makes the worker a member of the cluster.
func (r *run) prepareNode() (node.Start, *net.UnixConn, error) {
	preload, err := r.engine.preloadPath()
	if err != nil {
		return node.Start{}, nil, err
	}
	if err := r.openGate(); err != nil {
		return node.Start{}, nil, err
	}
	r.cluster, r.nodeID = r.engine.join(r.plan.service)
	if r.plan.service.EventLoop.Monitor && r.plan.command.Kind != node.KindOther {
		r.loop = newEventLoop(r)
	}
	mode := r.plan.service.NodeMode
	o := node.PrepareOptions{
		ID: r.nodeID, Instance: r.launch.Number - 1, Env: r.env, Preload: preload,
		Gate: r.gate.Path(), Port: r.told, Loop: r.plan.service.EventLoop.Monitor,
		Client: string(r.plan.service.ClientAddress),
	}
	if mode == spec.NodeListen {
		o.Socket = filepath.Join(r.engine.cfg.RuntimeDir, "w"+strconv.Itoa(r.nodeID)+"-"+strconv.Itoa(r.launch.Number)+".sock")
		if r.socket = o.Socket; len(o.Socket) > maxSocketPath {
			return node.Start{}, nil, fmt.Errorf("the path of its socket is too long: %s (set BULSA_RUNTIME_DIR to a shorter folder)", o.Socket)
		}
	}
	return node.Prepare(r.plan.command, string(mode), o)
}

func (l *line) Online() {
	l.r.mu.Lock()
	l.r.online = true
	l.r.mu.Unlock()
}

// Query claims the public side of what the worker wants to listen on.
func (l *line) Query(a node.Ask) node.Grant {
	if a.FD >= 0 {
		return node.Grant{Errno: syscall.EBADF} // a number that means nothing in bulsa
	}
	mode := l.r.plan.service.NodeMode
	shared := a.UDP() || mode == spec.NodeShared
	grant, err := l.claim(a.Key(), a, &server{asked: a.Port, raw: a.TLS || mode == spec.NodeRR, shared: shared, speaks: a.Speaks})
	if err != nil {
		l.r.mu.Lock()
		l.r.refusal = fmt.Sprintf("bulsa cannot listen on %s for it: %v", where(a), err)
		l.r.mu.Unlock()
		return node.Grant{Errno: refusal(err)}
	}
	answer := node.Grant{Host: grant.Host, Port: grant.Number}
	if shared {
		answer.Shared = grant.Shared
	}
	return answer
}

// Listening makes a fact of the worker's readiness.
func (l *line) Listening(key string, a node.Ask) {
	r := l.r
	if key == "" { // a runtime that binds by itself
		r.ownPort(address{ip: net.ParseIP(a.Address), port: a.Port})
		return
	}
	if r.plan.service.NodeMode == spec.NodeListen && filepath.IsAbs(key) {
		l.listensOn(key, a)
		return
	}
	r.mu.Lock()
	s, ok := l.servers[key]
	if ok {
		l.reach(s, key)
	}
	r.mu.Unlock()
	if ok {
		r.opened(s)
		l.meetOld()
	}
}

// meetOld names a Node in which the preload does nothing: it had said hello before.
func (l *line) meetOld() {
	r := l.r
	if l.channel.PID() != 0 || r.plan.command.Kind != node.KindNode || r.cluster.old.Swap(true) {
		return
	}
	r.engine.beside(func() {
		version, err := node.Version(r.plan.path, r.plan.command.Dir, r.env)
		if err != nil {
			version = "version (" + err.Error() + ")"
		}
		r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf(
			"runs on Node %s, and bulsa supports 18 and newer: it is served, but sees no addresses of clients, and its event loop is not seen (%s is the node that was found)", version, r.plan.path)})
	})
}

// reach says how connections come to a server. r.mu is held.
func (l *line) reach(s *server, key string) {
	s.address = "ipc"
	switch {
	case s.shared:
		s.address = "shared"
	case s.raw:
		s.connector = rawConnector{line: l.channel, key: key}
	default:
		s.connector = &connector{
			line: l.channel, key: key, speaks: s.speaks,
			refused: func() { l.passWhole(key) }, lasting: l.r.plan.service.NodeMode != spec.NodeAuto,
		}
	}
}

// passWhole is the next rung of mode auto: a worker that takes none of bulsa's own
// connections may still take its clients'.
func (l *line) passWhole(key string) {
	r := l.r
	r.mu.Lock()
	s, ok := l.servers[key]
	if ok {
		s.raw, s.connector = true, rawConnector{line: l.channel, key: key}
	}
	r.mu.Unlock()
	if !ok {
		return // it has closed the server meanwhile: that is why it refused
	}
	r.emit(engine.Fact{Kind: engine.Notice, Message: "does not take connections from bulsa: it gets its clients' connections whole, as in x-bulsa.node: rr"})
	r.opened(s)
}

// listensOn: the preload has turned listen() into a unix socket of the worker's own.
func (l *line) listensOn(path string, a node.Ask) {
	s := &server{
		asked: a.Port, address: "unix:" + path,
		connector: dialConnector{network: "unix", address: path, speaks: a.Speaks, run: l.r},
	}
	if _, err := l.claim(path, a, s); err != nil {
		l.r.emit(engine.Fact{Kind: engine.Notice, Message: "cannot open port " + strconv.Itoa(a.Port) + " for it: " + err.Error()})
		return
	}
	l.r.opened(s)
}

func (l *line) Closed(key string) {
	r := l.r
	r.mu.Lock()
	s, ok := l.servers[key]
	delete(l.servers, key)
	ending := r.voluntary || !r.stopped.IsZero()
	r.mu.Unlock()
	if !ok {
		return
	}
	if r.engine.cfg.Sockets != nil && !ending { // else its successor will ask for it
		r.engine.cfg.Sockets.Release(l.name, s.claim)
	}
	if s.port != "" {
		r.closed(s.port)
	}
}

func (l *line) Disconnecting() {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.voluntary = l.r.voluntary || l.r.app == l || len(l.r.members) == 1 // a job beside the application may come and go
}

// Message: what an application tells its primary, which is bulsa.
func (l *line) Message(m json.RawMessage) { l.r.cluster.relay.Hear(time.Now(), l.member, m) }

// Down: without the channel no connection reaches the worker any more.
func (l *line) Down(error) {
	l.r.mu.Lock()
	gone := l.servers
	l.servers = map[string]*server{}
	l.r.leave(l)
	l.r.mu.Unlock()
	l.r.cluster.relay.Leave(l.member)
	if l.r.engine.cfg.Sockets != nil {
		l.r.engine.cfg.Sockets.Leave(l.name)
	}
	for _, s := range gone {
		if s.port != "" {
			l.r.closed(s.port)
		}
	}
	close(l.down)
}

// connector reaches a Node worker through its channel: new connections as
// socketpair ends, or a client's own.
type connector struct {
	line   *node.Channel
	key    string
	speaks string // see Speaks

	lasting bool   // the mode was chosen by hand
	refused func() // called once, when the worker refuses the first connection

	first sync.Once // decides, by the first answer, whether the worker takes them at all
}

func (c *connector) Connect(ctx context.Context) (net.Conn, error) {
	conn, err := c.line.Connect(ctx, c.key)
	if err == nil || errors.Is(err, node.ErrRefused) {
		c.first.Do(func() {
			if err != nil && !c.lasting {
				c.refused()
			}
		})
	}
	return conn, err
}

// Speaks is what the preload has seen of the server: "http", "tcp", or "" where it
// has not.
func (c *connector) Speaks() string { return c.speaks }

func (c *connector) Pass(ctx context.Context, fd uintptr) error { return c.line.Pass(ctx, c.key, fd) }

// rawConnector is for servers that must get the client's own connection.
type rawConnector struct {
	line *node.Channel
	key  string
}

func (c rawConnector) Connect(context.Context) (net.Conn, error)  { return nil, errRawOnly }
func (c rawConnector) Pass(ctx context.Context, fd uintptr) error { return c.line.Pass(ctx, c.key, fd) }

// RawOnly tells the proxy that Connect never works.
func (c rawConnector) RawOnly() bool { return true }
