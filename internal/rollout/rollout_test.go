package rollout

import (
	"strings"
	"testing"

	"bulsa/internal/worker"
)

func ready(key string, n, release int) Observed {
	return Observed{Key: key, Number: n, Release: release, State: worker.Ready}
}

func in(state worker.State, o Observed) Observed {
	o.State = state
	if state != worker.Ready {
		o.Cause = "exit 1 after 2 s"
	}
	return o
}

func unhealthy(o Observed) Observed {
	o.State, o.Replaced, o.Cause = worker.Unhealthy, true, "3 checks in a row failed"
	return o
}

func silent(o Observed) Observed {
	o = unhealthy(o)
	o.Silent = true
	return o
}

func finished(o Observed) Observed {
	o.State, o.Finished = worker.Pending, true
	return o
}

func generation(g int, o Observed) Observed {
	o.Generation = g
	return o
}

// planCase is a service as desired, its workers as observed, and the plan as printed.
type planCase struct {
	name     string
	desired  Desired
	observed []Observed
	want     string
}

func run(t *testing.T, cases []planCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Next(c.desired, c.observed).String(); got != c.want {
				t.Errorf("plan:\n%swant:\n%s", indent(got), indent(c.want))
			}
		})
	}
}

// workers is a service of n workers of release 1 that changes one at a time.
func workers(n int) Desired {
	return Desired{Replicas: n, Release: 1, StartFirst: true, Parallelism: 1}
}

func deployed() Desired {
	d := workers(2)
	d.Release, d.Reason = 2, "deploy of release 2"
	return d
}

func restarted() Desired {
	d := workers(2)
	d.Generation, d.Reason = 1, "restart asked"
	return d
}

func TestScaling(t *testing.T) {
	run(t, []planCase{
		{"a new service starts all its workers at once", workers(2), nil,
			"start  1 new release 1: slot is empty\nstart  2 new release 1: slot is empty\n"},
		{"nothing to do", workers(2), []Observed{ready("a", 1, 1), ready("b", 2, 1)}, ""},
		{"scaling up starts the missing", workers(4), []Observed{ready("a", 1, 1), ready("b", 2, 1)},
			"start  3 new release 1: slot is empty\nstart  4 new release 1: slot is empty\n"},
		{"scaling down drains the highest first", workers(1), []Observed{ready("a", 1, 1), ready("b", 2, 1), ready("c", 3, 1)},
			"drain  3 c: scaled down to 1\ndrain  2 b: scaled down to 1\n"},
		{"scaling down spares the last that serves", workers(1), []Observed{in(worker.Backoff, ready("a", 1, 1)), ready("b", 2, 1), ready("c", 3, 1)},
			"drain  3 c: scaled down to 1\nblocked: b serves until another worker is ready\n"},
		{"what scaling down left behind is forgotten", workers(1), []Observed{ready("a", 1, 1), in(worker.Pending, ready("b", 2, 1))},
			"remove 2 b: scaled down\n"},
		{"a worker that drains is waited for", workers(2), []Observed{ready("a", 1, 1), in(worker.Draining, ready("b", 2, 1))}, ""},
		{"a crashed worker comes back by itself", workers(2), []Observed{ready("a", 1, 1), in(worker.Backoff, ready("b", 2, 1))}, ""},
	})
}

