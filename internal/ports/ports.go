// Package ports is the book of all public sockets: it opens those that the
// configuration publishes and those that workers ask for, and gives the proxy the
// table of what each leads to.
package ports

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/listen"
	"bulsa/internal/proxy"
	"bulsa/internal/spec"
)

// Config is what a Book stands on.
type Config struct {
	Server   *proxy.Server // serves the sockets by the table that the book makes
	Pools    Pools
	Notice   func(service, message string) // something that a user should read; service "": of no single one
	Logger   *slog.Logger
	Stdout   io.Writer // for access logs on standard output
	StateDir string    // for what must outlive a reboot: certificates by ACME
}

// Pools are what requests are balanced over.
type Pools interface {
	Of(s spec.Service, p engine.Port) (*balance.Pool, error)
}

// Book knows every public socket. Each leads to the pool of one service, or of
// several that share a published port. Make one with New.
type Book struct {
	cfg    Config
	logs   *accessLogs
	ctx    context.Context // ends the listeners
	end    context.CancelFunc
	visits visits
	paths  sync.Once // begins to watch those of unix sockets

	mu         sync.Mutex
	services   map[string]spec.Service
	open       map[string]*socket // by id
	claims     map[claimID]*claim
	order      int                  // claims there were
	habits     map[string]*habits   // by service
	identities map[string]*identity // by service: of those that speak TLS
	serving    sync.WaitGroup
}

var _ engine.Sockets = (*Book)(nil)

// New makes a book without sockets.
func New(c Config) *Book {
	b := &Book{cfg: c, logs: newAccessLogs(c.Stdout, c.Logger), services: map[string]spec.Service{}, open: map[string]*socket{},
		claims: map[claimID]*claim{}, habits: map[string]*habits{}}
	b.ctx, b.end = context.WithCancel(context.Background())
	return b
}

// Publish opens what p publishes and is not open yet, and gives what is open to
// the services of p. Either all of it opens, or nothing changes. It returns a
// function that closes what p no longer publishes; call it when p is in force.
func (b *Book) Publish(p spec.Project) (retire func(), err error) {
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
				return nil, p.Placed(sv.Name, &spec.Problem{Where: fmt.Sprintf("ports.%d", i), What: err.Error()})
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
func (b *Book) assign(p spec.Project) {
	users := map[string][]user{}
	for _, sv := range p.Services {
		b.services[sv.Name] = sv
	}
	for _, sv := range p.Services {
		for i, port := range sv.Ports {
			id := b.socketID(sv, i)
			users[id] = append(users[id], user{sv.Name, b.portKey(sv, i), port.Target, i, sv.Pool != ""})
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
func (b *Book) socketID(sv spec.Service, i int) string {
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

func (b *Book) openPublished(id string, sv spec.Service, port spec.Port) (*socket, error) {
	ln, err := listen.Open(b.ctx, "tcp", port.Host, port.Published)
	if err != nil {
		return nil, err
	}
	return &socket{id: id, published: true, listener: ln, shared: sv.NodeMode == spec.NodeShared}, nil
}

// portKey is the pool that a published port leads to: the first one, and every
// one with the same target, is the main port, and so is one without a target as
// long as no worker asks for it by its number.
func (b *Book) portKey(sv spec.Service, i int) engine.Port {
	p := sv.Ports[i]
	switch {
	case i == 0, p.Target != 0 && p.Target == sv.Ports[0].Target:
		return engine.Main
	case p.Target != 0:
		return engine.Port(strconv.Itoa(p.Target))
	case b.habitsOf(sv.Name).numbered[p.Published]:
		return engine.Port(strconv.Itoa(p.Published))
	}
	return engine.Main
}

// retire closes published sockets that are not wanted any more, and everything
// of services that p lacks.
func (b *Book) retire(p spec.Project, wanted map[string]bool, identities map[string]*identity) {
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
	maps.DeleteFunc(b.habits, func(service string, _ *habits) bool { _, known := b.services[service]; return !known })
	b.adopt(identities)
	b.route()
}

// List shows a service's sockets as Docker shows ports: "0.0.0.0:3333->3000".
func (b *Book) List(service string) []string {
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
		if s.served && b.cfg.Server.Speaks(s.id) == proxy.TCP {
			text += "/tcp"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// Close ends all listeners, and then the access logs.
func (b *Book) Close() {
	b.mu.Lock()
	for id, s := range b.open {
		s.close()
		delete(b.open, id)
	}
	b.adopt(nil)
	b.mu.Unlock()
	b.end()
	b.serving.Wait()
	b.logs.close()
}

// LostLines counts the lines that each access log could not take.
func (b *Book) LostLines() map[string]uint64 { return b.logs.lost() }
