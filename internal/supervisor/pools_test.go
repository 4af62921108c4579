package supervisor

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/spec"
)

// joined is a service that joins the pool of web.
func joined(name string, replicas, weight int) spec.Service {
	s := aService(name, replicas)
	s.Pool, s.Balance.Weight = "web", weight
	return s
}

// weights are those of a pool's endpoints by worker.
func (w *world) weights() map[string]int {
	all := map[string]int{}
	for _, e := range w.pool("web").Endpoints() {
		all[e.Config().Worker] = e.Config().Weight
	}
	return all
}

func (w *world) expectWeights(want map[string]int) {
	w.t.Helper()
	got := w.weights()
	if len(got) != len(want) {
		w.t.Fatalf("the pool has %v, want %v", got, want)
	}
	for name, weight := range want {
		if got[name] != weight {
			w.t.Fatalf("the pool has %v, want %v", got, want)
		}
	}
}

func TestServicesFillOnePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, app := aService("web", 2), joined("app", 1, 3)
		w := start(t, web, app)
		defer w.finish()
		w.expectWeights(map[string]int{"web.1": 1, "web.2": 1, "app.1": 3})
		if w.pool("app") != w.pool("web") {
			t.Error("app has a pool of its own")
		}

		// Another weight keeps the workers, and requests under way.
		busy := w.pool("web").Pick(balance.Request{Now: time.Now(), Tried: slices.DeleteFunc(slices.Clone(w.pool("web").Endpoints()), func(e *balance.Endpoint) bool { return e.Config().Worker == "app.1" })})
		before := w.rows("app")[0].Started
		app.Balance.Weight = 5
		w.apply(web, app)
		w.expectWeights(map[string]int{"web.1": 1, "web.2": 1, "app.1": 5})
		if r := w.rows("app")[0]; r.Started != before || r.InFlight != 1 {
			t.Errorf("app.1 started at %v, was %v, and has %d requests, want 1", r.Started, before, r.InFlight)
		}
		busy.Release(time.Now(), true, 0)

		// So does all else that the balancer alone goes by.
		app.Balance.MaxFails, app.Balance.MaxConns = 7, 9
		w.apply(web, app)
		for _, e := range w.pool("app").Endpoints() {
			if c := e.Config(); c.Worker == "app.1" && (c.MaxFails != 7 || c.MaxConns != 9) {
				t.Errorf("app.1 has %+v", c)
			}
		}
		if r := w.rows("app")[0]; r.Started != before {
			t.Errorf("app.1 started at %v, was %v", r.Started, before)
		}

		if _, err := w.sup.Scale([]Scale{{Service: "web", Number: 0}}); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		w.expectWeights(map[string]int{"app.1": 5})
		w.apply(web) // app is gone from the file
		w.pass(time.Second)
		w.expectWeights(map[string]int{"web.1": 1, "web.2": 1})
	})
}

func TestAnotherPolicyKeepsWhatIsInThePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, app := aService("web", 1), joined("app", 1, 1)
		w := start(t, web, app)
		defer w.finish()
		old, before := w.pool("web"), w.rows("web")[0].Started
		web.Balance.Policy, app.Balance.Policy = spec.RoundRobin, spec.RoundRobin
		w.apply(web, app)
		w.pass(time.Minute)
		if w.pool("web") == old {
			t.Error("the pool has the old policy")
		}
		if r := w.rows("web")[0]; r.Started != before {
			t.Errorf("web.1 started at %v, was %v", r.Started, before)
		}
		w.expectWeights(map[string]int{"web.1": 1, "app.1": 1})
	})
}
