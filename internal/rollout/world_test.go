package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"bulsa/internal/worker"
)

// world is a service whose workers live, die and obey, without any clock.
type world struct {
	t        *testing.T
	random   *rand.Rand
	desired  Desired
	machines []Observed
	made     int
	broken   int // a release that never gets ready
}

// obey plans and carries out until there is nothing to do at this moment.
func (w *world) obey() {
	for round := 0; ; round++ {
		plan := Next(w.desired, slices.Clone(w.machines))
		if plan.Empty() {
			return
		}
		if round > 5 {
			w.t.Fatalf("the plan never gets empty:\n%v%+v", plan, w.machines)
		}
		for _, a := range plan.Actions {
			w.check(a)
			w.carryOut(a)
		}
		w.checkLimits()
	}
}

func (w *world) carryOut(a Action) {
	i := slices.IndexFunc(w.machines, func(o Observed) bool { return o.Key == a.Key })
	switch {
	case a.Kind == Start && a.Key == "":
		w.made++
		w.machines = append(w.machines, Observed{
			Key: fmt.Sprintf("m%d", w.made), Number: a.Number, Release: a.Release, Generation: a.Generation, State: worker.Starting,
		})
	case a.Kind == Start:
		w.machines[i].State, w.machines[i].Generation, w.machines[i].Finished = worker.Starting, a.Generation, false
	case a.Kind == Remove:
		w.machines = slices.Delete(w.machines, i, i+1)
	case a.Kind == Drain:
		w.machines[i].Replaced = false
		switch w.machines[i].State {
		case worker.Backoff, worker.Failed:
			w.machines[i].State = worker.Pending
		case worker.Starting:
			w.machines[i].State = worker.Stopping
		default:
			w.machines[i].State = worker.Draining
		}
	}
}

// check is what each single action promises.
func (w *world) check(a Action) {
	if a.Cause == "" {
		w.t.Fatalf("no cause: %v", a)
	}
	if a.Key == "" {
		return
	}
	i := slices.IndexFunc(w.machines, func(o Observed) bool { return o.Key == a.Key })
	if i < 0 {
		w.t.Fatalf("unknown machine: %v", a)
	}
	o := w.machines[i]
	switch {
	case a.Kind != Drain && o.State != worker.Pending:
		w.t.Fatalf("%v of a machine that is %v", a, o.State)
	case a.Kind == Start && o.Release != w.desired.Release:
		w.t.Fatalf("%v starts an old release", a)
	case a.Kind == Drain && o.State == worker.Ready && !w.desired.Stopped && w.desired.StartFirst && w.desired.Replicas > 0 && w.ready() == 1:
		w.t.Fatalf("%v drains the last ready worker: %+v", a, w.machines)
	}
}

func (w *world) ready() int {
	n := 0
	for _, o := range w.machines {
		if o.State == worker.Ready {
			n++
		}
	}
	return n
}

// checkLimits allows each wanted slot its worker and the service its surge.
func (w *world) checkLimits() {
	perSlot, total := map[int]int{}, 0
	for _, o := range w.machines {
		if o.State == worker.Pending || o.Number > w.desired.Replicas {
			continue
		}
		perSlot[o.Number]++
		total++
	}
	for n, count := range perSlot {
		if count > 2 || count > 1 && !w.desired.StartFirst {
			w.t.Fatalf("slot %d has %d machines: %+v", n, count, w.machines)
		}
	}
	if total > w.desired.Replicas+w.desired.parallelism()+w.desired.Surge() {
		w.t.Fatalf("%d machines: %+v, %+v", total, w.desired, w.machines)
	}
}

// live lets one random machine live on.
func (w *world) live(kind bool) {
	if len(w.machines) == 0 {
		return
	}
	o := &w.machines[w.random.IntN(len(w.machines))]
	luck := w.random.IntN(10)
	if kind {
		luck = 9
	}
	o.Replaced = false
	switch o.State {
	case worker.Starting:
		switch {
		case o.Release == w.broken || luck < 2:
			o.State = worker.Backoff
		case luck < 3:
			o.State, o.Replaced = worker.Unhealthy, true
		case luck < 4:
			o.State, o.Finished = worker.Pending, true
		default:
			o.State = worker.Ready
		}
	case worker.Ready:
		if luck < 3 {
			o.State = worker.Backoff
		} else if luck < 4 {
			o.State, o.Replaced = worker.Unhealthy, true
		}
	case worker.Unhealthy:
		o.State, o.Replaced = worker.Unhealthy, true
		if luck > 7 {
			o.State, o.Replaced = worker.Ready, false
		}
	case worker.Draining:
		o.State = worker.Stopping
	case worker.Stopping:
		o.State = worker.Pending
	case worker.Backoff:
		o.State = worker.Starting
		if luck < 1 {
			o.State = worker.Failed
		}
	case worker.Failed:
		o.State = worker.Starting
	}
}

// command is what a user may type at any moment.
func (w *world) command() {
	d := &w.desired
	switch w.random.IntN(7) {
	case 0:
		d.Replicas = w.random.IntN(7)
	case 1:
		d.Generation++
	case 2:
		d.Generations = map[int]int{1 + w.random.IntN(4): d.Generation + 1}
	case 3:
		d.Release++
	case 4:
		d.Release = max(1, d.Release-1)
	case 5:
		d.Stopped = !d.Stopped
	case 6:
		w.broken = d.Release
	}
}

// TestAnyHistoryConverges: whatever died and whatever was asked, once the
// world is kind the service becomes what was asked last.
func TestAnyHistoryConverges(t *testing.T) {
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := &world{t: t, random: random, desired: Desired{
			Replicas: 1 + random.IntN(6), Release: 1,
			StartFirst: random.IntN(2) == 0, Parallelism: random.IntN(3),
		}}
		for range 80 {
			if random.IntN(8) == 0 {
				w.command()
			}
			w.obey()
			w.live(false)
		}
		w.broken, w.desired.Stopped = 0, false
		for range 300 {
			w.obey()
			w.live(true)
		}
		w.obey()
		if plan := Next(w.desired, w.machines); !plan.Settled {
			t.Fatalf("seed %d does not settle: %+v\n%+v\n%v", seed, w.desired, w.machines, plan)
		}
	}
}

// TestABrokenReleaseNeverEndsTheService: the new release never gets ready, the
// old workers are killed over and over, and come back each time.
func TestABrokenReleaseNeverEndsTheService(t *testing.T) {
	for seed := range uint64(100) {
		w := &world{t: t, random: rand.New(rand.NewPCG(seed, 2)), broken: 2, desired: Desired{Replicas: 4, Release: 2, StartFirst: true, Parallelism: 1}}
		for n := 1; n <= 4; n++ {
			w.machines = append(w.machines, ready(fmt.Sprintf("old%d", n), n, 1))
		}
		for range 200 {
			w.obey()
			i := w.random.IntN(len(w.machines))
			switch o := &w.machines[i]; {
			case o.State == worker.Ready:
				o.State = worker.Backoff
			case o.State == worker.Backoff:
				o.State = worker.Starting
			case o.State == worker.Starting && o.Release == 1:
				o.State = worker.Ready
			case o.State == worker.Starting:
				o.State = worker.Failed
			}
		}
		old := 0
		for _, o := range w.machines {
			if o.Release == 1 {
				old++
			}
		}
		if old != 4 {
			t.Fatalf("seed %d: %d of 4 old workers left: %+v", seed, old, w.machines)
		}
	}
}
