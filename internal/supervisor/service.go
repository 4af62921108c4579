package supervisor

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/rollout"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// checkStagger is how far the checks of neighboring workers are apart at the
// least: a little more than what bulsa itself spends on one. For a few workers
// nobody can tell; ten thousand that start together spread over a second.
const checkStagger = 100 * time.Microsecond

// serviceMessage is what comes to a service's loop: a worker's new picture, or
// a command. A message without either makes it look at the world again.
type serviceMessage struct {
	picture   *picture
	fixedPort bool
	do        func(*service)
}

// member is a worker's loop as its service knows it.
type member struct {
	loop    *workerLoop
	picture *picture
}

// service owns the desired and the observed state of one service, and is the
// only writer of its pools.
type service struct {
	name       string
	serial     uint64 // of this object: a service that comes back under the name of a removed one is another
	supervisor *Supervisor
	engine     engine.Engine
	inbox      *mailbox[serviceMessage]
	done       chan struct{} // closed: the loop shall end
	loops      sync.WaitGroup
	status     atomic.Pointer[ServiceStatus]
	replicas   atomic.Int32 // workers wanted, for the loops of the workers

	release       *spec.Release // wanted; replaced as a whole, because the workers' loops read it
	releases      int           // numbers given
	stopped       bool
	asked         time.Time
	settled       bool   // of the last plan
	blocked       string // of the last plan
	begun         bool   // its dependencies were met once
	waiting       string
	fixedPort     bool        // its program binds a port of its own: two runs would fight for it
	generation    map[int]int // wanted, by slot: a graceful restart raises it
	restartsAsked int
	reason        string // why the release or a generation changed
	members       map[string]*member
	sequence      int
	restarts      map[int]int // of loops that are gone, by slot
	deaths        map[int]map[string]uint64
	blocks        map[int]Blocked
	listed        map[poolKey][]*balance.Endpoint // what each pool was last given
	nextBatch     time.Time                       // update_config.delay: no replacement before it
	missed        chan struct{}                   // a request has found nobody
	called        call                            // who was last told that it is needed
}

func newService(s *Supervisor, e engine.Engine, first spec.Service) *service {
	sv := &service{
		name: first.Name, serial: s.serials.Add(1), supervisor: s, engine: e, inbox: newMailbox[serviceMessage](), done: make(chan struct{}),
		generation: map[int]int{}, members: map[string]*member{},
		restarts: map[int]int{}, blocks: map[int]Blocked{}, deaths: map[int]map[string]uint64{}, listed: map[poolKey][]*balance.Endpoint{},
		release: &spec.Release{}, missed: make(chan struct{}, 1),
	}
	sv.adopt(first)
	sv.publishStatus()
	return sv
}

// adopt makes wanted the desired service: the same digest is a matter of numbers,
// another one a new release.
func (s *service) adopt(wanted spec.Service) (changed bool) {
	if s.release.Service.Balance != wanted.Balance {
		for _, m := range s.members {
			m.loop.inbox.put(message{balance: &wanted.Balance})
		}
	}
	digest := wanted.Digest()
	if changed = s.release.Digest != digest; changed {
		s.releases++
		s.reason = fmt.Sprintf("release %d", s.releases)
		s.fixedPort = false
	}
	s.release = &spec.Release{Number: s.releases, Digest: digest, Service: wanted}
	return changed
}

// resize changes the number of workers wanted.
func (s *service) resize(replicas int) {
	release := *s.release
	release.Service.Replicas = replicas
	s.release = &release
}

func (s *service) run() {
	defer s.loops.Wait()
	if o, ok := s.engine.(engine.Observer); ok {
		s.loops.Go(newLoopWatch(s, o).run)
	}
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		s.reconcile(time.Now())
		s.publishPools()
		s.supervisor.pools.rest(s, s.rests())
		s.publishStatus()
		if s.overlooked() {
			continue
		}
		if next := earlier(s.nextBatch, s.callNeeded(time.Now())); !next.IsZero() {
			wake.Reset(max(0, time.Until(next)))
		}
		select {
		case <-s.done:
			s.dismissAll()
			return
		case now := <-wake.C:
			if !now.Before(s.nextBatch) {
				s.nextBatch = time.Time{}
			}
		case <-s.missed:
		case <-s.inbox.ready:
			for _, m := range s.inbox.take() {
				s.receive(m)
			}
		}
	}
}

func (s *service) receive(m serviceMessage) {
	switch {
	case m.do != nil:
		m.do(s)
	case m.fixedPort:
		s.fixedPort = true
	case m.picture != nil:
		if member, ok := s.members[m.picture.key]; ok {
			member.picture = m.picture
		}
	}
}

