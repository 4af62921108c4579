package process

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// furtherGrace is how long a worker may take to listen on the targets of its further
// ports before somebody is told that it does not.
const furtherGrace = time.Minute

// further are the targets of published ports that are not the first one's.
func further(ports []spec.Port) []int {
	var targets []int
	for i, p := range ports {
		if i > 0 && p.Target != 0 && p.Target != ports[0].Target && !slices.Contains(targets, p.Target) {
			targets = append(targets, p.Target)
		}
	}
	return targets
}

// toldPort is what PORT says to a program that is reached by the published ports: the
// first target that is not the inspector's, on which no application listens.
func toldPort(ports []spec.Port) int {
	for _, p := range ports {
		if number := cmp.Or(p.Target, p.Published); number != inspectorPort {
			return number
		}
	}
	return cmp.Or(ports[0].Target, ports[0].Published)
}

// watchFurther finds who listens by itself on further targets: what a worker asks bulsa
// for is led there anyway.
func (r *run) watchFurther(before map[uint64]address, targets []int) {
	look := time.NewTicker(lastLook)
	defer look.Stop()
	for began := time.Now(); len(targets) > 0; {
		select {
		case <-r.ctx.Done():
			return
		case <-look.C:
		}
		if targets = r.unserved(targets); len(targets) == 0 {
			return
		}
		if len(r.looking) > 0 { // an inspector that bulsa has opened listens, too
			continue
		}
		for _, a := range r.listensOn(before) {
			if slices.Contains(targets, a.port) {
				at := loopback(a.ip, a.port)
				r.emit(engine.Fact{Kind: engine.Listening, Port: keyOf(a.port), Address: at, FixedPort: !r.joins(), Connector: dialConnector{network: "tcp", address: at, run: r}})
			}
		}
		if targets = r.unserved(targets); len(targets) > 0 && time.Since(began) > furtherGrace {
			r.emit(engine.Fact{Kind: engine.Notice, Message: "does not listen on " + list(targets) + ", where published ports lead"})
			return
		}
	}
}

func keyOf(target int) engine.Port { return engine.Port(strconv.Itoa(target)) }

// unserved are the targets on which nothing listens that is known of.
func (r *run) unserved(targets []int) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(targets), func(target int) bool { return r.lines[keyOf(target)] != nil })
}

func list(ports []int) string {
	words := make([]string, 0, len(ports))
	for _, p := range ports {
		words = append(words, fmt.Sprint(p))
	}
	return "port " + strings.Join(words, " and port ")
}
