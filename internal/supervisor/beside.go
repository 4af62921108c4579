package supervisor

import (
	"fmt"

	"bulsa/internal/engine"
	"bulsa/internal/rollout"
)

// wouldCollide reports whether the plan starts a worker beside one that holds a port by
// itself: the new one would find it in use, again and again. From then on the old one
// ends first. Where several workers run, such a port is shared (SO_REUSEPORT), or
// nobody minds.
func (s *service) wouldCollide(plan rollout.Plan) bool {
	b, ok := s.engine.(engine.Binder)
	if !ok || s.fixedPort || s.release.Service.Replicas > 1 {
		return false
	}
	for _, a := range plan.Actions {
		if a.Kind != rollout.Start || a.Key != "" {
			continue
		}
		for _, m := range s.members {
			w := m.picture.status
			if w.Number != a.Number || !runs(w.State) {
				continue
			}
			if port := b.BindsPort(w.instance); port != 0 {
				s.fixedPort = true
				s.emit(w.Name, "notice", fmt.Sprintf("listens on port %d by itself, so it ends before its successor starts; a port that is published with -p, or $PORT, needs no such pause", port), "")
				return true
			}
		}
	}
	return false
}
