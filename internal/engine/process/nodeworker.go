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
)

const (
	// claimPatience is how long opening a public socket may take.
	claimPatience = 5 * time.Second
	// channelPatience is how long a closed channel may take to say so.
	channelPatience = time.Second
	// maxSocketPath leaves room for ".2" in sun_path, which is 104 bytes on macOS (unix(4)).
	// and for the ".PID" of a process that joins late.
	maxSocketPath = 92
)

var errRawOnly = errors.New("this server takes whole client connections only")

// server is one server of a Node worker that listens through bulsa.
type server struct {
	port   engine.Port
	asked  int  // the port that it asked for
	raw    bool // takes whole client connections only: it speaks TLS, or mode rr
	shared bool // accepts from the socket itself
	speaks string
}

// prepareNode makes the worker a member of the cluster.
func (r *run) prepareNode() (node.Start, *net.UnixConn, error) {
	preload, err := r.engine.preloadPath()
	if err != nil {
		return node.Start{}, nil, err
	}
	if err := r.openGate(); err != nil {
		return node.Start{}, nil, err
	}
	r.cluster, r.nodeID = r.engine.join(r.plan.service.Name)
	if r.plan.service.EventLoop.Monitor && r.plan.command.Kind != node.KindOther {
		r.loop = newEventLoop(r)
	}
	mode := r.plan.service.NodeMode
	o := node.PrepareOptions{
		ID: r.nodeID, Instance: r.launch.Number - 1, Env: r.env, Preload: preload,
		Gate: r.gate.Path(), Port: r.told, Loop: r.plan.service.EventLoop.Monitor,
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
	grant, shared, err := l.claim(a)
	if err != nil {
		l.r.mu.Lock()
		l.r.refusal = fmt.Sprintf("bulsa cannot listen on %s for it: %v", where(a), err)
		l.r.mu.Unlock()
		return node.Grant{Errno: refusal(err)}
	}
	raw := a.TLS || l.r.plan.service.NodeMode == spec.NodeRR
	l.r.mu.Lock()
	l.servers[a.Key()] = server{port: grant.Port, asked: a.Port, raw: raw, shared: shared, speaks: a.Speaks}
	l.r.mu.Unlock()
	answer := node.Grant{Host: grant.Host, Port: grant.Number}
	if shared {
		answer.Shared = grant.Shared
	}
	return answer
}

func (l *line) claim(a node.Ask) (engine.Grant, bool, error) {
	r := l.r
	r.mu.Lock()
	if r.taken(l, a) {
		r.mu.Unlock()
		return engine.Grant{}, false, syscall.EADDRINUSE
	}
	first := !r.asked
	r.asked = true
	if r.app == nil {
		r.app = l
	}
	r.mu.Unlock()
	r.cluster.asks.Store(true)
	if r.engine.cfg.Sockets == nil {
		return engine.Grant{}, false, errors.New("no public sockets here")
	}
	ask := engine.Ask{
		Service: r.plan.service.Name, Worker: r.launch.Worker, Network: network(a), Host: a.Address, Port: a.Port,
		Index: a.Index, First: first, Own: a.Port != 0 && (a.Port == r.port || a.Port == r.told), V6Only: a.Flags&1 != 0,
		Shared: a.UDP() || r.plan.service.NodeMode == spec.NodeShared,
	}
	if ask.Network == "unix" {
		ask.Host, ask.Path, ask.Port = "", a.Address, 0
	}
	ctx, cancel := context.WithTimeout(r.ctx, claimPatience)
	defer cancel()
	grant, err := r.engine.cfg.Sockets.Claim(ctx, ask)
	return grant, ask.Shared, err
}

// network translates Node's address type.
func network(a node.Ask) string {
	switch {
	case a.UDP():
		return a.AddressType
	case a.AddressType == "-1":
		return "unix"
	case a.AddressType == "6":
		return "tcp6"
	case a.Address == "":
		return "tcp"
	}
	return "tcp4"
}

// where names what the worker wanted, for people.
func where(a node.Ask) string {
	if network(a) == "unix" {
		return a.Address
	}
	if a.Address == "" {
		return "port " + strconv.Itoa(a.Port)
	}
	return net.JoinHostPort(a.Address, strconv.Itoa(a.Port))
}

func refusal(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EADDRINUSE
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
	r.mu.Unlock()
	if !ok {
		return
	}
	f := engine.Fact{Kind: engine.Listening, Port: s.port, Address: "ipc"}
	switch {
	case s.shared:
		f.Address = "shared"
	case s.raw:
		f.Connector = rawConnector{line: l.channel, key: key}
	default:
		f.Connector = &connector{line: l.channel, key: key, speaks: s.speaks, refused: func() { l.passWhole(key) }, lasting: r.plan.service.NodeMode != spec.NodeAuto}
	}
	r.emit(f)
}

// passWhole is the next rung of mode auto: a worker that takes none of bulsa's own
// connections may still take its clients'.
func (l *line) passWhole(key string) {
	r := l.r
	r.mu.Lock()
	s, ok := l.servers[key]
	if ok && !s.raw {
		s.raw = true
		l.servers[key] = s
	}
	r.mu.Unlock()
	if !ok {
		return // it has closed the server meanwhile: that is why it refused
	}
	r.emit(engine.Fact{Kind: engine.Notice, Message: "does not take connections from bulsa: it gets its clients' connections whole, as in x-bulsa.node: rr"})
	r.emit(engine.Fact{Kind: engine.Listening, Port: s.port, Address: "ipc", Connector: rawConnector{line: l.channel, key: key}})
}

// listensOn: the preload has turned listen() into a unix socket of the worker's own.
func (l *line) listensOn(path string, a node.Ask) {
	grant, _, err := l.claim(a)
	if err != nil {
		l.r.emit(engine.Fact{Kind: engine.Notice, Message: "cannot open port " + strconv.Itoa(a.Port) + " for it: " + err.Error()})
		return
	}
	l.r.mu.Lock()
	l.servers[path] = server{port: grant.Port, asked: a.Port}
	l.r.mu.Unlock()
	l.r.emit(engine.Fact{
		Kind: engine.Listening, Port: grant.Port, Address: "unix:" + path,
		Connector: dialConnector{network: "unix", address: path, speaks: a.Speaks},
	})
}

func (l *line) Closed(key string) {
	l.r.mu.Lock()
	s, ok := l.servers[key]
	delete(l.servers, key)
	l.r.mu.Unlock()
	if ok {
		l.r.emit(engine.Fact{Kind: engine.Closed, Port: s.port})
	}
}

func (l *line) Disconnecting() {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.voluntary = l.r.voluntary || l.r.app == l || len(l.r.members) == 1 // a job beside the application may come and go
}

// Message: what an application tells its primary is for a primary that it
// wrote itself; there is nobody here to read it.
func (l *line) Message(json.RawMessage) {}

// Down: without the channel no connection reaches the worker any more.
func (l *line) Down(error) {
	l.r.mu.Lock()
	gone := l.servers
	l.servers = map[string]server{}
	l.r.leave(l)
	l.r.mu.Unlock()
	for _, s := range gone {
		l.r.emit(engine.Fact{Kind: engine.Closed, Port: s.port})
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
