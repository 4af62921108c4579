package ports

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// free is a port of 127.0.0.1 that nobody listens on.
func free(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// at is a wish for a port of all addresses.
func at(port int) engine.Ask { return engine.Ask{Network: "tcp4", Port: port} }

func listens(port int) bool {
	conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// public publishes a port without a target: "-p PORT".
func public(t *testing.T) (*book, int) {
	t.Helper()
	port := free(t)
	return newBook(t, spec.Port{Host: "127.0.0.1", Published: port}), port
}

func TestAServerThatIsClosedAndOpenedAgainKeepsThePublishedPort(t *testing.T) {
	b, _ := public(t)
	a := at(free(t))
	a.Sources = engine.SourcesIgnorePort
	for range 3 {
		if g := b.claim(a); g.Port != engine.Main {
			t.Fatalf("granted %+v, want the main port", g)
		}
		b.Release(wish(a).Process, wish(a).Key)
	}
	if len(b.open) != 1 || listens(a.Port) {
		t.Errorf("%d sockets are open, want the published one alone", len(b.open))
	}
}

func TestTheNextProcessOfAWatcherGetsThePublishedPort(t *testing.T) {
	b, _ := public(t)
	a := at(free(t))
	a.Sources, a.Process = engine.SourcesIgnorePort, "app.1#1/1"
	b.claim(a)
	b.Leave(a.Process)
	a.Process = "app.1#1/2"
	if g := b.claim(a); g.Port != engine.Main {
		t.Errorf("granted %+v, want the main port", g)
	}
	if listens(a.Port) {
		t.Error("the application's own port is open, too")
	}
}

// portfinder, detect-port: one address after the other, each closed at once.
func TestProbesOfSeveralAddressesLeadToThePublishedPort(t *testing.T) {
	b, _ := public(t)
	port := free(t)
	for _, host := range []string{"::", "0.0.0.0", "127.0.0.1", "::1", ""} {
		a := engine.Ask{Host: host, Port: port, Sources: engine.SourcesIgnorePort}
		if g := b.claim(a); g.Port != engine.Main {
			t.Errorf("%q: granted %+v, want the main port", host, g)
		}
		b.Release(wish(a).Process, wish(a).Key)
	}
	if g := b.claim(engine.Ask{Port: port}); g.Port != engine.Main || g.Wait != 0 {
		t.Errorf("the listen after the probes: granted %+v", g)
	}
	if listens(port) || len(b.open) != 1 {
		t.Errorf("%d sockets are open, want the published one alone", len(b.open))
	}
}

// get-port: any free port, closed, then listened on by its number, or given to a child.
func TestAFreePortThatIsLookedForIsFreeWhenItIsClosed(t *testing.T) {
	b, number := public(t)
	probe := at(0)
	found := b.claim(probe)
	if found.Number == number || found.Wait == 0 {
		t.Fatalf("found %+v, want one of its own", found)
	}
	b.Release(wish(probe).Process, wish(probe).Key)
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(found.Number)))
	if err != nil {
		t.Fatalf("a child cannot listen there: %v", err)
	}
	l.Close()
	app := at(found.Number)
	app.Sources = engine.SourcesIgnorePort
	if g := b.claim(app); g.Port != engine.Main || listens(found.Number) {
		t.Errorf("granted %+v, want the main port", g)
	}
}

func TestAnApplicationOnAnyPortIsReachedAtThePublishedOne(t *testing.T) {
	b, number := public(t)
	a := wish(at(0))
	g := b.claim(a)
	a.Waited = true
	if again := b.claim(a); again.Port != engine.Main {
		t.Errorf("granted %+v, want the main port", again)
	}
	if listens(g.Number) {
		t.Error("the port that it was told is still open")
	}
	second := at(0)
	second.Worker = "app.2"
	if g := b.claim(second); g.Port != engine.Main || g.Number != number {
		t.Errorf("the second worker was granted %+v", g)
	}
}