func TestRestarts(t *testing.T) {
	stopFirst := restarted()
	stopFirst.StartFirst = false
	restartOne := workers(2)
	restartOne.Generations = map[int]int{2: 1}
	run(t, []planCase{
		{"a restart begins beside the first worker", restarted(), []Observed{ready("a", 1, 1), ready("b", 2, 1)},
			"start  1 new release 1: restart asked\n"},
		{"the old worker waits for the new one", restarted(), []Observed{ready("a", 1, 1), ready("b", 2, 1), generation(1, in(worker.Starting, ready("c", 1, 1)))}, ""},
		{"the new worker is ready, the old one drains", restarted(), []Observed{ready("a", 1, 1), ready("b", 2, 1), generation(1, ready("c", 1, 1))},
			"drain  1 a: c is ready in its place\n"},
		{"the next slot waits for the drain", restarted(), []Observed{in(worker.Draining, ready("a", 1, 1)), ready("b", 2, 1), generation(1, ready("c", 1, 1))}, ""},
		{"the drained one is forgotten, the next slot follows", restarted(), []Observed{in(worker.Pending, ready("a", 1, 1)), ready("b", 2, 1), generation(1, ready("c", 1, 1))},
			"remove 1 a: superseded\nstart  2 new release 1: restart asked\n"},
		{"stop-first drains", stopFirst, []Observed{ready("a", 1, 1), ready("b", 2, 1)},
			"drain  1 a: restart asked\n"},
		{"and starts the same machine again", stopFirst, []Observed{in(worker.Pending, ready("a", 1, 1)), ready("b", 2, 1)},
			"start  1 a: restart asked\n"},
		{"and waits until it is ready", stopFirst, []Observed{generation(1, in(worker.Starting, ready("a", 1, 1))), ready("b", 2, 1)}, ""},
		{"one worker alone restarts", restartOne, []Observed{in(worker.Backoff, ready("a", 1, 1)), ready("b", 2, 1)},
			"start  2 new release 1: out of date\n"},
		{"slots of different generations still take turns", Desired{Replicas: 2, Release: 1, StartFirst: true, Parallelism: 1, Generations: map[int]int{1: 4, 2: 1}},
			[]Observed{ready("a", 1, 1), ready("b", 2, 1), generation(4, in(worker.Starting, ready("c", 1, 1)))}, ""},
		{"failed workers restart at once", restarted(), []Observed{in(worker.Failed, ready("a", 1, 1)), in(worker.Failed, ready("b", 2, 1))},
			"drain  2 b: restart asked\ndrain  1 a: restart asked\n"},
	})
}

func TestReleases(t *testing.T) {
	held := deployed()
	held.Hold = "5s between two batches"
	run(t, []planCase{
		{"a stop-first release that fails stops the change", Desired{Replicas: 2, Release: 2, Parallelism: 1},
			[]Observed{in(worker.Backoff, ready("a", 1, 2)), ready("b", 2, 1)},
			"blocked: a is backoff: exit 1 after 2 s\n"},
		{"a release starts beside the old one", deployed(), []Observed{ready("a", 1, 1), ready("b", 2, 1)},
			"start  1 new release 2: deploy of release 2\n"},
		{"a release that fails leaves the old one", deployed(), []Observed{ready("a", 1, 1), ready("b", 2, 1), in(worker.Backoff, ready("c", 1, 2))},
			"blocked: c is backoff: exit 1 after 2 s\n"},
		{"an old worker killed meanwhile comes back", deployed(), []Observed{in(worker.Backoff, ready("a", 1, 1)), in(worker.Backoff, ready("b", 2, 1)), in(worker.Failed, ready("c", 1, 2))},
			"blocked: c is failed: exit 1 after 2 s\n"},
		{"a rollback removes the failing release", workers(2), []Observed{ready("a", 1, 1), ready("b", 2, 1), in(worker.Failed, ready("c", 1, 2))},
			"drain  1 c: a is ready in its place\n"},
		{"a second deploy supersedes the first", deployed(), []Observed{ready("a", 1, 0), in(worker.Starting, ready("c", 1, 1)), ready("b", 2, 0)},
			"drain  1 c: superseded\n"},
		{"the next batch waits for the delay", held, []Observed{ready("a", 1, 2), ready("b", 2, 1)},
			"blocked: 5s between two batches\n"},
	})
}

