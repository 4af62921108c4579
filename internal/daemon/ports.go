package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"bulsa/internal/engine"
	"bulsa/internal/listen"
	"bulsa/internal/proxy"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
)

// ports is the book of all public sockets: those that the configuration
// publishes, and those that workers ask for. Each leads to the pool of one
// service, or of several that share a published port. It implements engine.Sockets.
type ports struct {
	server     *proxy.Server
	supervisor *supervisor.Supervisor
	visitors   visitors
	notice     func(service, message string)
	logs       *accessLogs
	ctx        context.Context // ends the listeners

	mu         sync.Mutex
	services   map[string]spec.Service
	open       map[string]*socket   // by id
	identities map[string]*identity // by service: of those that speak TLS
	serving    sync.WaitGroup
}

// visitors tells connections of workers' own commands (health checks) from those
// of clients.
type visitors interface {
	Visiting() bool
	Visit(service string, p engine.Port, conn net.Conn) bool
}

// diverting says whether divert may take any connection now.
func (b *ports) diverting() bool { return b.visitors.Visiting() }

// divert leads a worker's own command past the balancer, to this very worker:
// while no worker is ready, its check is what makes it so.
func (b *ports) divert(id string, conn net.Conn) bool {
	if !b.visitors.Visiting() {
		return false
	}
	b.mu.Lock()
	var users []user
	if s := b.open[id]; s != nil && s.face == nil { // a check that speaks TLS is a client like any other
		users = s.users
	}
	b.mu.Unlock()
	for _, u := range users {
		if b.visitors.Visit(u.service, u.port, conn) {
			return true
		}
	}
	return false
}

// socket is one public socket.
type socket struct {
	id        string
	users     []user // one, or those that share a published port; never changed, but replaced
	published bool   // else a worker asked for it
	listener  net.Listener
	packet    net.PacketConn // UDP
	shared    bool           // the workers accept themselves: bulsa only holds it
	served    bool
	stop      context.CancelFunc // ends Serve
	ended     chan struct{}      // closed when Serve has returned
	face      *face              // nil: it speaks no TLS
	datagrams net.PacketConn     // of the same port, for HTTP/3
	ending    context.CancelFunc // ends HTTP/3; nil: it has not begun
}

// user is a service behind a socket.
type user struct {
	service string
	port    engine.Port
	target  int  // as it is published; 0: none
	joined  bool // it has joined the pool of another one, and no route of its own
}

// use is how a service is behind the socket.
func (s *socket) use(service string) (user, bool) {
	i := slices.IndexFunc(s.users, func(u user) bool { return u.service == service })
	if i < 0 {
		return user{}, false
	}
	return s.users[i], true
}

// close returns when the address is free again.
func (s *socket) close() {
	s.hangUp()
	if s.served {
		s.stop()
		<-s.ended
	}
	if s.listener != nil {
		s.listener.Close()
	}
	if s.packet != nil {
		s.packet.Close()
	}
}

// address is what the socket is bound to, for people.
func (s *socket) address() string {
	if s.packet != nil {
		return s.packet.LocalAddr().String() + "/udp"
	}
	if s.listener.Addr().Network() == "unix" {
		return "unix:" + s.listener.Addr().String()
	}
	return s.listener.Addr().String()
}

func (s *socket) number() int {
	if s.listener != nil {
		if a, ok := s.listener.Addr().(*net.TCPAddr); ok {
			return a.Port
		}
		return 0
	}
	return s.packet.LocalAddr().(*net.UDPAddr).Port
}

