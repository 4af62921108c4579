package process

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/node"

	"bulsa/internal/upstream"
)

// claimPatience is how long opening a public socket may take.
const claimPatience = 5 * time.Second

// server is one server of a Node worker that listens through bulsa.
type server struct {
	port   engine.Port // "": its place is not known yet
	asked  int         // the port that it asked for
	raw    bool        // takes whole client connections only: it speaks TLS, or mode rr
	shared bool        // accepts from the socket itself
	speaks string      // "http" or "tcp"; "": it has not said

	claim     string // what it is called in Sockets: its key alone may come again
	listens   bool   // the worker takes connections
	address   string
	connector upstream.Connector
}

// claim asks for the public side of a server, which may be told its place later.
func (l *line) claim(key string, a node.Ask, s *server) (engine.Grant, error) {
	r := l.r
	ask := r.wish(a)
	r.mu.Lock()
	if r.taken(l, a) {
		r.mu.Unlock()
		return engine.Grant{}, syscall.EADDRINUSE
	}
	r.asked = true
	if r.app == nil {
		r.app = l
	}
	l.claims++
	s.claim = key + "#" + strconv.Itoa(l.claims)
	l.servers[key] = s
	r.mu.Unlock()
	r.cluster.asks.Store(true)
	if a.Metrics {
		r.cluster.relay.UsesMetrics(l.member)
	}
	ask.Process, ask.Key, ask.Shared = l.name, s.claim, s.shared
	ask.Moved = func(p engine.Port) { r.place(s, p, true) }
	grant, err := r.publicSide(ask)
	if err != nil {
		r.mu.Lock()
		delete(l.servers, key)
		r.mu.Unlock()
		return grant, err
	}
	r.place(s, grant.Port, false)
	if grant.Wait > 0 {
		r.helpers.Go(func() { r.askAgain(ask, s, grant.Wait) })
	}
	return grant, nil
}

func (r *run) publicSide(ask engine.Ask) (engine.Grant, error) {
	if r.engine.cfg.Sockets == nil {
		return engine.Grant{}, errors.New("no public sockets here")
	}
	ctx, cancel := context.WithTimeout(r.ctx, claimPatience)
	defer cancel()
	return r.engine.cfg.Sockets.Claim(ctx, ask)
}

// wish is what a worker asks for in the words of the contract.
func (r *run) wish(a node.Ask) engine.Ask {
	ask := engine.Ask{
		Service: r.plan.service.Name, Worker: r.launch.Worker, Instance: r.launch.ID,
		Network: network(a), Host: a.Address, Port: a.Port, Index: a.Index, Own: r.isOwn(a.Port), V6Only: a.Flags&1 != 0, Reuse: a.UDP() && a.Flags&4 != 0,
	}
	if ask.Network == "unix" {
		ask.Host, ask.Path, ask.Port = "", a.Address, 0
	}
	if ports := r.plan.service.Ports; len(ports) > 0 && ports[0].Target == 0 && !ask.Own && ask.Port > 0 {
		ask.Sources = sources(a.Script)
	}
	return ask
}

// isOwn reports whether PORT says this number to the worker: bulsa's, or where no
// target says what the application listens on, the service's own.
func (r *run) isOwn(port int) bool {
	if port <= 0 {
		return false
	}
	if port == r.port || port == r.told {
		return true
	}
	value, set := variable(r.plan.env, "PORT")
	ports := r.plan.service.Ports
	return set && len(ports) > 0 && ports[0].Target == 0 && value == strconv.Itoa(port)
}

func sources(script string) engine.Sources {
	if script == "" {
		return engine.SourcesUnknown
	}
	switch found, known := node.Mentions(script, "PORT"); {
	case found:
		return engine.SourcesReadPort
	case known:
		return engine.SourcesIgnorePort
	}
	return engine.SourcesUnknown
}

// askAgain asks once more where a server belongs that was none yet.
func (r *run) askAgain(ask engine.Ask, s *server, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
		return
	}
	ask.Waited = true
	if grant, err := r.engine.cfg.Sockets.Claim(r.ctx, ask); err == nil { // else it is closed, or was moved
		r.place(s, grant.Port, false)
	}
}

// place says where a server belongs. moved: what was known before is no longer true.
func (r *run) place(s *server, p engine.Port, moved bool) {
	r.mu.Lock()
	before, listens := s.port, s.listens
	if before == p || before != "" && !moved {
		r.mu.Unlock()
		return
	}
	s.port = p
	r.mu.Unlock()
	if !listens {
		return
	}
	if before != "" {
		r.closed(before)
	}
	r.opened(s)
}

// opened tells of a server that takes connections, once its place is known.
func (r *run) opened(s *server) {
	r.mu.Lock()
	s.listens = true
	f := engine.Fact{Kind: engine.Listening, Port: s.port, Address: s.address, Connector: s.connector}
	r.mu.Unlock()
	if f.Port != "" {
		r.emit(f)
	}
}

// closed tells that a server is gone from a port. Another one may be there, too:
// an application that listens on two addresses by the same number.
func (r *run) closed(p engine.Port) {
	r.mu.Lock()
	var other *server
	for _, l := range r.members {
		for _, s := range l.servers {
			if s.port == p && s.listens {
				other = s
			}
		}
	}
	r.mu.Unlock()
	if other != nil {
		r.opened(other)
		return
	}
	r.emit(engine.Fact{Kind: engine.Closed, Port: p})
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
