package ports

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bulsa/internal/balance"
	"bulsa/internal/engine"
	"bulsa/internal/proxy"
	"bulsa/internal/spec"
)

// book is a book of ports for one service that publishes what is given.
type book struct {
	*Book
	t       *testing.T
	project spec.Project
	notices []string
}

func newBook(t *testing.T, published ...spec.Port) *book {
	t.Helper()
	server := spec.NewServer("127.0.0.1:1")
	app := spec.NewService("app")
	app.Engine, app.Servers, app.Replicas, app.Ports = spec.EngineExternal, []spec.Server{server}, 1, published
	b := &book{t: t, project: spec.Project{Name: "test", Services: []spec.Service{app}}}
	b.Book = New(Config{
		Server: proxy.New(proxy.Config{}), Pools: pools{}, Logger: slog.New(slog.DiscardHandler),
		Notice: func(_, message string) { b.notices = append(b.notices, message) },
	})
	b.apply(b.project)
	t.Cleanup(b.Close)
	return b
}

// pools lead to the servers of external services.
type pools map[string]*balance.Pool

func (p pools) Of(sv spec.Service, port engine.Port) (*balance.Pool, error) {
	key := sv.Name + "/" + string(port)
	if p[key] == nil {
		pool, err := balance.NewPool(sv.Balance.Policy)
		if err != nil {
			return nil, err
		}
		for _, s := range sv.Servers {
			pool.Publish([]*balance.Endpoint{balance.NewEndpoint(balance.Config{Worker: sv.Name, Connector: dialer(s.Address)})})
		}
		p[key] = pool
	}
	return p[key], nil
}

// dialer connects to an address.
type dialer string

func (d dialer) Connect(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", string(d))
}

func (b *book) apply(p spec.Project) {
	b.t.Helper()
	retire, err := b.Publish(p)
	if err != nil {
		b.t.Fatal(err)
	}
	retire()
}

// wish completes an ask of the first process of app.1.
func wish(a engine.Ask) engine.Ask {
	a.Service = "app"
	if a.Worker == "" {
		a.Worker = "app.1"
	}
	if a.Process == "" {
		a.Process = a.Worker + "#1/1"
	}
	if a.Instance == "" {
		instance, _, _ := strings.Cut(a.Process, "/")
		a.Instance = engine.InstanceID(instance)
	}
	if a.Network == "" {
		a.Network = "tcp"
	}
	if a.Key == "" {
		a.Key = fmt.Sprint(a.Network, a.Host, a.Port, a.Index, a.Path)
	}
	return a
}

func (b *book) claim(a engine.Ask) engine.Grant {
	b.t.Helper()
	a = wish(a)
	g, err := b.Claim(context.Background(), a)
	if err != nil {
		b.t.Fatalf("claim %+v: %v", a, err)
	}
	return g
}

func TestAPublishedPortWithoutATargetIsTheFirstThatTheWorkerAsksFor(t *testing.T) {
	b := newBook(t, spec.Port{Host: "127.0.0.1"})
	g := b.claim(engine.Ask{Port: 3000, Sources: engine.SourcesIgnorePort})
	if g.Port != engine.Main || g.Number != 3000 {
		t.Errorf("granted %+v, want the main port under the number 3000", g)
	}
	if len(b.open) != 1 {
		t.Errorf("%d sockets are open, want the published one alone", len(b.open))
	}
}

func TestAPublishedTargetIsMeantByItsNumber(t *testing.T) {
	b := newBook(t, spec.Port{Host: "127.0.0.1", Target: 3000}, spec.Port{Host: "127.0.0.1", Target: 3001})
	if g := b.claim(engine.Ask{Port: 3001}); g.Port == engine.Main {
		t.Errorf("port 3001 was taken for the main one: %+v", g)
	}
	if g := b.claim(engine.Ask{Port: 3000}); g.Port != engine.Main {
		t.Errorf("port 3000 was not taken for the main one: %+v", g)
	}
	if len(b.open) != 2 {
		t.Errorf("%d sockets are open, want the two published ones", len(b.open))
	}
}

func TestAFirstAskThatMissesTheTargetIsToldToTheUser(t *testing.T) {
	b := newBook(t, spec.Port{Host: "127.0.0.1", Published: 0, Target: 3000})
	b.claim(engine.Ask{Network: "tcp4", Host: "127.0.0.1"})
	if len(b.notices) != 1 || !strings.Contains(b.notices[0], "leads to port 3000") {
		t.Errorf("notices: %q", b.notices)
	}
}

func TestThePortOfAWorkersOwnMeansTheMainOne(t *testing.T) {
	b := newBook(t, spec.Port{Host: "127.0.0.1", Target: 3000})
	if g := b.claim(engine.Ask{Port: 40123, Own: true}); g.Port != engine.Main || g.Number != 40123 {
		t.Errorf("granted %+v", g)
	}
}

