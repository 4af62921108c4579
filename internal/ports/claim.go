package ports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/listen"
	"bulsa/internal/spec"
)

// claim is one server of one process of a worker's, which somebody publishes.
type claim struct {
	ask   engine.Ask
	port  engine.Port // "": it is not decided yet where it belongs
	asked *socket     // opened because workers asked for it; nil: a published one leads to it
	left  bool        // its process is gone; the socket is kept for the successor's
	order int         // counts all claims

	leftAt int // how many claims there were when its process left
}

var errDecided = errors.New("the server is closed, or its place was found meanwhile")

// claimID names a server: the process, and its own name for it.
type claimID struct{ process, key string }

// main reports whether the published ports without a target lead to it.
func (c *claim) main() bool { return c.port == engine.Main && c.asked == nil }

// Claim answers a worker's wish to listen: with the published port that leads to
// it, with the socket that another worker of the service already caused to be
// open, or with a new one where the worker asked for it.
func (b *Book) Claim(_ context.Context, a engine.Ask) (engine.Grant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sv, ok := b.services[a.Service]
	if !ok {
		return engine.Grant{}, syscall.EADDRNOTAVAIL
	}
	id := claimID{a.Process, a.Key}
	if c := b.claims[id]; a.Waited && (c == nil || c.port != "") {
		return engine.Grant{}, errDecided
	}
	at := b.habitsOf(a.Service).place(a, sv.Ports, b.holds(a))
	if at.wait > 0 {
		return b.postpone(sv, at.wait, a)
	}
	if at.published == own {
		return b.beside(sv, a)
	}
	return b.lead(sv, at, a)
}

// postpone lets a server wait for its place. One that wants any free port is told
// one that is free, and has it meanwhile, alone: it may want it for a child.
func (b *Book) postpone(sv spec.Service, wait time.Duration, a engine.Ask) (engine.Grant, error) {
	c, number := &claim{ask: a}, a.Port
	if number == 0 {
		s, err := b.openAsked(askID(a)+"/"+a.Process+"/"+a.Key, sv, a)
		if err != nil {
			return engine.Grant{}, b.refuse(a, err)
		}
		b.open[s.id] = s
		c.asked, number = s, s.number()
	}
	b.note(a, c)
	return engine.Grant{Host: host(a), Number: number, Wait: wait}, nil
}

// refuse tells the user why a worker cannot listen, and makes of it what the worker
// is told.
func (b *Book) refuse(a engine.Ask, err error) error {
	b.cfg.Notice(a.Service, fmt.Sprintf("%s cannot listen: %v", a.Worker, err))
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EADDRINUSE
}

// lead gives a server to the published port that is meant.
func (b *Book) lead(sv spec.Service, at place, a engine.Ask) (engine.Grant, error) {
	s := b.open[b.socketID(sv, at.published)]
	if s.shared && a.Port != 0 && a.Port != s.number() { // Node would take it for another program's
		return engine.Grant{}, fmt.Errorf("in mode shared the published port must be the one that the app asks for: publish %d:%d, or choose another x-bulsa.node", a.Port, a.Port)
	}
	h := b.habitsOf(sv.Name)
	h.learn(a, at, sv.Ports)
	port := b.portKey(sv, at.published)
	b.turn(sv.Name, s, port)
	had := b.claims[claimID{a.Process, a.Key}]
	b.note(a, &claim{ask: a, port: port})
	b.unhold(had)
	if a.Waited {
		b.sayAlone(sv, a, s.number())
	}
	if a.Own || a.Waited || h.target {
		b.settle(sv)
	}
	return s.grant(a, port), nil
}

// sayAlone says once that a published port leads to what a worker has alone.
func (b *Book) sayAlone(sv spec.Service, a engine.Ask, public int) {
	h := b.habitsOf(sv.Name)
	target := sv.Ports[0].Target
	if a.Port == 0 && target == 0 || h.told["waited"] {
		return
	}
	h.told["waited"] = true
	if a.Port == 0 {
		b.cfg.Notice(sv.Name, fmt.Sprintf("%s listens on a free port of its own, not on port %d, which it finds in use: the published port leads to it; publish %d without a target to say so",
			a.Worker, target, public))
		return
	}
	b.cfg.Notice(sv.Name, fmt.Sprintf("%s listens on port %d, not on $PORT (%d), and on nothing else: the published port leads to it; publish %d:%d to say so at once",
		a.Worker, a.Port, public, public, a.Port))
}

// turn has a published port lead to these servers of the service from now on.
func (b *Book) turn(service string, s *socket, port engine.Port) {
	i := slices.IndexFunc(s.users, func(u user) bool { return u.service == service })
	if i < 0 || s.users[i].port == port {
		return
	}
	s.users = slices.Clone(s.users)
	s.users[i].port = port
	b.route()
}

