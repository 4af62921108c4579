package ports

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"bulsa/internal/certs"
	"bulsa/internal/listen"
	"bulsa/internal/proxy"
	"bulsa/internal/spec"
)

// CheckCertificates finds files that cannot be used, before anything is started.
func CheckCertificates(p spec.Project, sv spec.Service) error {
	for i, c := range sv.TLS.Certificates {
		_, err := certs.Check(certs.Pair(c), time.Now())
		if problem, ok := errors.AsType[*certs.Problem](err); ok {
			part := "cert"
			if problem.File == c.Key {
				part = "key"
			}
			return p.Placed(sv.Name, &spec.Problem{Where: fmt.Sprintf("x-bulsa.tls.certificates.%d.%s", i, part), What: problem.Error()})
		}
	}
	return nil
}

// identity is what a service shows to clients that come by TLS.
type identity struct {
	config certs.Config
	store  *certs.Store
	stop   context.CancelFunc
}

// identify gives every service of p its certificates. Those of a service whose
// configuration is the same stay. The stores that are not needed any more end when
// p is in force. b.mu is held.
func (b *Book) identify(p spec.Project) (next map[string]*identity, err error) {
	next = map[string]*identity{}
	for _, sv := range p.Services {
		if !sv.TLS.Enabled() {
			continue
		}
		c := b.certsConfig(sv)
		if old := b.identities[sv.Name]; old != nil && reflect.DeepEqual(old.config, c) {
			next[sv.Name] = old
			continue
		}
		reporting := c
		reporting.Report = func(text string) { b.cfg.Notice(sv.Name, text) }
		store, err := certs.New(reporting)
		if err != nil {
			return nil, p.Placed(sv.Name, &spec.Problem{Where: "x-bulsa.tls.certificates", What: err.Error()})
		}
		next[sv.Name] = &identity{config: c, store: store}
	}
	return next, nil
}

// adopt puts identities in force, and ends those that they replace. b.mu is held.
func (b *Book) adopt(next map[string]*identity) {
	for name, old := range b.identities {
		if next[name] != old {
			old.stop()
		}
	}
	for name, id := range next {
		if id.stop != nil {
			continue
		}
		for _, pair := range id.config.Files {
			if warning, _ := certs.Check(pair, time.Now()); warning != "" {
				b.cfg.Notice(name, warning)
			}
		}
		var ctx context.Context
		ctx, id.stop = context.WithCancel(b.ctx)
		b.serving.Go(func() { id.store.Run(ctx) })
	}
	b.identities = next
}

func (b *Book) certsConfig(sv spec.Service) certs.Config {
	var c certs.Config
	for _, pair := range sv.TLS.Certificates {
		c.Files = append(c.Files, certs.Pair(pair))
	}
	if len(sv.TLS.Domains) > 0 {
		c.ACME = certs.ACME{
			Domains: sv.TLS.Domains, Email: sv.TLS.Email, CA: sv.TLS.CA, Storage: filepath.Join(b.cfg.StateDir, "acme"),
			HTTPPort: b.preferred(sv, 80, true), TLSPort: b.preferred(sv, 443, false), Host: sv.Ports[0].Host,
		}
	}
	return c
}

// Certificates tell when those of each service end, by their first name.
func (b *Book) Certificates() map[string]map[string]time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]map[string]time.Time{}
	for service, id := range b.identities {
		all[service] = id.store.Expiries()
	}
	return all
}

// preferred is the number of one of the service's ports that speak no TLS, or of
// those that do: the usual one if it is among them; 0: there is none.
func (b *Book) preferred(sv spec.Service, usual int, plain bool) int {
	found := 0
	for _, p := range sv.Ports {
		if sv.TLS.Plain(p.Published) != plain {
			continue
		}
		number := p.Published
		if s := b.open[publishedID(sv.Name, p)]; s != nil {
			number = s.number()
		}
		if found == 0 || number == usual {
			found = number
		}
	}
	return found
}

// face is how a socket speaks TLS. It stays the same while the certificates
// change, so that sessions can be resumed.
type face struct {
	stores atomic.Pointer[[]*certs.Store]
	min    uint16
	config *tls.Config
}

