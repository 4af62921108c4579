package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// byPolicy leaves the policy alone to decide. On a full machine a worker can be kept
// from its processor until it counts as silent, and then it gets nothing under any policy.
const byPolicy = "event_loop: {monitor: off}, "

// turns runs turns.js as service app with four workers.
func turns(t *testing.T, extension string, lines ...string) (*world, string) {
	t.Helper()
	w, _, address := service(t, "turns.js", append(lines, "    deploy: {replicas: 4}", "    x-bulsa: {"+extension+"}")...)
	return w, address
}

// who asks for the number of the worker that answers.
func (c *talk) who(target string, fields ...string) string {
	c.t.Helper()
	c.ask("GET", target, fields...)
	res, body := c.answer("GET")
	if res.StatusCode != http.StatusOK {
		c.t.Fatalf("%s %s", res.Status, body)
	}
	return body
}

// kill ends worker n without a word to bulsa, and returns when bulsa knows.
func (w *world) kill(n string) {
	w.t.Helper()
	old := w.worker("app." + n)
	if err := syscall.Kill(old.PID, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the death of app."+n+" is known", func() bool {
		r := w.worker("app." + n)
		return r.PID != old.PID || r.State != "ready"
	})
}

// shares is how often each answer comes in n requests.
func shares(n int, ask func() string) map[string]int {
	got := map[string]int{}
	for range n {
		got[ask()]++
	}
	return got
}

// TestRoundRobinGoesInTurn, over one connection and over many.
func TestRoundRobinGoesInTurn(t *testing.T) {
	t.Parallel()
	_, address := turns(t, byPolicy+"balance: round_robin")
	c := dial(t, address)
	var order strings.Builder
	for range 8 {
		order.WriteString(c.who("/"))
	}
	for range 8 {
		order.WriteString(dial(t, address).who("/"))
	}
	round := order.String()[:4]
	if order.String() != strings.Repeat(round, 4) || strings.ContainsAny(round[1:], round[:1]) || strings.ContainsAny(round[2:], round[1:2]) || round[2] == round[3] {
		t.Errorf("the order was %s", &order)
	}
}

// TestLeastConnAvoidsBusyWorkers: three workers have long requests, so the
// fourth gets all short ones.
func TestLeastConnAvoidsBusyWorkers(t *testing.T) {
	t.Parallel()
	w, address := turns(t, byPolicy+"balance: least_conn")
	for range 3 {
		dial(t, address).ask("GET", "/?ms=60000")
	}
	eventually(t, "three requests are in flight", func() bool { return w.inFlight() == 3 })
	idle := ""
	for _, r := range w.ps("") {
		if r.InFlight == 0 {
			idle = fmt.Sprint(r.Number)
		}
	}
	c := dial(t, address)
	if got := shares(20, func() string { return c.who("/") }); got[idle] != 20 {
		t.Errorf("worker %s is idle, but the answers came from %v", idle, got)
	}
}

// TestLeastLatencyAvoidsASlowWorker: it is asked now and then, not in its turn.
// The others share what there is, once their slow first answers are forgotten.
func TestLeastLatencyAvoidsASlowWorker(t *testing.T) {
	_, address := turns(t, "balance: least_latency", `    environment: {SLOW: "2"}`)
	began := time.Now()
	eventually(t, "the fast ones share and the slow one has little", func() bool {
		var mu sync.Mutex
		total := map[string]int{}
		var clients sync.WaitGroup
		for range 4 {
			c := dial(t, address)
			clients.Go(func() {
				defer c.conn.Close()
				got := shares(100, func() string { return c.who("/") })
				mu.Lock()
				defer mu.Unlock()
				for n, times := range got {
					total[n] += times
				}
			})
		}
		clients.Wait()
		if total["2"] > 40 {
			t.Fatalf("the slow worker had %d of 400: %v", total["2"], total)
		}
		t.Log(time.Since(began).Round(time.Millisecond), total)
		return total["1"] > 40 && total["3"] > 40 && total["4"] > 40
	})
}

