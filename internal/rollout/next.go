package rollout

import (
	"cmp"
	"fmt"
	"slices"

	"bulsa/internal/worker"
)

// Next plans the next actions. The observed machines stand in the order in
// which they were made. An empty plan means: wait for the next fact.
func Next(d Desired, observed []Observed) Plan {
	p := planner{desired: d, slots: group(d, observed)}
	if d.Stopped {
		p.stop()
		return p.plan()
	}
	for _, s := range p.slots {
		switch {
		case s.number > d.Replicas:
			p.surplus(s)
		case len(s.alive) > 0:
			p.reduce(s)
		case len(s.leaving) == 0:
			p.fill(s)
		}
	}
	p.replaceUnhealthy()
	p.roll()
	return p.plan()
}

// planner collects the actions of one call.
type planner struct {
	desired Desired
	slots   []*slot // ascending; every wanted one and every observed one
	actions []Action
	blocked string
}

// slot is the machines of one number.
type slot struct {
	number  int
	alive   []Observed // a run, or a restart to come; as made
	leaving []Observed // draining, stopping
	resting []Observed // pending
	keeper  *Observed  // of alive: the one that should stay; nil when none is of the desired release and generation
	started bool       // this plan starts something here
}

func group(d Desired, observed []Observed) []*slot {
	byNumber := map[int]*slot{}
	at := func(n int) *slot {
		if byNumber[n] == nil {
			byNumber[n] = &slot{number: n}
		}
		return byNumber[n]
	}
	for n := 1; n <= d.Replicas; n++ {
		at(n)
	}
	for _, o := range observed {
		s := at(o.Number)
		switch o.State {
		case worker.Pending:
			s.resting = append(s.resting, o)
		case worker.Draining, worker.Stopping:
			s.leaving = append(s.leaving, o)
		default:
			s.alive = append(s.alive, o)
		}
	}
	slots := make([]*slot, 0, len(byNumber))
	for _, s := range byNumber {
		s.keeper = best(s.alive, d.isFresh)
		slots = append(slots, s)
	}
	slices.SortFunc(slots, func(a, b *slot) int { return cmp.Compare(a.number, b.number) })
	return slots
}

// isFresh reports whether a machine is what its slot should run.
func (d Desired) isFresh(o Observed) bool {
	return o.Release == d.Release && o.Generation >= d.generation(o.Number)
}

// best prefers a ready machine, then the latest made.
func best(machines []Observed, eligible func(Observed) bool) *Observed {
	var chosen *Observed
	for i := range machines {
		o := &machines[i]
		if !eligible(*o) {
			continue
		}
		if chosen == nil || o.State == worker.Ready || chosen.State != worker.Ready {
			chosen = o
		}
	}
	return chosen
}

func anyMachine(Observed) bool { return true }

// isExpendable reports a machine that can go before its successor is ready: it
// serves nothing, and what comes back in its place is no worse. A worker of an
// earlier release that was just killed is not: it is about to serve again, and
// the new release has yet to prove itself.
func (d Desired) isExpendable(o Observed) bool {
	switch o.State {
	case worker.Failed:
		return true
	case worker.Backoff, worker.Starting:
		return o.Release == d.Release
	}
	return false
}

// stop drains everything and keeps one pending machine of each wanted slot, so
// that it can still be looked at.
func (p *planner) stop() {
	for _, s := range p.slots {
		for _, o := range s.alive {
			p.drain(o, "service stopped")
		}
		keep := 0
		if s.number <= p.desired.Replicas && len(s.alive)+len(s.leaving) == 0 {
			keep = 1
		}
		for _, o := range s.resting[:max(0, len(s.resting)-keep)] {
			p.remove(o, "service stopped")
		}
	}
}

// fill starts a slot in which nothing runs.
func (p *planner) fill(s *slot) {
	last := len(s.resting) - 1
	for i, o := range s.resting {
		switch {
		case i < last:
			p.remove(o, "superseded")
		case o.Release != p.desired.Release:
			p.remove(o, fmt.Sprintf("release %d is over", o.Release))
			p.start(s, "", p.reason("slot is empty"))
		case !p.desired.isFresh(o):
			p.start(s, o.Key, p.reason("not running"))
		case !o.Finished: // else its work is done
			p.start(s, o.Key, "not running")
		}
	}
	if last < 0 {
		p.start(s, "", "slot is empty")
	}
}

