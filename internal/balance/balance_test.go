package balance

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var policies = []string{"round_robin", "least_conn", "ip_hash", "least_latency"}

// worker is an endpoint named name, changed by each change.
func worker(name string, changes ...func(*Config)) *Endpoint {
	c := Config{Worker: name, Weight: 1}
	for _, change := range changes {
		change(&c)
	}
	return NewEndpoint(c)
}

func weight(n int) func(*Config)   { return func(c *Config) { c.Weight = n } }
func maxConns(n int) func(*Config) { return func(c *Config) { c.MaxConns = n } }
func backup(c *Config)             { c.Backup = true }
func maxFails(n int, window time.Duration) func(*Config) {
	return func(c *Config) { c.MaxFails, c.FailTimeout = n, window }
}

func pool(t testing.TB, policy string, endpoints ...*Endpoint) *Pool {
	t.Helper()
	p, err := NewPool(policy)
	if err != nil {
		t.Fatal(err)
	}
	p.Publish(endpoints)
	return p
}

func names(n int) []*Endpoint {
	endpoints := make([]*Endpoint, n)
	for i := range endpoints {
		endpoints[i] = worker(fmt.Sprintf("app.%d", i+1))
	}
	return endpoints
}

func client(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7}) }

// serve picks and answers n requests, one after the other, and returns the
// names of those that got them.
func serve(p *Pool, n int, r Request) string {
	var got []string
	for range n {
		e := p.Pick(r)
		if e == nil {
			got = append(got, "-")
			continue
		}
		got = append(got, e.cfg.Worker)
		e.Release(r.Now, true, time.Millisecond)
	}
	return strings.Join(got, " ")
}

func wantServed(t *testing.T, p *Pool, r Request, want string) {
	t.Helper()
	if got := serve(p, len(strings.Fields(want)), r); got != want {
		t.Errorf("served by %s, want %s", got, want)
	}
}

// failOnce sends one request to e alone that gets no answer.
func failOnce(t *testing.T, e *Endpoint, now time.Time) {
	t.Helper()
	only := pool(t, "round_robin", e)
	if only.Pick(Request{Now: now}) != e {
		t.Fatal("the only endpoint was not picked")
	}
	e.Release(now, false, 0)
}

func TestUnknownPolicyIsRefused(t *testing.T) {
	if _, err := NewPool("fastest"); err == nil || !strings.Contains(err.Error(), "least_latency") {
		t.Errorf("error %v should name the policies", err)
	}
}

func TestSmoothRoundRobinHasTheOrderOfNginx(t *testing.T) {
	p := pool(t, "round_robin", worker("a", weight(5)), worker("b"), worker("c"))
	wantServed(t, p, Request{Now: start}, "a a b a c a a a a b a c a a")
	p = pool(t, "round_robin", worker("a", weight(10)), worker("b", weight(10)), worker("c", weight(10)))
	wantServed(t, p, Request{Now: start}, "a b c a b c")
}

func TestWeightsAreReduced(t *testing.T) {
	for _, c := range []struct{ weights, want []int }{
		{[]int{10, 5, 5}, []int{2, 1, 1}},
		{[]int{7}, []int{1}},
		{[]int{}, []int{}},
		{[]int{1000000, 1}, []int{1024, 1}},
		{[]int{3000001, 1000000}, []int{768, 256}},
	} {
		if got := reduce(c.weights); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("reduce(%v) = %v, want %v", c.weights, got, c.want)
		}
	}
}

func TestRoundRobinSharesTheTurnOfAMissingOne(t *testing.T) {
	es := names(4)
	p := pool(t, "round_robin", es...)
	es[1].Down()
	wantServed(t, p, Request{Now: start}, "app.1 app.3 app.4 app.1 app.3 app.4")
}

func TestIdleEndpointsTakeTurnsUnderEveryPolicyButIPHash(t *testing.T) {
	for _, policy := range []string{"round_robin", "least_conn", "least_latency"} {
		t.Run(policy, func(t *testing.T) {
			p := pool(t, policy, names(3)...)
			wantServed(t, p, Request{Now: start}, "app.1 app.2 app.3 app.1 app.2 app.3")
			p = pool(t, policy, worker("a", weight(3)), worker("b"))
			wantServed(t, p, Request{Now: start}, "a a b a a a b a")
		})
	}
}

func TestLeastConnComparesRequestsInFlightByWeight(t *testing.T) {
	a, b := worker("a", weight(2)), worker("b")
	p := pool(t, "least_conn", a, b)
	for range 30 {
		p.Pick(Request{Now: start})
	}
	if a.InFlight() != 20 || b.InFlight() != 10 {
		t.Errorf("in flight %d and %d, want 20 and 10", a.InFlight(), b.InFlight())
	}
}

func TestLeastLatencyAvoidsABusyLoop(t *testing.T) {
	es := names(2)
	p := pool(t, "", es...)
	es[0].SetLoop(Loop{Latency: 300 * time.Millisecond})
	wantServed(t, p, Request{Now: start}, "app.2 app.2 app.2")
	es[0].SetLoop(Loop{Latency: 3 * time.Millisecond})
	wantServed(t, p, Request{Now: start}, "app.1 app.2 app.1")
}

