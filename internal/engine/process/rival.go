package process

import (
	"slices"
	"time"

	"bulsa/internal/engine"
)

// collision is what a run died of that could not get a port because another
// worker of its service holds that port by itself; "" if none does. Neither can
// serve beside the other: both are told to be unusable, but one that serves
// already goes on.
func (r *run) collision(port int) string {
	message := r.fixedPort(port)
	if !watchable {
		return message
	}
	rivals := r.rivals(port)
	if len(rivals) == 0 {
		return ""
	}
	for _, rival := range rivals {
		if !rival.isServing() {
			rival.emit(engine.Fact{Kind: engine.Unusable, Message: message})
		}
	}
	r.engine.facts.Send(engine.Fact{Kind: engine.Unusable, Instance: r.launch.ID, At: time.Now(), Message: message})
	return message
}

// rivals are the other workers of the service that hold the port by themselves,
// without having asked bulsa for one. 0 stands for any port but the one that a worker was given.
func (r *run) rivals(port int) []*run {
	return slices.DeleteFunc(r.engine.siblings(r), func(other *run) bool {
		return other.hasAsked() || !slices.ContainsFunc(other.listensOn(nil), func(a address) bool {
			return a.port == port || port == 0 && a.port != other.port
		})
	})
}

// siblings are the living runs of the service's other workers.
func (e *Engine) siblings(r *run) []*run {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []*run
	for _, other := range e.runs {
		if other.instance.PID != 0 && other.plan.service.Name == r.plan.service.Name && other.launch.Number != r.launch.Number {
			list = append(list, other)
		}
	}
	return list
}

func (r *run) hasAsked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *run) isServing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.serving
}