// reduce takes away what a slot has beside the machine that it should keep.
func (p *planner) reduce(s *slot) {
	for _, o := range s.resting {
		p.remove(o, "superseded")
	}
	if s.keeper == nil {
		p.reduceStale(s)
		return
	}
	for _, o := range s.alive {
		if o.Key != s.keeper.Key {
			p.reducePredecessor(o, *s.keeper)
		}
	}
}

// reduceStale leaves one machine in a slot whose machines are all out of date:
// the one that serves best. What serves nothing needs no turn.
func (p *planner) reduceStale(s *slot) {
	kept := best(s.alive, anyMachine)
	for _, o := range s.alive {
		switch {
		case o.Key != kept.Key:
			p.drain(o, "superseded")
		case p.desired.isExpendable(o):
			p.drain(o, p.reason("out of date"))
		}
	}
}

// reducePredecessor drains a machine as soon as its successor is ready, or
// when there is nothing to lose. A successor that fails never removes it.
func (p *planner) reducePredecessor(o, successor Observed) {
	switch {
	case successor.State == worker.Ready:
		p.drain(o, fmt.Sprintf("%s is ready in its place", successor.Key))
	case p.desired.isExpendable(o):
		p.drain(o, fmt.Sprintf("%s takes its place", successor.Key))
	case o.State == worker.Unhealthy && successor.State == worker.Unhealthy && p.desired.isFresh(o):
		p.drain(o, fmt.Sprintf("unhealthy, and so is %s", successor.Key))
	case successor.State != worker.Starting:
		p.block(successor)
	}
}

// surplus ends what stands above the wanted number. When no wanted slot is
// ready the last machine that serves stays until one is.
func (p *planner) surplus(s *slot) {
	for _, o := range s.resting {
		p.remove(o, "scaled down")
	}
	for _, o := range s.alive {
		if o.State == worker.Ready && p.isLastReady(s, o) {
			p.blocked = either(p.blocked, fmt.Sprintf("%s serves until another worker is ready", o.Key))
			continue
		}
		p.drain(o, fmt.Sprintf("scaled down to %d", p.desired.Replicas))
	}
}

// isLastReady reports whether o of the surplus slot s is the one to spare:
// nothing ready stands before it.
func (p *planner) isLastReady(s *slot, o Observed) bool {
	if p.desired.Replicas == 0 {
		return false
	}
	for _, other := range p.slots {
		for _, a := range other.alive {
			if a.Key == o.Key {
				return true
			}
			if a.State == worker.Ready {
				return false
			}
		}
		if other == s {
			break
		}
	}
	return true
}

// replaceUnhealthy puts another in the place of each unhealthy worker: beside
// it while there is room, else after it. A silent one goes first where others
// serve: it holds up the requests inside it, and does not come back.
func (p *planner) replaceUnhealthy() {
	extra := 0
	for _, s := range p.slots {
		extra += max(0, len(s.alive)+len(s.leaving)-1)
	}
	for _, s := range p.wanted() {
		if !s.wantsReplacement() {
			continue
		}
		cause := fmt.Sprintf("%s is unhealthy: %s", s.keeper.Key, s.keeper.Cause)
		if p.desired.StartFirst && extra < p.desired.Surge() && !(s.keeper.Silent && p.anyReady()) {
			extra++
			p.start(s, "", cause)
			p.actions[len(p.actions)-1].Replaces = s.keeper.Key
		} else {
			p.drain(*s.keeper, cause)
		}
	}
}

func (p *planner) anyReady() bool {
	for _, s := range p.slots {
		if slices.ContainsFunc(s.alive, func(o Observed) bool { return o.State == worker.Ready }) {
			return true
		}
	}
	return false
}

func (s *slot) wantsReplacement() bool {
	return s.keeper != nil && s.keeper.Replaced && s.keeper.State == worker.Unhealthy &&
		len(s.alive) == 1 && len(s.leaving) == 0
}

// roll changes the slots that are out of date, so many at a time.
func (p *planner) roll() {
	changing := p.changing()
	for _, s := range p.wanted() {
		if !p.outOfDate(s) || changing.against(p.desired.generation(s.number)) >= p.desired.parallelism() {
			continue
		}
		if p.desired.Hold != "" {
			p.blocked = either(p.blocked, p.desired.Hold)
			return
		}
		changing.moving++
		p.change(s)
	}
}