func TestLeastLatencyAvoidsSlowAnswersUntilTheyAreOld(t *testing.T) {
	es := names(2)
	p := pool(t, "least_latency", es...)
	es[0].answers.Store(uint64(answerTime(0).add(start.UnixNano(), 900*time.Millisecond)))
	es[1].answers.Store(uint64(answerTime(0).add(start.UnixNano(), 2*time.Millisecond)))
	wantServed(t, p, Request{Now: start}, "app.2 app.2 app.2")
	later := start.Add(3 * time.Second)
	if got := serve(p, 2, Request{Now: later}); !strings.Contains(got, "app.1") {
		t.Errorf("after 3 s without an answer app.1 gets nothing: %s", got)
	}
}

func TestLeastLatencyNeitherFloodsNorStarvesANewWorker(t *testing.T) {
	old, fresh := worker("old"), worker("new")
	p := pool(t, "least_latency", old)
	serve(p, 1, Request{Now: start})
	for range 40 {
		p.Pick(Request{Now: start})
	}
	p.Publish([]*Endpoint{old, fresh})
	for range 10 {
		p.Pick(Request{Now: start})
	}
	if n := fresh.InFlight(); n == 0 || n > 8 {
		t.Errorf("the new worker holds %d of 50 requests before its first answer, want 1 to 8", n)
	}
}

func TestLeastLatencyChoosesBetterOfTwoAmongMany(t *testing.T) {
	es := names(64)
	p := pool(t, "least_latency", es...)
	for range 6400 {
		p.Pick(Request{Now: start})
	}
	for _, e := range es {
		if e.InFlight() < 90 || e.InFlight() > 110 {
			t.Errorf("%s has %d in flight, want about 100", e.cfg.Worker, e.InFlight())
		}
	}
}

func TestLeastLatencyFindsTheOnlyUsableOneAmongMany(t *testing.T) {
	es := names(64)
	p := pool(t, "least_latency", es...)
	for _, e := range es[1:] {
		e.Drain()
	}
	wantServed(t, p, Request{Now: start}, "app.1 app.1 app.1")
}

func TestIPHashKeepsClientsTogetherAsNginx(t *testing.T) {
	p := pool(t, "ip_hash", names(5)...)
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.254", true},
		{"192.0.2.1", "::ffff:192.0.2.9", true},
		{"2001:db8::1", "2001:db8::1", true},
	} {
		a := serve(p, 1, Request{Now: start, Client: netip.MustParseAddr(c.a)})
		b := serve(p, 1, Request{Now: start, Client: netip.MustParseAddr(c.b)})
		if (a == b) != c.same {
			t.Errorf("%s goes to %s, %s to %s", c.a, a, c.b, b)
		}
	}
	seen := map[string]bool{}
	for i := range 64 {
		a := netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1))
		seen[serve(p, 1, Request{Now: start, Client: a})] = true
	}
	if len(seen) != 5 {
		t.Errorf("64 IPv6 clients of one network reach %d workers, want 5", len(seen))
	}
	wantServed(t, p, Request{Now: start}, "app.1 app.2 app.3")
}

// clients maps 4,000 networks to workers.
func clients(p *Pool) map[int]string {
	m := map[int]string{}
	for i := range 4000 {
		m[i] = serve(p, 1, Request{Now: start, Client: client(i)})
	}
	return m
}

func TestIPHashMovesOnlyTheClientsOfTheLostWorker(t *testing.T) {
	lose := map[string]func(*Pool, []*Endpoint){
		"unpublished": func(p *Pool, es []*Endpoint) { p.Publish([]*Endpoint{es[0], es[2], es[3]}) },
		"draining":    func(_ *Pool, es []*Endpoint) { es[1].Drain() },
		"down":        func(_ *Pool, es []*Endpoint) { es[1].Down() },
	}
	for how, lose := range lose {
		t.Run(how, func(t *testing.T) {
			es := names(4)
			p := pool(t, "ip_hash", es...)
			before := clients(p)
			lose(p, es)
			for i, now := range clients(p) {
				if now == "app.2" || (before[i] != "app.2" && now != before[i]) {
					t.Fatalf("client %d moved from %s to %s", i, before[i], now)
				}
			}
			// The respawned worker is a new endpoint, and stands elsewhere in the list.
			p.Publish([]*Endpoint{es[0], es[2], es[3], worker("app.2")})
			for i, now := range clients(p) {
				if now != before[i] {
					t.Fatalf("client %d returned to %s, was at %s", i, now, before[i])
				}
			}
		})
	}
}

