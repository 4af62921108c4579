package process

import (
	"net"
	"slices"

	"bulsa/internal/engine"
)

// Deaf reports whether requests wait unread where a worker was seen to listen, and
// where else its processes listen: perhaps the application is there.
func (e *Engine) Deaf(id engine.InstanceID) (elsewhere []string) {
	r := e.find(id)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	own, ok := r.lines[engine.Main].(dialConnector)
	r.mu.Unlock()
	at, err := net.ResolveTCPAddr("tcp", own.address)
	if !ok || err != nil || !waitsUnread(at) {
		return nil // what the primary passes is read by the event loop, which is watched
	}
	for _, a := range r.listensOn(nil) {
		if a.port != at.Port {
			elsewhere = append(elsewhere, a.String())
		}
	}
	slices.Sort(elsewhere)
	return slices.Compact(elsewhere)
}
