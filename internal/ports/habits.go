package ports

import (
	"net/netip"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// How long the first server of a worker that is not what PORT names waits to be
// taken for the application. Metrics and health servers are often opened first,
// and the application when it has its database: its clients must not meet them.
const (
	// waitReads: the program's own sources mention PORT, or another worker of the
	// service listens on it.
	waitReads = 5 * time.Second
	// waitUnknown: nothing is known of its sources, or the server is for this
	// machine alone, as helpers' often are.
	waitUnknown = 2 * time.Second
)

// habits are what the workers of a service have shown of how they listen. They
// decide what a published port without a target leads to: what listens on PORT,
// else the server that the worker had alone.
type habits struct {
	app     int          // the port taken for the application's; 0: none yet, or what PORT says
	byPort  bool         // the application listens on what PORT says
	anyPort bool         // the application listens on any port that is free
	target  bool         // the application listens on the target that was published
	beside  map[int]bool // ports of other servers of theirs

	numbered map[int]bool    // published ports without a target that are asked for by their own number
	told     map[string]bool // sockets that a notice was about
}

func newHabits() *habits {
	return &habits{beside: map[int]bool{}, numbered: map[int]bool{}, told: map[string]bool{}}
}

// own is the place of a server that no published port leads to.
const own = -1

// place is where a server belongs.
type place struct {
	published int           // index of the published port that leads to it; own: none
	wait      time.Duration // not 0: it cannot be told yet; ask again after this time
}

// place says where what a worker asks for belongs. holds: the same process has
// another server that a published port without a target leads to already.
func (h *habits) place(a engine.Ask, ports []spec.Port, holds bool) place {
	if !isTCP(a) || len(ports) == 0 {
		return place{published: own}
	}
	for i, p := range ports {
		if p.Target != 0 && p.Target == a.Port {
			return place{published: i}
		}
	}
	if a.Own {
		return place{published: 0}
	}
	for i, p := range ports {
		if p.Target == 0 && p.Published != 0 && p.Published == a.Port {
			return place{published: i}
		}
	}
	switch {
	case ports[0].Target != 0 && !h.evades(a, ports):
		return place{published: own}
	case a.Shared: // it would be told another port than it asked for
		return place{published: own}
	case a.Port != 0 && a.Port == h.app:
		return place{published: 0}
	case holds, h.beside[a.Port]:
		return place{published: own}
	case a.Port == 0 && isLoopback(a.Host): // some library's own
		return place{published: own}
	case a.Port == 0 && h.anyPort, a.Waited:
		return place{published: 0}
	}
	return place{published: 0, wait: h.patience(a)}
}

// evades reports whether a server on any free port may be the application, which looked
// whether its own port is free: of a port that is published as N:N bulsa is the one who
// listens on N, a program that connects there to see (serve, tcp-port-used) finds it in
// use, and the published port would lead nowhere.
func (h *habits) evades(a engine.Ask, ports []spec.Port) bool {
	return a.Port == 0 && len(ports) == 1 && ports[0].Target == ports[0].Published && !h.target
}

func (h *habits) patience(a engine.Ask) time.Duration {
	switch {
	case a.Port == 0:
		return waitUnknown // it may be closed at once: who looks for a free port listens for a moment
	case h.byPort, a.Sources == engine.SourcesReadPort:
		return waitReads
	case a.Sources == engine.SourcesIgnorePort && !isLoopback(a.Host):
		return 0
	}
	return waitUnknown
}

// learn takes over what was decided of an ask.
func (h *habits) learn(a engine.Ask, at place, ports []spec.Port) {
	if !isTCP(a) || len(ports) == 0 {
		return
	}
	switch {
	case a.Port == 0:
		h.anyPort = at.published == 0
	case at.published == own:
		h.beside[a.Port] = true
	case ports[at.published].Target != 0 && !a.Own:
		h.target = h.target || at.published == 0
	case at.published > 0 && !a.Own:
		h.numbered[a.Port] = true
	case a.Own:
		h.byPort, h.app = true, 0
	case at.published == 0:
		h.byPort, h.app = false, a.Port
	}
}

func isTCP(a engine.Ask) bool {
	return a.Network == "tcp" || a.Network == "tcp4" || a.Network == "tcp6"
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