// progress counts the slots on their way. Those that move count against every
// change. A lone worker that fails stops only the change that made it: a crash
// loop of app.1 must not keep app.2 from being restarted.
type progress struct {
	moving  int
	failing map[int]int // by wanted generation
}

func (c progress) against(generation int) int { return c.moving + c.failing[generation] }

func (p *planner) changing() progress {
	c := progress{failing: map[int]int{}}
	for _, s := range p.wanted() {
		switch {
		case !p.changes(s):
		case s.fails():
			c.failing[p.desired.generation(s.number)]++
			p.blockOn(s)
		default:
			c.moving++
		}
	}
	return c
}

// fails reports a slot whose only worker is as desired and does not serve.
func (s *slot) fails() bool {
	return len(s.alive) == 1 && len(s.leaving) == 0 && !s.started && s.keeper != nil && s.keeper.State != worker.Starting
}

func (p *planner) change(s *slot) {
	if p.desired.StartFirst {
		p.start(s, "", p.reason("out of date"))
		return
	}
	p.drain(s.alive[0], p.reason("out of date"))
}

// outOfDate reports a slot that waits for its turn: its only machine is not
// the desired one, and has something to lose.
func (p *planner) outOfDate(s *slot) bool {
	return len(s.alive) == 1 && len(s.leaving) == 0 && s.keeper == nil && !p.desired.isExpendable(s.alive[0])
}

// changes reports a slot that is neither at rest nor still as it was. A worker
// that crashes in the middle of a roll pauses it, too.
func (p *planner) changes(s *slot) bool {
	switch {
	case p.outOfDate(s):
		return false
	case len(s.alive) == 0 && len(s.leaving) == 0 && !s.started:
		return false // its work is done
	}
	return !s.settled()
}

// settled reports a slot with nothing but its ready machine, or whose work is done.
func (s *slot) settled() bool {
	if s.started || len(s.leaving) > 0 {
		return false
	}
	if len(s.alive) == 0 {
		return len(s.resting) == 1 && s.resting[0].Finished
	}
	return len(s.alive) == 1 && s.keeper != nil && s.keeper.State == worker.Ready
}

// blockOn names the failing worker of a slot while others wait for it.
func (p *planner) blockOn(s *slot) {
	for _, other := range p.wanted() {
		if p.outOfDate(other) && p.desired.generation(other.number) == p.desired.generation(s.number) {
			p.block(*s.keeper)
			return
		}
	}
}

func (p *planner) block(o Observed) {
	p.blocked = either(p.blocked, fmt.Sprintf("%s is %s: %s", o.Key, o.State, o.Cause))
}

// wanted are the slots 1..Replicas.
func (p *planner) wanted() []*slot { return p.slots[:min(p.desired.Replicas, len(p.slots))] }

func (p *planner) reason(fallback string) string { return either(p.desired.Reason, fallback) }

func (p *planner) start(s *slot, key, cause string) {
	s.started = true
	p.actions = append(p.actions, Action{
		Kind: Start, Number: s.number, Key: key, Cause: cause,
		Release: p.desired.Release, Generation: p.desired.generation(s.number),
	})
}

func (p *planner) drain(o Observed, cause string) { p.act(Drain, o, cause) }

func (p *planner) remove(o Observed, cause string) { p.act(Remove, o, cause) }

func (p *planner) act(k Kind, o Observed, cause string) {
	p.actions = append(p.actions, Action{
		Kind: k, Number: o.Number, Key: o.Key, Cause: cause,
		Release: o.Release, Generation: o.Generation,
	})
}

// plan puts the actions in order: what is over goes first, then what is new
// starts, then what is old drains, the highest numbers first.
func (p *planner) plan() Plan {
	slices.SortStableFunc(p.actions, func(a, b Action) int {
		if c := cmp.Compare(a.Kind, b.Kind); c != 0 || a.Kind != Drain {
			return c
		}
		return cmp.Compare(b.Number, a.Number)
	})
	return Plan{Actions: p.actions, Blocked: p.blocked, Settled: len(p.actions) == 0 && p.atRest()}
}

func (p *planner) atRest() bool {
	for _, s := range p.slots {
		switch {
		case p.desired.Stopped || s.number > p.desired.Replicas:
			if len(s.alive)+len(s.leaving) > 0 {
				return false
			}
		case !s.settled():
			return false
		}
	}
	return true
}

func either(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