// beside gives a server the socket that it asked for.
func (b *Book) beside(sv spec.Service, a engine.Ask) (engine.Grant, error) {
	s, err := b.sharedSocket(sv, a)
	if err != nil {
		return engine.Grant{}, b.refuse(a, err)
	}
	b.habitsOf(sv.Name).learn(a, place{published: own}, sv.Ports)
	u, _ := s.use(sv.Name)
	b.note(a, &claim{ask: a, port: u.port, asked: s})
	b.sayBeside(sv, a, s)
	return s.grant(a, u.port), nil
}

// sharedSocket is the socket of a wish that all workers of the service share: it
// opens it for the first of them.
func (b *Book) sharedSocket(sv spec.Service, a engine.Ask) (*socket, error) {
	id := askID(a)
	if s := b.open[id]; s != nil {
		if s.path != nil {
			b.bindAgain(s) // the worker may have removed it before it listens
		}
		return s, nil
	}
	if s := b.samePlace(a); s != nil {
		return s, nil
	}
	s, err := b.openAsked(id, sv, a)
	if err != nil {
		return nil, err
	}
	b.open[id] = s
	b.route()
	return s, nil
}

// samePlace finds a socket of the service that was opened for port 0 and has by
// chance the number that is asked for: a worker that looks for a free port and
// then listens there, while another one still looks.
func (b *Book) samePlace(a engine.Ask) *socket {
	if !isTCP(a) || a.Port == 0 {
		return nil
	}
	for _, c := range b.claims {
		if c.asked != nil && c.ask.Service == a.Service && c.ask.Port == 0 && c.ask.Network == a.Network && c.ask.Host == a.Host &&
			c.asked.number() == a.Port {
			return c.asked
		}
	}
	return nil
}

// holds reports whether the run has another server that published ports
// without a target lead to, or that has more right to it.
func (b *Book) holds(a engine.Ask) bool {
	mine := b.claims[claimID{a.Process, a.Key}]
	for _, c := range b.claims {
		if c.ask.Instance != a.Instance || c == mine || c.left || c.ask.Port == a.Port && a.Port != 0 {
			continue
		}
		if c.port == engine.Main || c.port == "" && mine != nil && c.before(mine) {
			return true
		}
	}
	return false
}

// before: of two servers that both wait, the one that is not for this machine
// alone is the application, else the first.
func (c *claim) before(other *claim) bool {
	if here, there := isLoopback(c.ask.Host), isLoopback(other.ask.Host); here != there {
		return there
	}
	return c.order < other.order
}

// note keeps a claim. What the worker's earlier process had of the same is
// taken over.
func (b *Book) note(a engine.Ask, c *claim) {
	for id, old := range b.claims {
		if old.left && old.ask.Worker == a.Worker && old.asked == c.asked && old.port == c.port {
			delete(b.claims, id)
		}
	}
	if c.order = b.order; b.claims[claimID{a.Process, a.Key}] != nil {
		c.order = b.claims[claimID{a.Process, a.Key}].order
	}
	b.order++
	b.claims[claimID{a.Process, a.Key}] = c
}

// settle gives their places to the servers that wait for one, and to those that
// were taken for the application and are not, by what is known now.
func (b *Book) settle(sv spec.Service) {
	h := b.habitsOf(sv.Name)
	for _, c := range b.sorted() {
		a := c.ask
		demoted := c.main() && (h.byPort && !a.Own || h.target && a.Port == 0)
		if a.Service != sv.Name || c.left || c.port != "" && !demoted {
			continue
		}
		at := h.place(a, sv.Ports, demoted || b.holds(a))
		switch {
		case at.wait > 0:
		case at.published == own:
			b.moveAside(sv, c)
		case c.port == "":
			had := *c
			c.port, c.asked = b.portKey(sv, at.published), nil
			b.unhold(&had)
			a.Moved(c.port)
		}
	}
}

// sorted are the claims in the order in which they came.
func (b *Book) sorted() []*claim {
	return slices.SortedFunc(maps.Values(b.claims), func(x, y *claim) int { return cmp.Compare(x.order, y.order) })
}

// moveAside gives a server that had another place, or none, the socket that it asked for.
func (b *Book) moveAside(sv spec.Service, c *claim) {
	h := b.habitsOf(sv.Name)
	a, taken := c.ask, c.port != ""
	h.learn(a, place{published: own}, sv.Ports)
	s, err := c.asked, error(nil)
	if s == nil {
		s, err = b.sharedSocket(sv, a)
	}
	if err != nil { // the worker believes already that it listens
		b.cfg.Notice(sv.Name, fmt.Sprintf("port %d of %s is not reachable: %v", a.Port, a.Worker, err))
		c.port = engine.Port(askID(a)[len(a.Service)+1:])
		a.Moved(c.port)
		return
	}
	b.route()
	u, _ := s.use(sv.Name)
	c.port, c.asked = u.port, s
	a.Moved(c.port)
	if taken && a.Port != 0 && !h.told[s.id] {
		h.told[s.id] = true
		b.cfg.Notice(sv.Name, fmt.Sprintf("port %d of %s was asked for first and taken for the application's; now it listens on $PORT (%d): port %d is reached at %s",
			a.Port, a.Worker, b.open[b.socketID(sv, 0)].number(), a.Port, s.address()))
	}
	b.sayBeside(sv, a, s)
}

