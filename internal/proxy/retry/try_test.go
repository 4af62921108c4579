package retry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bulsa/internal/balance"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a service with workers that the test speaks for.
type world struct {
	t     *testing.T
	now   time.Time
	route Route
}

func newWorld(t *testing.T, limits Limits, workers int) *world {
	t.Helper()
	pool, err := balance.NewPool("round_robin")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: start, route: Route{&limits, new(Service), pool, new(Line)}}
	var endpoints []*balance.Endpoint
	for i := range workers {
		endpoints = append(endpoints, balance.NewEndpoint(balance.Config{Worker: fmt.Sprintf("app.%d", i+1)}))
	}
	pool.Publish(endpoints)
	return w
}

func (w *world) begin(line string) *Try {
	method, _, _ := strings.Cut(line, " ")
	t := new(Try)
	t.Begin(w.now, w.route, Request{Line: []byte(line), Idempotent: Idempotent(method)})
	return t
}

// ask is Next where that must give an endpoint.
func (w *world) ask(t *Try) *balance.Endpoint {
	w.t.Helper()
	d := t.Next(w.now)
	if d.Kind != Ask {
		w.t.Fatalf("decided %v, want an endpoint: %+v", d.Kind, d.Refusal)
	}
	return d.Endpoint
}

// fail is Failed where that must lead to another look.
func (w *world) fail(t *Try, o Outcome) {
	w.t.Helper()
	if d := t.Failed(w.now, o); d.Kind != Look {
		w.t.Fatalf("decided %v, want another look: %+v", d.Kind, d.Refusal)
	}
}

func (w *world) answer(t *Try) {
	t.Answered()
	t.Release(w.now, true, time.Millisecond)
	t.End()
}

var (
	died    = Outcome{Ending: Died, Seen: true, Dead: true, Reason: "died"}
	closed  = Outcome{Ending: Closed, Seen: true, Reason: "closed"}
	unbegun = Outcome{Ending: Unbegun, Reason: "cannot be reached"}
)

func TestTheHoldBeginsAgainWithEachDeath(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Second}, 2)
	a := w.begin("GET /")
	w.ask(a)
	w.now = w.now.Add(900 * time.Millisecond)
	w.fail(a, died)
	w.route.Pool.Publish(nil)
	w.now = w.now.Add(900 * time.Millisecond)
	if d := a.Next(w.now); d.Kind != Wait {
		t.Fatalf("decided %v, want a wait", d.Kind)
	}
	w.now = w.now.Add(100 * time.Millisecond)
	d := a.Next(w.now)
	if d.Kind != Refuse || d.Refusal.Status != 502 || d.Refusal.RetryAfter != 0 {
		t.Errorf("a worker may have begun it: %+v", d)
	}
}

func TestWhatNoWorkerHasBegunIsTold503(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Second}, 1)
	a := w.begin("POST /orders")
	w.ask(a)
	w.fail(a, unbegun)
	w.route.Pool.Publish(nil)
	for _, after := range []time.Duration{0, time.Second} { // it is held anew once
		w.now = w.now.Add(after)
		d := a.Next(w.now)
		if after == 0 && d.Kind != Wait {
			t.Fatalf("decided %v, want a wait", d.Kind)
		}
		if after > 0 && (d.Kind != Refuse || d.Refusal.Status != 503 || d.Refusal.RetryAfter == 0 ||
			d.Refusal.Reason != "no worker is ready; waited 1s; before, app.1 cannot be reached (POST /orders)") {
			t.Errorf("%+v", d.Refusal)
		}
	}
}

func TestARequestThatNoWorkerSawCostsNoBudget(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Second}, 2)
	for w.route.Service.budget.take(0) {
	}
	a := w.begin("GET /")
	w.ask(a)
	w.fail(a, unbegun)
	w.ask(a)
	w.fail(a, closed)
	if d := a.Next(w.now); d.Kind != Wait || w.route.Service.Delayed.Load() != 1 {
		t.Errorf("beyond the budget: decided %v", d.Kind)
	}
}

func TestAConnectionThatEndedIsNoWorkerThatDied(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Second}, 3)
	reused := closed
	reused.Reused = true
	a := w.begin("GET /")
	ep := w.ask(a)
	if d := a.Failed(w.now, reused); d.Kind != AskAgain || d.Endpoint != ep || a.Endpoint() != ep {
		t.Fatalf("decided %v, want the same worker over a new connection", d.Kind)
	}
	if d := a.Failed(w.now, closed); d.Kind != Refuse || d.Refusal.Status != 502 {
		t.Errorf("asked a third time: %v", d.Kind)
	}
	if n := w.route.Pool.Endpoints()[0].InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