// publish opens what p publishes and is not open yet, and gives what is open to
// the services of p. Either all of it opens, or nothing changes. It returns a
// function that closes what p no longer publishes; call it when p is in force.
func (b *ports) publish(p spec.Project) (retire func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.logs.open(p); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	var opened []*socket
	for _, sv := range p.Services {
		if sv.Pool != "" {
			continue // they are opened by their owner
		}
		for i, port := range sv.Ports {
			id := publishedID(sv.Name, port)
			wanted[id] = true
			if b.open[id] != nil {
				continue
			}
			if slices.ContainsFunc(opened, func(s *socket) bool { return s.id == id }) {
				continue
			}
			s, err := b.openPublished(id, sv, port)
			if err != nil {
				for _, o := range opened {
					o.close()
				}
				return nil, placed(p, sv.Name, &spec.Problem{Where: fmt.Sprintf("ports.%d", i), What: err.Error()})
			}
			opened = append(opened, s)
		}
	}
	for _, s := range opened {
		b.open[s.id] = s
	}
	identities, err := b.identify(p)
	if err != nil {
		for _, s := range opened {
			s.close()
			delete(b.open, s.id)
		}
		return nil, err
	}
	b.assign(p)
	return func() { b.retire(p, wanted, identities) }, nil
}

// assign gives each published socket to its services, which may be others than
// before, and lets the workers of new services ask. b.mu is held.
func (b *ports) assign(p spec.Project) {
	users := map[string][]user{}
	for _, sv := range p.Services {
		b.services[sv.Name] = sv
	}
	for _, sv := range p.Services {
		for i, port := range sv.Ports {
			id := b.socketID(sv, i)
			users[id] = append(users[id], user{sv.Name, portKey(sv, i), port.Target, sv.Pool != ""})
		}
	}
	for id, u := range users {
		owners := slices.DeleteFunc(slices.Clone(u), func(u user) bool { return u.joined })
		joined := slices.DeleteFunc(u, func(u user) bool { return !u.joined })
		b.open[id].users = append(owners, joined...)
	}
}

// socketID is the id of a service's port, which is another one's where the service
// has joined its pool. b.mu is held.
func (b *ports) socketID(sv spec.Service, i int) string {
	if owner, joined := b.services[sv.Pool]; joined {
		return publishedID(owner.Name, owner.MainPorts()[i])
	}
	return publishedID(sv.Name, sv.Ports[i])
}

// publishedID is the same for the same public address, whichever service is
// behind it. Ports that were left to the system are told apart by service and target.
func publishedID(service string, p spec.Port) string {
	if p.Published == 0 {
		return fmt.Sprintf("%s/%s->%d", service, net.JoinHostPort(p.Host, "0"), p.Target)
	}
	return "published/" + net.JoinHostPort(p.Host, strconv.Itoa(p.Published))
}

func (b *ports) openPublished(id string, sv spec.Service, port spec.Port) (*socket, error) {
	ln, err := listen.Open(b.ctx, "tcp", port.Host, port.Published)
	if err != nil {
		return nil, err
	}
	return &socket{id: id, published: true, listener: ln, shared: sv.NodeMode == spec.NodeShared}, nil
}

// portKey is the pool that a published port leads to: the first one, and every
// one with the same target or none, is the main port.
func portKey(sv spec.Service, i int) engine.Port {
	p := sv.Ports[i]
	if i == 0 || p.Target == 0 || p.Target == sv.Ports[0].Target {
		return engine.Main
	}
	return engine.Port(strconv.Itoa(p.Target))
}

// retire closes published sockets that are not wanted any more, and everything
// of services that p lacks.
func (b *ports) retire(p spec.Project, wanted map[string]bool, identities map[string]*identity) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.services = map[string]spec.Service{}
	for _, sv := range p.Services {
		b.services[sv.Name] = sv
	}
	for id, s := range b.open {
		_, known := b.services[s.users[0].service]
		if s.published && !wanted[id] || !s.published && !known {
			s.close()
			delete(b.open, id)
		}
	}
	b.adopt(identities)
	b.route()
}