// TestIPHashKeepsAClientOnItsWorker while that lives; when it dies, only its
// clients move, and they return with it. An X-Forwarded-For of theirs changes nothing.
func TestIPHashKeepsAClientOnItsWorker(t *testing.T) {
	t.Parallel()
	w, address := turns(t, byPolicy+"balance: ip_hash", `    restart: "no"`)
	var sources []string
	for i := range 24 {
		sources = append(sources, fmt.Sprintf("127.0.%d.1", i)) // a /24 stays together
	}
	homes := func() map[string]string {
		at := map[string]string{}
		for i, s := range sources {
			at[s] = dialFrom(t, s, address).who("/", fmt.Sprintf("X-Forwarded-For: 10.%d.0.1", i))
		}
		return at
	}
	before := homes()
	used := map[string]bool{}
	for _, n := range before {
		used[n] = true
	}
	if len(used) != 4 {
		t.Errorf("24 networks use only the workers %v", used)
	}
	if a, b := dialFrom(t, "127.0.3.1", address).who("/"), dialFrom(t, "127.0.3.200", address).who("/"); a != b {
		t.Errorf("one /24 is on the workers %s and %s", a, b)
	}
	victim := before[sources[0]]
	w.kill(victim)
	for s, n := range homes() {
		if n == victim || before[s] != victim && n != before[s] {
			t.Errorf("while worker %s is dead, %s is on worker %s, before on %s", victim, s, n, before[s])
		}
	}
	w.must("start", "app")
	w.becomes("app."+victim, "ready")
	for s, n := range homes() {
		if n != before[s] {
			t.Errorf("after its return %s is on worker %s, before on %s", s, n, before[s])
		}
	}
}

// TestAStickyCookieLeadsBack to the worker, or to its successor.
func TestAStickyCookieLeadsBack(t *testing.T) {
	t.Parallel()
	w, address := turns(t, byPolicy+"balance: round_robin, sticky: {cookie: route}, restart: {delay: 2s, jitter: 0}")
	c := dial(t, address)
	c.ask("GET", "/")
	res, home := c.answer("GET")
	cookies := res.Cookies()
	if len(cookies) != 1 || cookies[0].Name != "route" || !cookies[0].HttpOnly || cookies[0].Path != "/" {
		t.Fatalf("cookies are %v", cookies)
	}
	mine := "Cookie: a=b; route=" + cookies[0].Value
	if got := shares(10, func() string { return dial(t, address).who("/", mine) }); got[home] != 10 {
		t.Errorf("the cookie of worker %s leads to %v", home, got)
	}
	w.kill(home)
	if n := c.who("/", mine); n == home {
		t.Errorf("worker %s answers, which is dead", n)
	}
	w.becomes("app."+home, "ready")
	if got := shares(10, func() string { return dial(t, address).who("/", mine) }); got[home] != 10 {
		t.Errorf("after the respawn the cookie of worker %s leads to %v", home, got)
	}
	if got := shares(8, func() string { return dial(t, address).who("/", "Cookie: route=nonsense") }); len(got) != 4 {
		t.Errorf("a cookie of nobody leads to %v", got)
	}
}

// TestSlowStartGivesANewWorkerLittleAtFirst and its whole share in the end.
func TestSlowStartGivesANewWorkerLittleAtFirst(t *testing.T) {
	w, address := turns(t, byPolicy+"balance: round_robin, slow_start: 3s")
	grown := time.Now().Add(3 * time.Second)
	eventually(t, "the first four have grown up", func() bool { return time.Now().After(grown) })
	c := dial(t, address)
	w.kill("3")
	eventually(t, "the new worker answers", func() bool { return c.who("/") == "3" })
	if got := shares(100, func() string { return c.who("/") }); got["3"] > 15 {
		t.Errorf("of 100 requests the new worker had %d: %v", got["3"], got)
	}
	eventually(t, "all have the same share", func() bool {
		return shares(40, func() string { return c.who("/") })["3"] == 10
	})
}

