package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"

	"bulsa/internal/engine"
	"bulsa/internal/listen"
	"bulsa/internal/spec"
)

// Claim answers a worker's wish to listen: with the published port that it
// means, with the socket that another worker of the service already caused to
// be open, or with a new one where the worker asked for it.
func (b *Book) Claim(ctx context.Context, a engine.Ask) (engine.Grant, error) {
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
func (b *Book) publishedFor(sv spec.Service, a engine.Ask) *socket {
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
			b.cfg.Notice(sv.Name, fmt.Sprintf("%s listens on port %d, but the published port %d leads to port %d: publish %d:%d", a.Worker, a.Port, first.Published, first.Target, first.Published, a.Port))
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

func (b *Book) openAsked(id string, sv spec.Service, a engine.Ask) (*socket, error) {
	u := user{service: a.Service, port: engine.Port(id[len(a.Service)+1:]), number: -1}
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
		b.cfg.Notice(sv.Name, fmt.Sprintf("%s cannot listen: %v", a.Worker, err))
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