func TestASocketIsClosedWithTheLastServerThatAskedForIt(t *testing.T) {
	b := newBook(t)
	one, two := at(free(t)), engine.Ask{}
	two = one
	two.Worker = "app.2"
	b.claim(one)
	b.claim(two)
	b.Release(wish(one).Process, wish(one).Key)
	if !listens(one.Port) {
		t.Fatal("it is closed while app.2 listens")
	}
	b.Release(wish(two).Process, wish(two).Key)
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(one.Port)))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	b.claim(one)
	if !listens(one.Port) {
		t.Error("it cannot be opened again")
	}
}

func TestAnyFreePortIsReleasedAndAskedForByItsNumber(t *testing.T) {
	b := newBook(t)
	probe := at(0)
	other := at(0)
	other.Worker = "app.2" // still looks while app.1 has found
	g := b.claim(probe)
	b.claim(other)
	b.Release(wish(probe).Process, wish(probe).Key)
	if again := b.claim(at(g.Number)); again.Number != g.Number {
		t.Errorf("granted %+v, want port %d", again, g.Number)
	}
	b.Release(wish(other).Process, wish(other).Key)
	if !listens(g.Number) {
		t.Error("it was closed under app.1")
	}
}

func TestASocketOutlivesAProcessThatDies(t *testing.T) {
	b := newBook(t)
	a := at(free(t))
	b.claim(a)
	b.Leave(wish(a).Process)
	if !listens(a.Port) {
		t.Fatal("it is closed although the successor will ask for it")
	}
	next := at(free(t))
	next.Process = "app.1#2/1"
	b.claim(next)
	b.Leave(next.Process)
	if listens(a.Port) {
		t.Error("it stays open although the successor has not asked for it")
	}
}

// helper and application: what the second listen shows.
func TestAHelperThatListensFirstGivesWayToWhatListensOnPORT(t *testing.T) {
	for name, sources := range map[string]engine.Sources{
		"the sources mention PORT": engine.SourcesReadPort, "they do not": engine.SourcesIgnorePort, "they are not known": engine.SourcesUnknown,
	} {
		t.Run(name, func(t *testing.T) {
			b, number := public(t)
			helper := at(free(t))
			var moved []engine.Port
			helper.Sources, helper.Moved = sources, func(p engine.Port) { moved = append(moved, p) }
			g := b.claim(helper)
			if waits := g.Wait > 0; waits == (sources == engine.SourcesIgnorePort) {
				t.Errorf("granted %+v", g)
			}
			if listens(helper.Port) {
				t.Error("its port is open before it is known what it is")
			}
			if app := b.claim(engine.Ask{Port: number, Own: true}); app.Port != engine.Main {
				t.Errorf("the application was granted %+v", app)
			}
			if len(moved) != 1 || moved[0] == engine.Main || !listens(helper.Port) {
				t.Errorf("the helper moved to %v, and is reached: %v", moved, listens(helper.Port))
			}
			if len(b.notices) != 1 || !strings.Contains(b.notices[0], "is reached at 0.0.0.0:"+strconv.Itoa(helper.Port)) {
				t.Errorf("notices: %q", b.notices)
			}
			second := at(helper.Port)
			second.Worker = "app.2"
			if g := b.claim(second); g.Port != moved[0] || g.Wait != 0 {
				t.Errorf("the helper of the second worker was granted %+v", g)
			}
		})
	}
}

func TestWhatListensAloneIsTheApplicationAfterAWhile(t *testing.T) {
	b, number := public(t)
	a := wish(at(free(t)))
	if g := b.claim(a); g.Wait == 0 || g.Port != "" {
		t.Fatalf("granted %+v at once", g)
	}
	a.Waited = true
	if g := b.claim(a); g.Port != engine.Main || listens(a.Port) {
		t.Errorf("granted %+v", g)
	}
	if want := strconv.Itoa(number) + ":" + strconv.Itoa(a.Port); len(b.notices) != 1 || !strings.Contains(b.notices[0], want) {
		t.Errorf("notices: %q, want the advice %s", b.notices, want)
	}
	next := at(a.Port)
	next.Worker = "app.2"
	if g := b.claim(next); g.Port != engine.Main || g.Wait != 0 {
		t.Errorf("the next worker was granted %+v", g)
	}
}