// reconcile starts, drains and forgets workers until the plan is empty: each
// action shows in what is observed next, so it comes to an end.
func (s *service) reconcile(now time.Time) {
	if !s.mayBegin() {
		return
	}
	s.replicas.Store(int32(s.release.Service.Replicas))
	for {
		plan := rollout.Next(s.desired(now), s.observed())
		s.settled, s.blocked = plan.Settled, plan.Blocked
		if plan.Empty() {
			return
		}
		if s.wouldCollide(plan) {
			continue
		}
		for _, a := range plan.Actions {
			s.act(now, a)
		}
	}
}

// mayBegin holds a service back until what it depends on is there. Once begun,
// a service does not stop because a dependency does.
func (s *service) mayBegin() bool {
	if s.begun || s.stopped {
		return true
	}
	s.waiting = s.supervisor.lacks(s.release.Service)
	s.begun = s.waiting == ""
	return s.begun
}

// overlooked reports whether what the service waits for has come after it looked and
// before it said that it waits: then nobody has woken it.
func (s *service) overlooked() bool {
	return !s.begun && !s.stopped && s.supervisor.lacks(s.release.Service) != s.waiting
}

func (s *service) desired(now time.Time) rollout.Desired {
	spec := s.release.Service
	d := rollout.Desired{
		Replicas: spec.Replicas, Release: s.release.Number, Generations: s.generation, Reason: s.reason,
		StartFirst:  spec.StartFirst() && s.engine.Properties().Isolated && !s.fixedPort,
		Parallelism: spec.Update.Parallelism, Stopped: s.stopped,
	}
	if spec.Engine == "external" {
		d.Replicas = len(spec.Servers)
	}
	if now.Before(s.nextBatch) {
		d.Hold = "update_config.delay"
	}
	return d
}

func (s *service) observed() []rollout.Observed {
	out := make([]rollout.Observed, 0, len(s.members))
	for _, key := range s.keys() {
		p := s.members[key].picture
		out = append(out, rollout.Observed{
			Key: key, Number: p.status.Number, Release: p.status.Release, Generation: p.generation,
			State: p.status.State, Replaced: p.replace != "", Silent: p.silent, Finished: p.finished, Cause: p.status.Cause,
		})
	}
	return out
}

// keys are the members in the order of their slots, the older one of a slot first.
func (s *service) keys() []string {
	keys := make([]string, 0, len(s.members))
	for k := range s.members {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		x, y := s.members[a].loop, s.members[b].loop
		if x.number != y.number {
			return x.number - y.number
		}
		return x.sequence - y.sequence
	})
	return keys
}

func (s *service) act(now time.Time, a rollout.Action) {
	switch a.Kind {
	case rollout.Start:
		s.startMember(a)
	case rollout.Drain:
		s.tell(a.Key, worker.Fact{Kind: worker.Drain, Cause: a.Cause})
		if delay := s.release.Service.Update.Delay; delay > 0 && a.Number <= s.desired(now).Replicas && !s.stopped {
			s.nextBatch = now.Add(delay)
		}
	case rollout.Remove:
		s.dismiss(a.Key)
		if a.Number > s.desired(now).Replicas {
			s.loops.Go(func() { s.forget(a.Number) })
		}
	}
}

// startMember starts the worker that the plan names: one that exists and rests,
// or a new one.
func (s *service) startMember(a rollout.Action) {
	if m, ok := s.members[a.Key]; ok {
		m.loop.inbox.put(message{generation: a.Generation})
		p := *m.picture
		p.generation = a.Generation
		m.picture = &p
		s.tell(a.Key, worker.Fact{Kind: worker.Start, Cause: a.Cause})
		return
	}
	s.sequence++
	w := &workerLoop{
		key: fmt.Sprintf("%s.%d/%d.%d", s.name, a.Number, s.serial, s.sequence), sequence: s.sequence,
		number: a.Number, name: fmt.Sprintf("%s.%d", s.name, a.Number),
		release: s.release, generation: a.Generation,
		service: s, engine: s.engine, inbox: newMailbox[message](), done: make(chan struct{}),
		deaths: map[string]uint64{}, ports: map[engine.Port]port{}, figures: &loopFigures{}, blocks: &blocks{}, balance: s.release.Service.Balance,
	}
	w.machine = worker.New(w.key, s.machineConfig(a), rand.Uint64())
	m := &member{loop: w}
	s.members[w.key] = m
	w.inbox.put(message{fact: worker.Fact{Kind: worker.Start, Cause: a.Cause}})
	m.picture = w.picture()
	m.picture.status.State = worker.Starting // the start is on its way: the next plan must not ask for it again
	s.loops.Add(1)
	go func() {
		defer s.loops.Done()
		w.run()
	}()
}