// route gives the proxy its table and starts serving sockets that are new. b.mu is held.
func (b *ports) route() {
	table := proxy.Table{}
	for id, s := range b.open {
		if s.shared || s.packet != nil {
			continue
		}
		if routes := b.routes(s); len(routes) > 0 {
			table[id] = proxy.NewListener(routes...)
			b.secure(s, table[id])
		}
	}
	b.server.SetTable(table)
	for id, s := range b.open {
		b.serveQUIC(s)
		if table[id] == nil || s.served {
			continue
		}
		var ctx context.Context
		ctx, s.stop = context.WithCancel(b.ctx)
		s.served, s.ended = true, make(chan struct{})
		b.serving.Add(1)
		go func() {
			defer b.serving.Done()
			defer close(s.ended)
			if err := b.server.Serve(ctx, id, s.listener); err != nil && !errors.Is(err, net.ErrClosed) {
				b.notice("", fmt.Sprintf("the listener on %s ended: %v", s.address(), err))
			}
		}()
	}
}

// routes are the ways from a socket to its services' pools.
func (b *ports) routes(s *socket) []proxy.Route {
	var routes []proxy.Route
	for _, u := range s.users {
		if u.joined {
			continue
		}
		pool, err := b.supervisor.Pool(u.service, u.port)
		if err != nil {
			continue // the service is on its way out
		}
		sv := b.services[u.service]
		route := proxy.Route{Service: u.service, Port: string(u.port), Pool: pool, Settings: b.settings(sv), Redirect: b.redirect(s, sv)}
		if len(sv.Routes) == 0 || !s.published {
			routes = append(routes, route)
			continue
		}
		for _, r := range sv.Routes {
			route.Host, route.Path, route.Strip = r.Host, r.Path, r.StripPrefix
			routes = append(routes, route)
		}
	}
	return routes
}

func (b *ports) settings(sv spec.Service) proxy.Settings {
	f, l := sv.Forward, sv.Limits
	s := proxy.Settings{
		HeaderTimeout: f.HeaderTimeout, IdleTimeout: f.IdleTimeout, MaxHeader: l.Header,
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress, ProxyProtocol: f.ProxyProtocol,
		ConnectTimeout: f.ConnectTimeout, AnswerTimeout: f.AnswerTimeout, WriteTimeout: f.WriteTimeout, MinRate: l.MinRate,
		Hold: f.Hold, Queue: l.Queue, QueueTimeout: l.QueueTimeout, RetryTimeout: f.RetryTimeout,
		MaxBody: l.Body, Sticky: sv.Balance.Sticky, Recall: f.Recall, H2C: f.Upstream == spec.UpstreamH2C, HSTS: sv.TLS.HSTS,
		AccessLog: b.logs.of(sv.AccessLog),
	}
	for _, cidr := range f.TrustedProxies {
		if prefix, err := spec.ParseNetwork(cidr); err == nil {
			s.Trusted = append(s.Trusted, prefix)
		}
	}
	return s
}

// Claim answers a worker's wish to listen: with the published port that it
// means, with the socket that another worker of the service already caused to
// be open, or with a new one where the worker asked for it.
func (b *ports) Claim(ctx context.Context, a engine.Ask) (engine.Grant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sv, ok := b.services[a.Service]
	if !ok {
		return engine.Grant{}, syscall.EADDRNOTAVAIL
	}
	if s := b.publishedFor(sv, a); s != nil {
		if s.shared && a.Port != 0 && a.Port != s.number() { // Node would take it for another program's
			return engine.Grant{}, fmt.Errorf("in mode shared the published port must be the one that the app asks for: publish %d:%d, or choose another x-bulsa.node", a.Port, a.Port)
		}
		return s.grant(a), nil
	}
	id := askID(a)
	if s := b.open[id]; s != nil {
		return s.grant(a), nil
	}
	s, err := b.openAsked(id, sv, a)
	if err != nil {
		return engine.Grant{}, err
	}
	b.open[id] = s
	b.route()
	return s.grant(a), nil
}

