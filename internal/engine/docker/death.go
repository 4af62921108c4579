package docker

import (
	"context"

	"bulsa/internal/engine"
)

// watchProcess takes the container out of use at the moment its first process
// ends. Docker tells of it as well, on a busy machine seconds later; until then
// the address leads nowhere, and whoever connects to it waits in vain. Where the
// process cannot be seen, Docker's word has to do. r.mu is held.
func (r *run) watchProcess(pid int) {
	if pid == 0 {
		return
	}
	p, err := openProcess(pid, r.container)
	if err != nil {
		return
	}
	context.AfterFunc(r.ctx, p.close)
	r.engine.work.Go(func() {
		if !p.await() {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dead = true
		r.closeLines()
	})
}

// refused takes an address out of use that nobody listens at any more, until
// somebody does again.
func (r *run) refused(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.lines[l.target.key] != l || !l.open {
		return
	}
	r.closeLine(l.target.key)
	r.openLine(l.target, l.address, l.fixed, l.relayed)
}

// closeLines takes all addresses out of use. r.mu is held.
func (r *run) closeLines() {
	for key := range r.lines {
		r.closeLine(key)
	}
}

func (r *run) closeLine(key engine.Port) {
	l := r.lines[key]
	delete(r.lines, key)
	l.cancel()
	if l.open {
		r.send(engine.Fact{Kind: engine.Closed, Port: key})
	}
}