// Both would be the application when their time is over; every worker decides alike.
func TestOfTwoServersThatWaitTheFirstIsTheApplicationUnlessItIsForThisMachineAlone(t *testing.T) {
	for _, c := range []struct {
		name  string
		hosts [2]string
		app   int
	}{{"alike", [2]string{"", ""}, 0}, {"the first on loopback", [2]string{"127.0.0.1", ""}, 1}, {"the second on loopback", [2]string{"", "127.0.0.1"}, 0}} {
		t.Run(c.name, func(t *testing.T) {
			b, _ := public(t)
			moved := map[string]engine.Port{}
			var asks []engine.Ask
			for _, worker := range []string{"app.1", "app.2"} {
				for i, host := range c.hosts {
					a := wish(engine.Ask{Network: "tcp4", Host: host, Port: 20000 + i, Worker: worker, Process: worker, Key: strconv.Itoa(i)})
					a.Moved = func(p engine.Port) { moved[worker+a.Key] = p }
					asks = append(asks, a)
				}
			}
			ports := []int{free(t), free(t)}
			for i := range asks {
				asks[i].Port = ports[i%2]
				b.claim(asks[i])
			}
			for i := len(asks) - 1; i >= 0; i-- { // timers of equal length may end in any order
				a := asks[i]
				a.Waited = true
				if g, err := b.Claim(context.Background(), a); err == nil {
					moved[a.Process+a.Key] = g.Port
				}
			}
			for _, worker := range []string{"app.1", "app.2"} {
				for i := range 2 {
					if main := moved[worker+strconv.Itoa(i)] == engine.Main; main != (i == c.app) {
						t.Errorf("server %d of %s got %s", i, worker, moved[worker+strconv.Itoa(i)])
					}
				}
			}
			if !listens(ports[1-c.app]) || listens(ports[c.app]) {
				t.Errorf("open: the application's own port %v, the other's %v", listens(ports[c.app]), listens(ports[1-c.app]))
			}
		})
	}
}

func TestAServerThatIsClosedWhileItWaitsStaysClosed(t *testing.T) {
	b, _ := public(t)
	a := wish(at(free(t)))
	b.claim(a)
	b.Release(a.Process, a.Key)
	a.Waited = true
	if _, err := b.Claim(context.Background(), a); err == nil {
		t.Error("a closed server got a place")
	}
	if len(b.claims) != 0 {
		t.Errorf("%d claims are left", len(b.claims))
	}
}

func TestASecondServerIsReachedWhereItAskedAndIsToldOnce(t *testing.T) {
	b, _ := public(t)
	app, helper := at(free(t)), at(free(t))
	app.Sources = engine.SourcesIgnorePort
	for _, worker := range []string{"app.1", "app.2"} {
		app.Worker, helper.Worker = worker, worker
		if g := b.claim(app); g.Port != engine.Main {
			t.Errorf("%s: the application was granted %+v", worker, g)
		}
		if g := b.claim(helper); g.Port == engine.Main || !listens(helper.Port) {
			t.Errorf("%s: the helper was granted %+v", worker, g)
		}
	}
	if len(b.notices) != 1 || !strings.Contains(b.notices[0], "leads to port "+strconv.Itoa(app.Port)) {
		t.Errorf("notices: %q", b.notices)
	}
	b.Release(wish(app).Process, wish(app).Key) // the helper's turn comes first when both are opened again
	b.Release(wish(helper).Process, wish(helper).Key)
	if g := b.claim(helper); g.Port == engine.Main {
		t.Errorf("the helper became the application: %+v", g)
	}
}