// foreign is a server that somebody else runs.
type foreign struct {
	*http.Server
	address string
}

func external(t *testing.T, address, name string) *foreign {
	t.Helper()
	var l net.Listener
	eventually(t, "the address "+address+" is free", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return &foreign{s, l.Addr().String()}
}

// before runs bulsa as the balancer before servers, each a flow mapping.
func before(t *testing.T, extension string, servers ...string) (*world, string) {
	t.Helper()
	w := newWorld(t)
	port := freePort(t)
	w.up(fmt.Sprintf("name: app\nservices:\n  app:\n    ports: [\"127.0.0.1:%s:80\"]\n    x-bulsa:\n      engine: external\n      %s\n      servers:\n        - {%s}\n",
		port, extension, strings.Join(servers, "}\n        - {"))).says("ready after")
	return w, "127.0.0.1:" + port
}

// TestWeights are shares, in nginx's smooth order: 5, 1 and 1 are aabacaa.
func TestWeights(t *testing.T) {
	t.Parallel()
	a, b, c := external(t, "127.0.0.1:0", "a"), external(t, "127.0.0.1:0", "b"), external(t, "127.0.0.1:0", "c")
	_, address := before(t, "balance: round_robin", "address: "+a.address+", weight: 5", "address: "+b.address, "address: "+c.address)
	client := dial(t, address)
	var order strings.Builder
	for range 21 {
		order.WriteString(client.who("/"))
	}
	if !strings.Contains(order.String(), strings.Repeat("aabacaa", 2)) {
		t.Errorf("the order was %s", &order)
	}
}

// TestAServerThatFailsIsLeftOut after max_fails, and comes back after fail_timeout.
func TestAServerThatFailsIsLeftOut(t *testing.T) {
	t.Parallel()
	a, b := external(t, "127.0.0.1:0", "a"), external(t, "127.0.0.1:0", "b")
	_, address := before(t, "balance: round_robin", "address: "+a.address+", max_fails: 2, fail_timeout: 1s", "address: "+b.address)
	c := dial(t, address)
	if got := shares(10, func() string { return c.who("/") }); got["a"] != 5 {
		t.Errorf("in good days: %v", got)
	}
	a.Close()
	if got := shares(20, func() string { return c.who("/") }); got["b"] != 20 {
		t.Errorf("while a is away: %v", got)
	}
	began := time.Now()
	external(t, a.address, "a")
	eventually(t, "a is back", func() bool { return c.who("/") == "a" })
	t.Logf("back after %s", time.Since(began).Round(time.Millisecond))
}

// TestABackupServesOnlyInNeed, and the last server is never left out.
func TestABackupServesOnlyInNeed(t *testing.T) {
	t.Parallel()
	a, b := external(t, "127.0.0.1:0", "a"), external(t, "127.0.0.1:0", "b")
	_, address := before(t, "balance: least_conn", "address: "+a.address+", fail_timeout: 1s", "address: "+b.address+", backup: true, fail_timeout: 1s")
	c := dial(t, address)
	if got := shares(10, func() string { return c.who("/") }); got["a"] != 10 {
		t.Errorf("in good days: %v", got)
	}
	a.Close()
	if got := shares(10, func() string { return c.who("/") }); got["b"] != 10 {
		t.Errorf("in need: %v", got)
	}
	b.Close()
	c.ask("GET", "/")
	time.AfterFunc(300*time.Millisecond, func() { external(t, b.address, "b") })
	if _, body := c.answer("GET"); body != "b" {
		t.Errorf("with both away and one back: %q", body)
	}
	external(t, a.address, "a")
	eventually(t, "a serves again", func() bool { return c.who("/") == "a" })
}