// sayBeside says once of each port which one leads where.
func (b *Book) sayBeside(sv spec.Service, a engine.Ask, s *socket) {
	h := b.habitsOf(sv.Name)
	if len(sv.Ports) == 0 || !isTCP(a) || h.told[s.id] {
		return
	}
	h.told[s.id] = true
	first := sv.Ports[0]
	public := b.open[b.socketID(sv, 0)].number()
	switch {
	case first.Target != 0 && !b.holds(a) && a.Port == 0:
		b.cfg.Notice(sv.Name, fmt.Sprintf("%s listens on a free port of its own, but the published port %d leads to port %d: publish %d without a target", a.Worker, public, first.Target, public))
	case first.Target != 0 && !b.holds(a):
		b.cfg.Notice(sv.Name, fmt.Sprintf("%s listens on port %d, but the published port %d leads to port %d: publish %d:%d", a.Worker, s.number(), public, first.Target, public, s.number()))
	case h.app != 0:
		b.cfg.Notice(sv.Name, fmt.Sprintf("%s listens on two ports: the published port %d leads to port %d, and port %d is reached at %s; publish %d:%d if it should be the other way round",
			a.Worker, public, h.app, s.number(), s.address(), public, s.number()))
	default:
		b.cfg.Notice(sv.Name, fmt.Sprintf("%s listens on port %d, too, which is reached at %s; the published port %d leads to what listens on $PORT", a.Worker, s.number(), s.address(), public))
	}
}

// Release ends a claim: the worker has closed the server. A socket that it asked
// for is closed with the last of them.
func (b *Book) Release(process, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(claimID{process, key})
}

// Leave notes that a process is gone. Its successor will ask for the same again,
// so the sockets stay open; what the successor did not ask for goes when it
// leaves in its turn.
func (b *Book) Leave(process string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	worker, began := "", b.order
	for id, c := range b.claims {
		if id.process == process {
			worker, began = c.ask.Worker, min(began, c.order)
			c.left, c.leftAt = true, b.order
		}
	}
	for id, c := range b.claims {
		if c.left && c.ask.Worker == worker && (c.leftAt <= began || c.port == "") {
			b.drop(id)
		}
	}
}

// drop ends a claim. b.mu is held.
func (b *Book) drop(id claimID) {
	c := b.claims[id]
	delete(b.claims, id)
	b.unhold(c)
}

// unhold closes the socket of a claim that has ended, if it was the last one.
func (b *Book) unhold(c *claim) {
	if c == nil || c.asked == nil || b.open[c.asked.id] != c.asked {
		return
	}
	for _, other := range b.claims {
		if other.asked == c.asked {
			return
		}
	}
	delete(b.open, c.asked.id)
	b.route()
	c.asked.close()
}

func (b *Book) habitsOf(service string) *habits {
	if b.habits[service] == nil {
		b.habits[service] = newHabits()
	}
	return b.habits[service]
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

func (b *Book) openAsked(id string, sv spec.Service, a engine.Ask) (*socket, error) {
	u := user{service: a.Service, port: engine.Port(id[len(a.Service)+1:]), number: -1}
	if len(sv.Ports) == 0 && a.Network != "udp4" && a.Network != "udp6" && !b.holds(a) {
		u.port = engine.Main
	}
	s := &socket{id: id, users: []user{u}, shared: a.Shared}
	var err error
	switch a.Network {
	case "unix":
		s.listener, s.path, err = openPath(a.Path)
		b.paths.Do(func() { b.serving.Go(b.watchPaths) })
	case "udp4", "udp6":
		s.packet, err = listen.OpenPacket(b.ctx, packetNetwork(a), a.Host, a.Port, a.Reuse)
	default:
		s.listener, err = listen.Open(b.ctx, network(a), a.Host, a.Port)
	}
	if err != nil {
		return nil, err
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
func (s *socket) grant(a engine.Ask, port engine.Port) engine.Grant {
	g := engine.Grant{Port: port, Host: host(a), Number: a.Port}
	if a.Port == 0 && a.Network != "unix" {
		g.Number = s.number()
	}
	if s.shared || s.packet != nil {
		g.Shared = descriptor(s)
	}
	return g
}

func host(a engine.Ask) string {
	if a.Host == "" {
		return "::"
	}
	return a.Host
}