// Nobody can tell whether a server of somebody else was killed: each is asked once, and
// once more where its connection was an old one; a POST never goes to a second.
func TestServersWhoseDeathNobodyCanTellAreAskedOnceEach(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Second}, 3)
	doubtful := closed
	doubtful.Doubt = true
	used := doubtful
	used.Reused = true
	a, asked := w.begin("GET /"), map[*balance.Endpoint]bool{}
	for n := range 3 {
		asked[w.ask(a)] = true
		if n == 0 {
			if d := a.Failed(w.now, used); d.Kind != AskAgain {
				t.Fatalf("over an old connection: %v, want the same server again", d.Kind)
			}
		}
		want := Look
		if n == 2 {
			want = Refuse
		}
		if d := a.Failed(w.now, doubtful); d.Kind != want {
			t.Fatalf("after %d servers: %v, want %v", n+1, d.Kind, want)
		}
	}
	if len(asked) != 3 {
		t.Errorf("%d servers were asked, want 3", len(asked))
	}
	b := w.begin("POST /")
	w.ask(b)
	if d := b.Failed(w.now, doubtful); d.Kind != Refuse || d.Refusal.Status != 502 {
		t.Errorf("a POST: %+v, want 502", d)
	}
}

func TestADeadWorkerIsNotAskedOverANewConnection(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Second}, 2)
	for _, o := range []Outcome{{Ending: Died, Reused: true, Dead: true}, {Ending: Unbegun, Reused: true, Dead: true}} {
		a := w.begin("GET /")
		first := w.ask(a)
		w.fail(a, o)
		if w.ask(a) == first {
			t.Errorf("%v: the dead worker was asked again", o.Ending)
		}
		w.answer(a)
	}
}

// A killer's first request takes two workers down, every other like it one.
func TestWhatHasKilledIsGivenToOneWorker(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Second}, 9)
	kills := func(line string) (n int) {
		a := w.begin(line)
		defer a.End()
		for {
			w.ask(a)
			w.now = w.now.Add(oneDeath)
			n++
			if d := a.Failed(w.now, died); d.Kind == Refuse {
				return n
			}
		}
	}
	for _, c := range []struct {
		line string
		want int
	}{{"GET /crash", 2}, {"GET /crash", 1}, {"GET /crash?x=2", 1}, {"GET /other", 2}, {"POST /once", 1}, {"GET /once", 2}} {
		if n := kills(c.line); n != c.want {
			t.Errorf("%s has killed %d workers, want %d", c.line, n, c.want)
		}
	}
	a := w.begin("GET /crash") // which is mended
	w.ask(a)
	w.answer(a)
	if n := kills("GET /crash"); n != 2 {
		t.Errorf("after an answer it was given to %d workers, want 2", n)
	}
	w.now = w.now.Add(convictFor + time.Second)
	if n := kills("GET /crash"); n != 2 {
		t.Errorf("long after it was given to %d workers, want 2", n)
	}
}

// Others are in a worker when it dies of a request: they have an alibi once that is
// known, and until then one like them is answered.
func TestTheInnocentAreNotBlamed(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Minute}, 1)
	dies := func(lines ...string) (refused []string) {
		var all []*Try
		for _, line := range lines {
			a := w.begin(line)
			for d := a.Next(w.now); d.Kind != Ask; d = a.Next(w.now) { // there is one worker only
				w.now = w.now.Add(isolating)
			}
			all = append(all, a)
		}
		for i, a := range all {
			if d := a.Failed(w.now, died); d.Kind == Refuse {
				refused = append(refused, lines[i])
			}
			a.End()
		}
		w.route.Pool.Publish([]*balance.Endpoint{balance.NewEndpoint(balance.Config{Worker: "app.1"})})
		return refused
	}
	answered := func(line string) {
		a := w.begin(line)
		for d := a.Next(w.now); d.Kind != Ask; d = a.Next(w.now) {
			w.now = w.now.Add(isolating)
		}
		w.answer(a)
	}
	if refused := dies("GET /", "GET /crash"); len(refused) > 0 {
		t.Errorf("%v refused by the first death", refused)
	}
	answered("GET /")
	if refused := dies("GET /", "GET /crash", "GET /"); len(refused) > 0 { // which convicts it
		t.Errorf("%v refused by the second death", refused)
	}
	for range 5 {
		if refused := dies("GET /", "GET /crash", "GET /"); fmt.Sprint(refused) != "[GET /crash]" {
			t.Errorf("%v refused", refused)
		}
	}
}

func TestSuspectsGoToDifferentWorkers(t *testing.T) {
	w := newWorld(t, Limits{Hold: 10 * time.Second}, 1)
	a, b := w.begin("GET /slow"), w.begin("GET /crash")
	w.ask(a)
	w.ask(b)
	w.fail(a, died)
	w.fail(b, died)
	w.route.Pool.Publish([]*balance.Endpoint{balance.NewEndpoint(balance.Config{Worker: "app.1"})})
	if d := a.Next(w.now); d.Kind != Wait {
		t.Fatalf("decided %v, want a wait for a second worker", d.Kind)
	}
	w.now = w.now.Add(sparing)
	w.ask(a)
	if d := b.Next(w.now); d.Kind != Wait {
		t.Fatalf("decided %v, want a wait for the other suspect", d.Kind)
	}
	w.answer(a)
	w.now = w.now.Add(sparing)
	w.ask(b)
	if d := b.Failed(w.now, died); d.Kind != Refuse {
		t.Errorf("decided %v for what was alone with its second worker", d.Kind)
	}
}