// secure makes the listener of a socket speak TLS where one of its services says
// so. b.mu is held.
func (b *Book) secure(s *socket, l *proxy.Listener) {
	var stores, challenged []*certs.Store
	http3 := false
	min := uint16(tls.VersionTLS12)
	for _, u := range s.users {
		sv := b.services[u.service]
		id := b.identities[u.service]
		if !s.published || id == nil {
			continue
		}
		challenged = append(challenged, id.store)
		if sv.TLS.Plain(s.number()) {
			continue
		}
		stores = append(stores, id.store)
		http3 = http3 || sv.TLS.HTTP3
		if sv.TLS.MinVersion == "1.3" {
			min = tls.VersionTLS13
		}
	}
	if len(challenged) > 0 {
		l.Challenge = func(host, path string) (string, bool) { return answerChallenge(challenged, host, path) }
	}
	b.quic(s, http3)
	if len(stores) == 0 {
		s.face = nil
		return
	}
	if s.face == nil || s.face.min != min {
		f := &face{min: min}
		f.config = certs.Serve(func() []*certs.Store { return *f.stores.Load() }, min, true)
		s.face = f
	}
	s.face.stores.Store(&stores)
	l.TLS = &proxy.TLS{Config: s.face.config}
	if l.Settings.Protocol == proxy.TCP { // its protocol's names are not known here
		l.TLS.Config = s.face.config.Clone()
		l.TLS.Config.NextProtos = nil
	}
	if s.datagrams != nil {
		l.TLS.AltSvc = fmt.Sprintf(`h3=":%d"; ma=86400`, s.number())
	}
}

// quic opens the UDP side of a socket for HTTP/3, or closes it. Clients that
// cannot come by it come by TCP, so an error is no more than news. b.mu is held.
func (b *Book) quic(s *socket, wanted bool) {
	if !wanted {
		s.hangUp()
		return
	}
	if s.datagrams != nil {
		return
	}
	at := s.listener.Addr().(*net.TCPAddr)
	host := at.IP.String()
	if at.IP.IsUnspecified() {
		host = ""
	}
	pc, err := listen.OpenPacket(b.ctx, "udp", host, at.Port, false)
	if err != nil {
		b.cfg.Notice(s.users[0].service, fmt.Sprintf("HTTP/3 is not spoken: %v", err))
		return
	}
	s.datagrams = pc
}

// serveQUIC serves what quic has opened, once the table is in force. b.mu is held.
func (b *Book) serveQUIC(s *socket) {
	if s.datagrams == nil || s.ending != nil {
		return
	}
	ctx, cancel := context.WithCancel(b.ctx)
	s.ending = cancel
	pc := s.datagrams
	b.serving.Go(func() {
		if err := b.cfg.Server.ServeHTTP3(ctx, s.id, pc); err != nil {
			b.cfg.Notice("", fmt.Sprintf("HTTP/3 on %s ended: %v", s.address(), err))
		}
	})
}

// hangUp ends HTTP/3 on the socket.
func (s *socket) hangUp() {
	if s.ending != nil {
		s.ending()
	} else if s.datagrams != nil {
		s.datagrams.Close()
	}
	s.datagrams, s.ending = nil, nil
}

func answerChallenge(stores []*certs.Store, host, path string) (string, bool) {
	for _, s := range stores {
		if text, ok := s.Answer(host, path); ok {
			return text, true
		}
	}
	return "", false
}

// redirect is the port that requests of a service are sent to from a socket that
// speaks no TLS; "": none.
func (b *Book) redirect(s *socket, sv spec.Service) string {
	if !s.published || !sv.TLS.Enabled() || sv.TLS.NoRedirect || !sv.TLS.Plain(s.number()) {
		return ""
	}
	if slices.ContainsFunc(sv.Ports, func(p spec.Port) bool { return !sv.TLS.Plain(p.Published) }) {
		return strconv.Itoa(b.preferred(sv, 443, false))
	}
	return ""
}