func TestIPHashSharesByWeight(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    []float64
	}{
		{[]int{1, 1, 1, 1}, []float64{.25, .25, .25, .25}},
		{[]int{5, 2, 1}, []float64{.625, .25, .125}},
	} {
		var es []*Endpoint
		for i, w := range c.weights {
			es = append(es, worker(fmt.Sprintf("app.%d", i+1), weight(w)))
		}
		got := map[string]float64{}
		for _, w := range clients(pool(t, "ip_hash", es...)) {
			got[w] += 1. / 4000
		}
		for i, want := range c.want {
			if share := got[es[i].cfg.Worker]; share < want-.03 || share > want+.03 {
				t.Errorf("weights %v: %s has %.3f of the clients, want %.3f", c.weights, es[i].cfg.Worker, share, want)
			}
		}
	}
}

func TestSlowStartGrowsTheShare(t *testing.T) {
	for _, policy := range []string{"round_robin", "least_conn", "least_latency"} {
		t.Run(policy, func(t *testing.T) {
			for _, c := range []struct {
				after    time.Duration
				min, max int
			}{
				{0, 5, 15}, {5 * time.Second, 328, 338}, {9 * time.Second, 469, 479}, {10 * time.Second, 500, 500},
			} {
				slow := worker("new", func(c *Config) { c.SlowStart, c.Ready = 10*time.Second, start })
				p := pool(t, policy, worker("old"), slow)
				serve(p, 1000, Request{Now: start.Add(c.after)})
				n := int(slow.Answered())
				// At half time its weight is a half: 333 of 1,000.
				if n < c.min || n > c.max {
					t.Errorf("after %v the new worker got %d of 1000, want %d to %d", c.after, n, c.min, c.max)
				}
			}
		})
	}
}

func TestSlowStartDoesNotKeepTheOnlyWorkerAway(t *testing.T) {
	for _, policy := range policies {
		slow := worker("new", func(c *Config) { c.SlowStart, c.Ready = time.Minute, start })
		wantServed(t, pool(t, policy, slow), Request{Now: start, Client: client(1)}, "new new new")
	}
}

func TestBackupsServeOnlyWhileNoOrdinaryCan(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			a, b := worker("a", maxFails(1, 10*time.Second)), worker("b", backup)
			p := pool(t, policy, b, a)
			r := Request{Now: start, Client: client(1)}
			wantServed(t, p, r, "a a")
			failOnce(t, a, start)
			wantServed(t, p, r, "b b")
			r.Now = start.Add(11 * time.Second)
			wantServed(t, p, r, "a a")
			r.Tried = []*Endpoint{a}
			wantServed(t, p, r, "b")
		})
	}
}

func TestMaxConnsSkipsAFullEndpoint(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			a, b := worker("a", maxConns(2)), worker("b", maxConns(1))
			p := pool(t, policy, a, b)
			r := Request{Now: start, Client: client(1)}
			for range 3 {
				if p.Pick(r) == nil {
					t.Fatal("nil while there is room")
				}
			}
			if a.InFlight() != 2 || b.InFlight() != 1 {
				t.Errorf("in flight %d and %d, want 2 and 1", a.InFlight(), b.InFlight())
			}
			if e := p.Pick(r); e != nil {
				t.Errorf("%s was picked although it is full", e.cfg.Worker)
			}
			a.Release(start, true, 0)
			if p.Pick(r) != a {
				t.Error("a has room again and was not picked")
			}
		})
	}
}

func TestTriedEndpointsAreNotPickedAgain(t *testing.T) {
	for _, policy := range policies {
		es := names(3)
		p := pool(t, policy, es...)
		r := Request{Now: start, Client: client(1), Sticky: StickyID(es[0])}
		for range es {
			e := p.Pick(r)
			r.Tried = append(r.Tried, e)
		}
		if r.Tried[0] == r.Tried[1] || r.Tried[1] == r.Tried[2] || r.Tried[0] == r.Tried[2] {
			t.Errorf("%s: the same endpoint twice", policy)
		}
		if p.Pick(r) != nil {
			t.Errorf("%s: all were tried, and one was picked", policy)
		}
	}
}

func TestStickyLeadsBackToTheWorkerAndItsReplacement(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			es := names(3)
			p := pool(t, policy, es...)
			r := Request{Now: start, Client: client(1), Sticky: StickyID(es[1])}
			wantServed(t, p, r, "app.2 app.2 app.2")
			p.Publish([]*Endpoint{worker("app.2"), es[0]})
			wantServed(t, p, r, "app.2 app.2")
			for _, e := range p.Endpoints() {
				if e.cfg.Worker == "app.2" {
					e.Drain()
				}
			}
			wantServed(t, p, r, "app.1 app.1")
			r.Sticky = "nobody"
			wantServed(t, p, r, "app.1")
		})
	}
	if id := StickyID(worker("app.2")); strings.Contains(id, "app") {
		t.Errorf("the id %q shows the worker's name", id)
	}
}

func TestPublishWakesTheWaiting(t *testing.T) {
	p := pool(t, "")
	changed := p.Changed()
	if p.Pick(Request{Now: start}) != nil {
		t.Fatal("an empty pool gave an endpoint")
	}
	p.Publish(names(1))
	<-changed
	select {
	case <-p.Changed():
		t.Error("the new channel is closed before the next Publish")
	default:
	}
	wantServed(t, p, Request{Now: start}, "app.1")
}