func TestWithoutPublishedPortsTheFirstAskIsMainAndEachIsOpened(t *testing.T) {
	b := newBook(t)
	first := b.claim(engine.Ask{Network: "tcp4", Host: "127.0.0.1"})
	second := b.claim(engine.Ask{Network: "tcp4", Host: "127.0.0.1", Index: 1})
	again := b.claim(engine.Ask{Network: "tcp4", Host: "127.0.0.1", Worker: "app.2"})
	if first.Port != engine.Main || second.Port == engine.Main || first.Number == second.Number {
		t.Errorf("granted %+v and %+v", first, second)
	}
	if again != first {
		t.Errorf("another worker got %+v for the same wish, not %+v", again, first)
	}
	if len(b.open) != 2 {
		t.Errorf("%d sockets are open, want 2", len(b.open))
	}
}

func TestAUnixPathIsOpenedAsAsked(t *testing.T) {
	b := newBook(t)
	path := filepath.Join(t.TempDir(), "app.sock")
	b.claim(engine.Ask{Network: "unix", Path: path})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestUDPIsShared(t *testing.T) {
	b := newBook(t)
	if g := b.claim(engine.Ask{Network: "udp4", Host: "127.0.0.1", Shared: true}); g.Shared == 0 || g.Number == 0 {
		t.Errorf("granted %+v, want a descriptor and the real port", g)
	}
}

func TestATakenPortIsToldToTheApplication(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	b := newBook(t)
	ask := wish(engine.Ask{Network: "tcp4", Host: "127.0.0.1", Port: taken.Addr().(*net.TCPAddr).Port})
	if _, err := b.Claim(context.Background(), ask); err != syscall.EADDRINUSE {
		t.Errorf("got %v, want EADDRINUSE", err)
	}
	if len(b.notices) != 1 {
		t.Errorf("notices: %q", b.notices)
	}
}

func TestAPortInUseChangesNothing(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	b := newBook(t, spec.Port{Host: "127.0.0.1"})
	p := b.project
	p.Services = append([]spec.Service(nil), p.Services...)
	p.Services[0].Ports = []spec.Port{
		{Host: "127.0.0.2"},
		{Host: "127.0.0.1", Published: taken.Addr().(*net.TCPAddr).Port},
	}
	if _, err := b.Publish(p); err == nil {
		t.Fatal("a port that is in use was published")
	}
	if len(b.open) != 1 {
		t.Errorf("%d sockets are open, want the one from before", len(b.open))
	}
}

func TestAPortThatIsNoLongerPublishedIsClosed(t *testing.T) {
	b := newBook(t, spec.Port{Host: "127.0.0.1"})
	address := b.List("app")[0]
	p := b.project
	p.Services = append([]spec.Service(nil), p.Services...)
	p.Services[0].Ports = nil
	b.apply(p)
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Errorf("%s still takes connections", address)
	}
}

// answering is an external service of one server that answers with its name.
func answering(t *testing.T, name string, port spec.Port, routes ...spec.Route) spec.Service {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, name+" "+r.URL.Path)
	}))
	t.Cleanup(backend.Close)
	sv := spec.NewService(name)
	sv.Engine, sv.Servers, sv.Replicas = spec.EngineExternal, []spec.Server{spec.NewServer(backend.Listener.Addr().String())}, 1
	sv.Ports, sv.Routes = []spec.Port{port}, routes
	return sv
}

// A route that comes or goes touches no connection.
func TestServicesShareAPublishedPort(t *testing.T) {
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := spec.Port{Host: "127.0.0.1", Published: free.Addr().(*net.TCPAddr).Port, Target: 3000}
	free.Close()
	web, api := answering(t, "web", port), answering(t, "api", port, spec.Route{Path: "/v1", StripPrefix: true})
	b := newBook(t)
	p := b.project
	p.Services = []spec.Service{web, api}
	b.apply(p)
	if len(b.open) != 1 {
		t.Fatalf("%d sockets are open, want one", len(b.open))
	}
	want := fmt.Sprintf("127.0.0.1:%d->3000", port.Published)
	for _, service := range []string{"web", "api"} {
		if got := b.List(service); len(got) != 1 || got[0] != want {
			t.Errorf("%s is on %v, want %s", service, got, want)
		}
	}
	conn, err := net.Dial("tcp", want[:strings.IndexByte(want, '-')])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	ask := func(path, want string) {
		t.Helper()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: example.com\r\n\r\n", path)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); string(body) != want {
			t.Errorf("GET %s: %s, want %s", path, body, want)
		}
	}
	ask("/v1/users", "api /users")
	ask("/users", "web /users")
	p.Services = []spec.Service{web}
	b.apply(p)
	ask("/v1/users", "web /v1/users")
	p.Services = []spec.Service{web, api}
	b.apply(p)
	ask("/v1/users", "api /users")
}