func TestUnhealthyWorkersAreReplaced(t *testing.T) {
	run(t, []planCase{
		{"an unhealthy worker gets a successor beside it", workers(2), []Observed{unhealthy(ready("a", 1, 1)), ready("b", 2, 1)},
			"start  1 new release 1: a is unhealthy: 3 checks in a row failed\n"},
		{"without room it drains first", workers(2), []Observed{unhealthy(ready("a", 1, 1)), unhealthy(ready("b", 2, 1))},
			"start  1 new release 1: a is unhealthy: 3 checks in a row failed\ndrain  2 b: b is unhealthy: 3 checks in a row failed\n"},
		{"a silent worker goes first where others serve", workers(2), []Observed{silent(ready("a", 1, 1)), ready("b", 2, 1)},
			"drain  1 a: a is unhealthy: 3 checks in a row failed\n"},
		{"a silent worker stays until somebody serves", workers(2), []Observed{silent(ready("a", 1, 1)), in(worker.Starting, ready("b", 2, 1))},
			"start  1 new release 1: a is unhealthy: 3 checks in a row failed\n"},
		{"the successor is ready", workers(2), []Observed{unhealthy(ready("a", 1, 1)), ready("b", 2, 1), ready("c", 1, 1)},
			"drain  1 a: c is ready in its place\n"},
		{"the unhealthy one recovers first", workers(2), []Observed{ready("a", 1, 1), ready("b", 2, 1), in(worker.Starting, ready("c", 1, 1))},
			"drain  1 c: a is ready in its place\n"},
		{"the successor is unhealthy, too", workers(2), []Observed{unhealthy(ready("a", 1, 1)), ready("b", 2, 1), unhealthy(ready("c", 1, 1))},
			"drain  1 a: unhealthy, and so is c\n"},
	})
}

func TestFinishedAndStopped(t *testing.T) {
	stopped := workers(2)
	stopped.Stopped = true
	run(t, []planCase{
		{"finished work is not repeated", workers(2), []Observed{finished(ready("a", 1, 1)), finished(ready("b", 2, 1))}, ""},
		{"but a restart repeats it", restarted(), []Observed{finished(ready("a", 1, 1)), generation(1, finished(ready("b", 2, 1)))},
			"start  1 a: restart asked\n"},
		{"and a new release, as a new machine", deployed(), []Observed{finished(ready("a", 1, 1)), finished(ready("b", 2, 2))},
			"remove 1 a: release 1 is over\nstart  1 new release 2: deploy of release 2\n"},
		{"stop drains all", stopped, []Observed{ready("a", 1, 1), in(worker.Failed, ready("b", 2, 1))},
			"drain  2 b: service stopped\ndrain  1 a: service stopped\n"},
		{"what is stopped stays in sight", stopped, []Observed{in(worker.Pending, ready("a", 1, 1)), in(worker.Pending, ready("b", 2, 1))}, ""},
		{"start runs it again", workers(2), []Observed{in(worker.Pending, ready("a", 1, 1)), in(worker.Pending, ready("b", 2, 1))},
			"start  1 a: not running\nstart  2 b: not running\n"},
	})
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n    ") + "\n"
}

func TestSettledOnlyWhenNothingIsLeft(t *testing.T) {
	d := Desired{Replicas: 2, Release: 1, StartFirst: true}
	for name, c := range map[string]struct {
		desired  Desired
		observed []Observed
		want     bool
	}{
		"all ready":            {d, []Observed{ready("a", 1, 1), ready("b", 2, 1)}, true},
		"one ready, one done":  {d, []Observed{ready("a", 1, 1), finished(ready("b", 2, 1))}, true},
		"one starting":         {d, []Observed{ready("a", 1, 1), in(worker.Starting, ready("b", 2, 1))}, false},
		"one missing":          {d, []Observed{ready("a", 1, 1)}, false},
		"one still drains":     {d, []Observed{ready("a", 1, 1), ready("b", 2, 1), in(worker.Draining, ready("c", 3, 1))}, false},
		"stopped, one running": {Desired{Replicas: 1, Stopped: true}, []Observed{in(worker.Stopping, ready("a", 1, 1))}, false},
		"stopped":              {Desired{Replicas: 1, Stopped: true}, []Observed{in(worker.Pending, ready("a", 1, 1))}, true},
	} {
		if got := Next(c.desired, c.observed).Settled; got != c.want {
			t.Errorf("%s: settled is %v, want %v", name, got, c.want)
		}
	}
}
