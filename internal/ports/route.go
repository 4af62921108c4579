package ports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"bulsa/internal/proxy"
	"bulsa/internal/spec"
)

// route gives the proxy its table and starts serving sockets that are new. b.mu is held.
func (b *Book) route() {
	table := proxy.Table{}
	for id, s := range b.open {
		if s.shared || s.packet != nil {
			continue
		}
		if routes := b.routes(s); len(routes) > 0 {
			table[id] = proxy.NewListener(routes...)
			b.secure(s, table[id])
			if s.face == nil { // a check that speaks TLS is a client like any other
				table[id].Divert = side{&b.visits, s.users}
			}
		}
	}
	b.cfg.Server.SetTable(table)
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
			if err := b.cfg.Server.Serve(ctx, id, s.listener); err != nil && !errors.Is(err, net.ErrClosed) {
				b.cfg.Notice("", fmt.Sprintf("the listener on %s ended: %v", s.address(), err))
			}
		}()
	}
}

// routes are the ways from a socket to its services' pools.
func (b *Book) routes(s *socket) []proxy.Route {
	var routes []proxy.Route
	for _, u := range s.users {
		if u.joined {
			continue
		}
		sv, known := b.services[u.service]
		if !known {
			continue // on its way out
		}
		pool, err := b.cfg.Pools.Of(sv, u.port)
		if err != nil {
			b.cfg.Notice(sv.Name, fmt.Sprintf("%s cannot be served: %v", s.address(), err))
			continue
		}
		route := proxy.Route{Service: u.service, Port: string(u.port), Pool: pool, Settings: b.settings(sv), Redirect: b.redirect(s, sv)}
		route.Settings.Protocol = protocolOf(sv, u)
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

// protocolOf is what clients of a service's port speak. Of one that a worker asked for
// nothing is said: the workers know, or the first bytes tell.
func protocolOf(sv spec.Service, u user) proxy.Protocol {
	if u.number < 0 || u.number >= len(sv.Ports) {
		return proxy.Auto
	}
	switch sv.Speaks(u.number) {
	case spec.ProtocolTCP:
		return proxy.TCP
	case spec.ProtocolHTTP:
		return proxy.HTTP
	}
	return proxy.Auto
}

// sendProxy is the number of a version.
func sendProxy(v spec.SendProxy) int {
	switch v {
	case spec.SendProxy1:
		return 1
	case spec.SendProxy2:
		return 2
	}
	return 0
}

func (b *Book) settings(sv spec.Service) proxy.Settings {
	f, l := sv.Forward, sv.Limits
	s := proxy.Settings{
		HeaderTimeout: f.HeaderTimeout, IdleTimeout: f.IdleTimeout, MaxHeader: sv.HeaderLimit(), WebSockets: f.WebSockets,
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress, ProxyProtocol: f.ProxyProtocol,
		ConnectTimeout: f.ConnectTimeout, AnswerTimeout: cmp.Or(f.AnswerTimeout, spec.LateAnswer), Patient: f.AnswerTimeout == 0, WriteTimeout: f.WriteTimeout, MinRate: l.MinRate,
		MaxBody: l.Body, Sticky: sv.Balance.Sticky, Sessions: f.Sessions, Recall: f.Recall, SendProxy: sendProxy(f.SendProxy), H2C: f.Upstream == spec.UpstreamH2C, HSTS: sv.TLS.HSTS,
		AccessLog: b.logs.of(sv.AccessLog),
	}
	s.Hold, s.Queue, s.QueueTimeout, s.RetryTimeout = f.Hold, l.Queue, l.QueueTimeout, f.RetryTimeout
	for _, cidr := range f.TrustedProxies {
		if prefix, err := spec.ParseNetwork(cidr); err == nil {
			s.Trusted = append(s.Trusted, prefix)
		}
	}
	return s
}