func TestAPublishedPortIsMeantByItsOwnNumber(t *testing.T) {
	first, second := free(t), free(t)
	b := newBook(t, spec.Port{Host: "127.0.0.1", Published: first}, spec.Port{Host: "127.0.0.1", Published: second})
	if g := b.claim(engine.Ask{Port: first, Own: true}); g.Port != engine.Main {
		t.Errorf("granted %+v, want the main port", g)
	}
	if u, _ := b.open[publishedID("app", b.project.Services[0].Ports[1])].use("app"); u.port != engine.Main {
		t.Errorf("the second port leads to %s before anybody listens there", u.port)
	}
	g := b.claim(engine.Ask{Port: second})
	if g.Port == engine.Main {
		t.Errorf("granted %+v, want the second published port's", g)
	}
	b.apply(b.project)
	if u, _ := b.open[publishedID("app", b.project.Services[0].Ports[1])].use("app"); u.port != g.Port {
		t.Errorf("the second port leads to %s, want %s", u.port, g.Port)
	}
}

func TestALibrarysOwnPortIsNotTheApplication(t *testing.T) {
	b, number := public(t)
	if g := b.claim(engine.Ask{Network: "tcp4", Host: "127.0.0.1"}); g.Port == engine.Main || g.Number == number {
		t.Errorf("a server on any port of loopback was granted %+v", g)
	}
	if g := b.claim(engine.Ask{Network: "udp4", Host: "127.0.0.1", Shared: true}); g.Port == engine.Main {
		t.Errorf("UDP was granted %+v", g)
	}
	if g := b.claim(engine.Ask{Port: number, Own: true}); g.Port != engine.Main {
		t.Errorf("the application was granted %+v", g)
	}
}

// N:N, and a program that connects to N to see whether it is free: bulsa listens there.
func TestAProgramThatFindsItsOwnPortInUseIsReachedAtThePublishedOne(t *testing.T) {
	number := free(t)
	b := newBook(t, spec.Port{Host: "127.0.0.1", Published: number, Target: number})
	a := wish(at(0))
	g := b.claim(a)
	if g.Wait == 0 || g.Port != "" {
		t.Fatalf("granted %+v at once", g)
	}
	a.Waited = true
	if again := b.claim(a); again.Port != engine.Main || listens(g.Number) {
		t.Errorf("granted %+v, want the main port", again)
	}
	if len(b.notices) != 1 || !strings.Contains(b.notices[0], "publish "+strconv.Itoa(number)+" without a target") {
		t.Errorf("notices: %q", b.notices)
	}
	second := at(0)
	second.Worker = "app.2"
	if g := b.claim(second); g.Port != engine.Main || g.Wait != 0 {
		t.Errorf("the second worker was granted %+v", g)
	}
}

// The same, but what listens on any port is a helper: the application comes later.
func TestAHelperOnAnyPortGivesWayToWhatListensOnTheTarget(t *testing.T) {
	for _, waited := range []bool{false, true} {
		number := free(t)
		b := newBook(t, spec.Port{Host: "127.0.0.1", Published: number, Target: number})
		helper, moved := wish(at(0)), engine.Port("")
		helper.Moved = func(p engine.Port) { moved = p }
		b.claim(helper)
		if waited {
			helper.Waited = true
			b.claim(helper)
		}
		if g := b.claim(at(number)); g.Port != engine.Main {
			t.Errorf("the application was granted %+v", g)
		}
		if moved == "" || moved == engine.Main {
			t.Errorf("waited %v: the helper was moved to %q, want a place of its own", waited, moved)
		}
		next := at(0)
		next.Worker = "app.2"
		if g := b.claim(next); g.Wait != 0 || g.Port == engine.Main {
			t.Errorf("the helper of the second worker was granted %+v", g)
		}
	}
}