// While a request that kills is with one worker, the others are served by another.
func TestAConvictWaitsForASecondWorkerButNotForEver(t *testing.T) {
	w := newWorld(t, Limits{Hold: 10 * time.Second}, 2)
	a := w.begin("GET /crash")
	w.ask(a)
	w.fail(a, died)
	w.ask(a)
	a.Failed(w.now, died)
	a.End()

	two := []*balance.Endpoint{balance.NewEndpoint(balance.Config{Worker: "app.1"}), balance.NewEndpoint(balance.Config{Worker: "app.2"})}
	w.route.Pool.Publish(two[:1])
	b, c := w.begin("GET /crash"), w.begin("GET /crash")
	if d := b.Next(w.now); d.Kind != Wait {
		t.Fatalf("decided %v while there is one worker", d.Kind)
	}
	w.route.Pool.Publish(two)
	victim := w.ask(b)
	if w.ask(c) != victim {
		t.Error("a second convict took a second worker")
	}
	for range 4 {
		other := w.begin("GET /")
		if w.ask(other) == victim {
			t.Error("another request went to the worker that has a convict")
		}
		w.answer(other)
	}
	w.route.Pool.Publish(two[:1])
	d := w.begin("GET /crash")
	if two[0] == victim {
		b.Failed(w.now, died)
		c.Failed(w.now, died)
	}
	if got := d.Next(w.now); got.Kind != Wait {
		t.Fatalf("decided %v while there is one worker", got.Kind)
	}
	w.now = w.now.Add(sparing)
	if w.ask(d) != two[0] {
		t.Error("the last worker was not asked")
	}
}

// Somebody kills all workers at once: what is in each of them has ended none.
func TestWorkersThatDieTogetherConvictNobody(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Minute}, 4)
	var all []*Try
	for range 8 {
		a := w.begin("GET /")
		w.ask(a)
		all = append(all, a)
	}
	w.now = w.now.Add(time.Millisecond)
	for _, a := range all {
		w.fail(a, died)
	}
}

// One value of a parameter kills: others like it are answered, and acquitted by that.
func TestWhatKillsByAParameterIsKnownByIt(t *testing.T) {
	w := newWorld(t, Limits{Hold: time.Minute}, 9)
	for _, want := range []int{2, 1, 1} {
		n := 0
		evil := w.begin("GET /search?q=evil")
		for refused := false; !refused; n++ {
			w.ask(evil)
			w.now = w.now.Add(oneDeath)
			refused = evil.Failed(w.now, died).Kind == Refuse
			good := w.begin("GET /search?q=good")
			w.ask(good)
			w.answer(good)
		}
		evil.End()
		if n != want {
			t.Errorf("it was given to %d workers, want %d", n, want)
		}
	}
}

func TestWhatTheEndOfAConnectionMeans(t *testing.T) {
	for name, c := range map[string]struct {
		sent Sent
		want Ending
	}{
		"nothing has left":                          {Sent{}, Unbegun},
		"all of it was left unread":                 {Sent{Some: true, Whole: true, Unread: true, Died: true}, Unbegun},
		"a piece of several was left unread":        {Sent{Some: true, Unread: true}, Closed},
		"its head was left unread":                  {Sent{Some: true, NoHead: true, Died: true}, Unbegun},
		"it was read":                               {Sent{Some: true, Whole: true}, Closed},
		"it was read by a worker that died":         {Sent{Some: true, Whole: true, Died: true}, Died},
		"a worker that tells has not told":          {Sent{Some: true, Told: true, Due: true, Died: true}, Unbegun},
		"it has told":                               {Sent{Some: true, Told: true, Due: true, Begun: true}, Closed},
		"it tells, but not of this one":             {Sent{Some: true, Told: true}, Closed},
		"it died before it could say that it tells": {Sent{Some: true, WillTell: true, Due: true, Unread: true}, Unbegun},
		"it could have said that it tells":          {Sent{Some: true, WillTell: true, Due: true}, Closed},
	} {
		if got := c.sent.Ending(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAWorkerThatHungIsSaidToHaveHung(t *testing.T) {
	for _, c := range []struct {
		loop balance.Loop
		want string
	}{
		{balance.Loop{Since: start.Add(-5200 * time.Millisecond), Silent: true}, "ended before it answered: its event loop had not turned for 5s (the limit is x-bulsa.event_loop.unhealthy_after)"},
		{balance.Loop{Since: start.Add(-5200 * time.Millisecond)}, "died"},
		{balance.Loop{}, "died"},
	} {
		w := newWorld(t, Limits{}, 1)
		try := w.begin("POST /hang")
		w.ask(try).SetLoop(c.loop)
		if d := try.Failed(w.now, died); d.Kind != Refuse || !strings.Contains(d.Refusal.Reason, c.want) {
			t.Errorf("%+v: %+v, want %q", c.loop, d, c.want)
		}
	}
}