// publishedFor finds the published socket that an ask means: the one whose
// target is the port asked for, or, where no target was given, the first ask.
func (b *ports) publishedFor(sv spec.Service, a engine.Ask) *socket {
	if a.Network == "unix" || a.Network == "udp4" || a.Network == "udp6" || len(sv.Ports) == 0 {
		return nil
	}
	i := slices.IndexFunc(sv.Ports, func(p spec.Port) bool { return p.Target != 0 && p.Target == a.Port })
	switch {
	case i >= 0:
	case a.Own, a.First && sv.Ports[0].Target == 0:
		i = 0
	default:
		if a.First {
			first := sv.Ports[0]
			b.notice(sv.Name, fmt.Sprintf("%s listens on port %d, but the published port %d leads to port %d: publish %d:%d", a.Worker, a.Port, first.Published, first.Target, first.Published, a.Port))
		}
		return nil
	}
	return b.open[b.socketID(sv, i)]
}

// askID is the same for the same wish of all workers of a service.
func askID(a engine.Ask) string {
	if a.Network == "unix" {
		return fmt.Sprintf("%s/unix:%s", a.Service, a.Path)
	}
	id := fmt.Sprintf("%s/%s:%s", a.Service, a.Network, net.JoinHostPort(a.Host, strconv.Itoa(a.Port)))
	if a.Port == 0 {
		id += "/" + strconv.Itoa(a.Index)
	}
	return id
}

func (b *ports) openAsked(id string, sv spec.Service, a engine.Ask) (*socket, error) {
	u := user{service: a.Service, port: engine.Port(id[len(a.Service)+1:])}
	if a.First && len(sv.Ports) == 0 {
		u.port = engine.Main
	}
	s := &socket{id: id, users: []user{u}, shared: a.Shared}
	var err error
	switch a.Network {
	case "unix":
		s.listener, err = listen.OpenUnix(a.Path)
	case "udp4", "udp6":
		s.packet, err = listen.OpenPacket(b.ctx, packetNetwork(a), a.Host, a.Port)
	default:
		s.listener, err = listen.Open(b.ctx, network(a), a.Host, a.Port)
	}
	if err != nil {
		b.notice(sv.Name, fmt.Sprintf("%s cannot listen: %v", a.Worker, err))
		var errno syscall.Errno
		if errors.As(err, &errno) {
			return nil, errno
		}
		return nil, syscall.EADDRINUSE
	}
	return s, nil
}

func network(a engine.Ask) string {
	if a.V6Only {
		return "tcp6"
	}
	return a.Network
}

// packetNetwork is an IPv6 socket that also takes IPv4, unless the worker wants IPv6 alone.
func packetNetwork(a engine.Ask) string {
	if a.Network == "udp6" && !a.V6Only {
		return "udp"
	}
	return a.Network
}

// grant tells the worker what it asked for where it can be told so: an
// application that asked for port 3000 believes that it listens there.
func (s *socket) grant(a engine.Ask) engine.Grant {
	u, _ := s.use(a.Service)
	g := engine.Grant{Port: u.port, Host: a.Host, Number: a.Port}
	if a.Port == 0 && a.Network != "unix" {
		g.Number = s.number()
	}
	if g.Host == "" {
		g.Host = "::"
	}
	if s.shared || s.packet != nil {
		g.Shared = descriptor(s)
	}
	return g
}

// descriptor returns the socket's descriptor; it stays valid while the socket is open.
func descriptor(s *socket) uintptr {
	var conn any = s.listener
	if s.packet != nil {
		conn = s.packet
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	var fd uintptr
	raw.Control(func(f uintptr) { fd = f })
	return fd
}

// list shows a service's sockets as Docker shows ports: "0.0.0.0:3333->3000".
func (b *ports) list(service string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, s := range b.open {
		u, ok := s.use(service)
		if !ok {
			continue
		}
		text := s.address()
		if u.target != 0 {
			text += "->" + strconv.Itoa(u.target)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// close ends all listeners.
func (b *ports) close() {
	b.mu.Lock()
	for id, s := range b.open {
		s.close()
		delete(b.open, id)
	}
	b.adopt(nil)
	b.mu.Unlock()
	b.serving.Wait()
}