// machineConfig is what the machine of a new worker must know. One that takes an
// unhealthy worker's place goes on with its counts.
func (s *service) machineConfig(a rollout.Action) worker.Config {
	spec := s.release.Service
	c := worker.Config{
		Health: spec.Health, Restart: spec.Restart, Stop: spec.Stop, Stagger: time.Duration(a.Number) * checkStagger,
	}
	if m, ok := s.members[a.Replaces]; ok {
		c.Past = &m.picture.past
	}
	return c
}

// tell sends a fact, and notes in the picture what it will lead to, so that the
// next plan does not ask for it again.
func (s *service) tell(key string, f worker.Fact) {
	m, ok := s.members[key]
	if !ok {
		return
	}
	p := *m.picture
	switch f.Kind {
	case worker.Start:
		p.status.State, p.finished, p.status.Finished = worker.Starting, false, false
	case worker.Drain, worker.ForceStop:
		if runs(p.status.State) {
			p.status.State = worker.Draining
		} else {
			p.status.State = worker.Pending
		}
	}
	m.picture = &p
	m.loop.inbox.put(message{fact: f})
}

// dismiss ends a worker's loop and keeps its counts for its successors.
func (s *service) dismiss(key string) {
	m, ok := s.members[key]
	if !ok {
		return
	}
	n := m.loop.number
	s.restarts[n] += m.picture.status.Restarts
	if s.deaths[n] == nil {
		s.deaths[n] = map[string]uint64{}
	}
	for cause, count := range m.loop.lastDeaths() {
		s.deaths[n][cause] += count
	}
	s.blocks[n] = s.blocks[n].and(m.loop.blocks)
	delete(s.members, key)
	close(m.loop.done)
}

// forget removes what the engine keeps of a worker that will not run again.
func (s *service) forget(number int) {
	if e, ok := s.engine.(engine.Forgetter); ok {
		e.Forget(context.Background(), fmt.Sprintf("%s.%d", s.name, number))
	}
}

func (s *service) dismissAll() {
	for key := range s.members {
		s.dismiss(key)
	}
	s.publishPools()
}

// publishPools gives each pool the endpoints that are in rotation, by worker number.
func (s *service) publishPools() {
	now := map[poolKey][]*balance.Endpoint{}
	for _, key := range s.keys() {
		for p, e := range s.members[key].picture.published {
			pool := poolOf(s.release.Service, p)
			now[pool] = append(now[pool], e)
		}
	}
	for pool := range s.listed {
		if _, ok := now[pool]; !ok {
			now[pool] = nil
		}
	}
	for pool, endpoints := range now {
		if slices.Equal(endpoints, s.listed[pool]) {
			continue
		}
		if err := s.supervisor.pools.fill(pool, s.release.Service.Balance.Policy, s, endpoints); err != nil {
			s.emit("", "notice", err.Error(), "")
			continue
		}
		s.listed[pool] = endpoints
	}
}

func (s *service) publishStatus() {
	st := &ServiceStatus{
		Name: s.name, Engine: s.release.Service.Engine, Release: s.release.Number,
		Desired: s.desired(time.Time{}).Replicas, Stopped: s.stopped, Asked: s.asked, Settled: s.settled, Blocked: s.blocked, Service: s.release.Service,
	}
	if !s.begun {
		st.Waiting = s.waiting
	}
	running, finished := 0, 0
	for _, key := range s.keys() {
		p := s.members[key].picture
		w := p.status
		st.Workers = append(st.Workers, w)
		st.live = append(st.live, liveWorker{current: &s.members[key].loop.current, restarts: s.restarts[w.Number], deaths: maps.Clone(s.deaths[w.Number]), blocked: s.blocks[w.Number]})
		if w.State == worker.Ready {
			st.Ready++
		}
		if runs(w.State) || w.State == worker.Backoff {
			running++
		}
		if p.finished && w.Exit != nil && w.Exit.Code == 0 && w.Exit.Signal == "" {
			finished++
		}
	}
	st.Completed = st.Desired > 0 && finished >= st.Desired && running == 0
	before := s.status.Swap(st)
	s.supervisor.statusChanged(s, before, st)
}

func (s *service) emit(workerName, kind, message, cause string) {
	s.supervisor.events.Emit(Event{At: time.Now(), Service: s.name, Worker: workerName, Kind: kind, Message: strings.TrimSpace(message), Cause: cause})
}
