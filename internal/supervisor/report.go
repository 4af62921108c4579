package supervisor

import (
	"errors"
	"maps"
	"strconv"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/probe"
	"bulsa/internal/worker"
)

// picture is what a worker's loop tells its service after each step. Nobody
// changes it afterwards.
type picture struct {
	key        string
	generation int
	replace    string
	finished   bool
	silent     bool
	callable   bool
	past       worker.Past
	status     WorkerStatus
	published  map[engine.Port]*balance.Endpoint
}

// report publishes the worker's picture, and sends it to the service when there
// is something in it to act on. A health check that confirms what is known
// costs the service nothing, however many workers it has.
func (w *workerLoop) report() {
	p := w.picture()
	w.current.Store(&p.status)
	if w.sent == nil || p.differs(w.sent) {
		w.sent = p
		w.service.inbox.put(serviceMessage{picture: p})
	}
}

// differs reports whether the service must look at p, having seen old.
func (p *picture) differs(old *picture) bool {
	a, b := &p.status, &old.status
	return a.State != b.State || a.Cause != b.Cause || a.Health != b.Health || a.PID != b.PID || a.Restarts != b.Restarts ||
		a.Unusable != b.Unusable || a.Halted != b.Halted || p.replace != old.replace || p.finished != old.finished || p.silent != old.silent || !maps.Equal(p.published, old.published)
}

func (w *workerLoop) picture() *picture {
	m := &w.machine
	all := append([]*balance.Endpoint(nil), w.retired...)
	for _, e := range w.published {
		all = append(all, e)
	}
	p := &picture{
		key: w.key, generation: w.generation, replace: w.replace, finished: m.Finished(), silent: m.Silent(), callable: m.Callable(),
		past: m.Past(), published: w.published, status: WorkerStatus{
			Name: w.name, Number: w.number, Release: w.release.Number,
			PID: w.instance.PID, Ref: w.instance.Ref,
			State: m.State(), Health: m.Health(), Restarts: m.Restarts(), Cause: m.Cause(), Since: m.Since(),
			Started: w.instance.Started, Ended: w.ended, Exit: m.LastExit(),
			Address: w.address(), Streak: m.Streak(), Checks: m.Log(),
			CheckCPU: w.checks.cpu, CheckLast: w.checks.last, ChecksPassed: w.checks.passed, ChecksFailed: w.checks.failed,
			Deaths: w.deaths, History: w.history[:len(w.history):len(w.history)],
			Warnings: probe.Warnings(w.release.Service.Health, m.Log()), Unusable: w.unusable, Halted: w.halted, Finished: m.Finished(), Inner: w.inner.report,
			instance: w.instance.ID, inbox: w.inbox, figures: w.figures, blocks: w.blocks, endpoints: all,
		},
	}
	s := &p.status
	s.Vain, s.SickAt = m.Vain()
	if s.State == worker.Backoff || s.State == worker.Failed {
		s.Next = m.Wake()
	}
	if !runs(s.State) {
		s.PID = 0
		s.Ref = "-"
	} else if s.Ref == "" && s.PID > 0 {
		s.Ref = strconv.Itoa(s.PID)
	}
	return p
}

// lastDeaths are the deaths that this loop has reported.
func (w *workerLoop) lastDeaths() map[string]uint64 {
	if st := w.current.Load(); st != nil {
		return st.Deaths
	}
	return nil
}

// address is where the worker's requests go, for people.
func (w *workerLoop) address() string {
	if p, ok := w.ports[engine.Main]; ok {
		return p.address
	}
	for _, p := range w.ports {
		return p.address
	}
	return ""
}

// runs reports whether a worker in this state has a process.
func runs(s worker.State) bool {
	switch s {
	case worker.Starting, worker.Ready, worker.Unhealthy, worker.Draining, worker.Stopping:
		return true
	}
	return false
}

func isGone(err error) bool { return errors.Is(err, engine.ErrNoInstance) }
