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
func (wl *workerLoop) report() {
	p := wl.picture()
	wl.current.Store(&p.status)
	if wl.sent == nil || p.differs(wl.sent) {
		wl.sent = p
		wl.service.inbox.put(serviceMessage{picture: p})
	}
}

// differs reports whether the service must look at p, having seen old.
func (p *picture) differs(old *picture) bool {
	a, b := &p.status, &old.status
	return a.State != b.State || a.Cause != b.Cause || a.Health != b.Health || a.PID != b.PID || a.Restarts != b.Restarts ||
		a.Unusable != b.Unusable || a.Halted != b.Halted || p.replace != old.replace || p.finished != old.finished || p.silent != old.silent || !maps.Equal(p.published, old.published)
}

func (wl *workerLoop) picture() *picture {
	m := &wl.machine
	all := append([]*balance.Endpoint(nil), wl.retired...)
	for _, e := range wl.published {
		all = append(all, e)
	}
	p := &picture{
		key: wl.key, generation: wl.generation, replace: wl.replace, finished: m.Finished(), silent: m.Silent(), callable: m.Callable(),
		past: m.Past(), published: wl.published, status: WorkerStatus{
			Name: wl.name, Number: wl.number, Release: wl.release.Number,
			PID: wl.instance.PID, Ref: wl.instance.Ref,
			State: m.State(), Health: m.Health(), Restarts: m.Restarts(), Cause: m.Cause(), Since: m.Since(),
			Started: wl.instance.Started, Ended: wl.ended, Exit: m.LastExit(),
			Address: wl.address(), Streak: m.Streak(), Checks: m.Log(),
			CheckCPU: wl.checks.cpu, CheckLast: wl.checks.last, ChecksPassed: wl.checks.passed, ChecksFailed: wl.checks.failed,
			Deaths: wl.deaths, History: wl.history[:len(wl.history):len(wl.history)],
			Warnings: probe.Warnings(wl.release.Service.Health, m.Log()), Unusable: wl.unusable, Halted: wl.halted, Finished: m.Finished(), Inner: wl.inner.report,
			instance: wl.instance.ID, inbox: wl.inbox, figures: wl.figures, blocks: wl.blocks, endpoints: all,
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
func (wl *workerLoop) lastDeaths() map[string]uint64 {
	if st := wl.current.Load(); st != nil {
		return st.Deaths
	}
	return nil
}

// address is where the worker's requests go, for people.
func (wl *workerLoop) address() string {
	if p, ok := wl.ports[engine.Main]; ok {
		return p.address
	}
	for _, p := range wl.ports {
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
