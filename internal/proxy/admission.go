package proxy

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"bulsa/internal/proxy/limit"
	"bulsa/internal/proxy/reply"
)

// pass is a connection's leave to be there. It is given back with service.leave.
type pass struct {
	ok      bool
	address netip.Addr // counted under it; invalid: under none
}

// enter counts a client's connection, or says why it is one too many. A trusted
// peer is a proxy with many clients: only all connections together bound it.
func (s *service) enter(peer netip.Addr, set *Settings) (pass, *reply.Local) {
	if n := s.OpenClients.Add(1); set.Connections > 0 && n > int64(set.Connections) {
		s.OpenClients.Add(-1)
		s.TurnedAway.Add(1)
		return pass{}, tooMany(fmt.Sprintf("%d clients are connected, and no more may be", set.Connections))
	}
	p := pass{ok: true}
	if set.ConnectionsPerAddress > 0 && peer.IsValid() && (set.ProxyProtocol || !trusts(set.Trusted, peer)) {
		p.address = limit.OneClient(peer)
		if !s.crowd.Enter(p.address, set.ConnectionsPerAddress) {
			s.OpenClients.Add(-1)
			s.TurnedAway.Add(1)
			return pass{}, tooMany(fmt.Sprintf("%d connections of %s are open, and no more may be", set.ConnectionsPerAddress, p.address))
		}
	}
	return p, nil
}

func tooMany(reason string) *reply.Local {
	return &reply.Local{Status: http.StatusServiceUnavailable, Reason: reason, RetryAfter: time.Second}
}

// leave gives a pass back.
func (s *service) leave(p pass) {
	if !p.ok {
		return
	}
	s.OpenClients.Add(-1)
	if p.address.IsValid() {
		s.crowd.Leave(p.address)
	}
}
