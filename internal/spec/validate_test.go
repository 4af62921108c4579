package spec

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// command is a valid process service.
func command(name string, dependsOn ...Dependency) Service {
	s := NewService(name)
	s.Command.Args = []string{"x"}
	s.DependsOn = dependsOn
	return s
}

func on(name string) Dependency {
	return Dependency{Service: name, Condition: ServiceStarted, Required: true}
}

func TestServicesStartAfterAllTheyDependOn(t *testing.T) {
	sorted, err := SortServices([]Service{
		command("web", on("api"), on("cache")), command("api", on("db")), command("db"), command("cache"), command("a"),
		command("lonely", Dependency{Service: "absent", Condition: ServiceStarted}),
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range sorted {
		names = append(names, s.Name)
	}
	if want := []string{"a", "db", "api", "cache", "lonely", "web"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestACycleNamesItsServices(t *testing.T) {
	for _, c := range []struct {
		services []Service
		want     string
	}{
		{[]Service{command("a", on("a"))}, "services a -> a depend on each other"},
		{[]Service{command("x", on("a")), command("a", on("b")), command("b", on("c")), command("c", on("a"))}, "services a -> b -> c -> a depend on each other"},
	} {
		_, err := SortServices(c.services)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestWhatCannotRunIsRefusedWithItsPlace(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Service)
		where string
	}{
		{"no command", func(s *Service) { s.Command.Args = nil }, "services.app.command"},
		{"too many workers", func(s *Service) { s.Replicas = MaxReplicas + 1 }, "services.app.deploy.replicas"},
		{"NUL in an argument", func(s *Service) { s.Command.Args = []string{"a\x00"} }, "services.app.command"},
		{"variable without =", func(s *Service) { s.Command.Env = []string{"A"} }, "services.app.environment"},
		{"port out of range", func(s *Service) { s.Ports = []Port{{Published: 70000}} }, "services.app.ports.0"},
		{"host is no address", func(s *Service) { s.Ports = []Port{{Host: "x y"}} }, "services.app.ports.0"},
		{"unknown policy", func(s *Service) { s.Balance.Policy = "random" }, "services.app.x-bulsa.balance"},
		{"cookie with a space", func(s *Service) { s.Balance.Sticky = "a b" }, "services.app.x-bulsa.sticky.cookie"},
		{"unknown node mode", func(s *Service) { s.NodeMode = "magic" }, "services.app.x-bulsa.node"},
		{"signal not in full", func(s *Service) { s.Stop.Signal = "TERM" }, "services.app.stop_signal"},
		{"negative grace", func(s *Service) { s.Stop.Grace = -1 }, "services.app.stop_grace_period"},
		{"empty check", func(s *Service) { s.Health.Test = []string{"CMD"} }, "services.app.healthcheck.test"},
		{"check of several strings", func(s *Service) { s.Health.Test = []string{"CMD-SHELL", "a", "b"} }, "services.app.healthcheck.test"},
		{"probe without a slash", func(s *Service) { s.Health.HTTP = "health" }, "services.app.x-bulsa.probe.http"},
		{"time-out under 1ms", func(s *Service) { s.Health.Timeout = time.Microsecond }, "services.app.healthcheck.timeout"},
		{"no retries", func(s *Service) { s.Health.Retries = 0 }, "services.app.healthcheck.retries"},
		{"jitter over 1", func(s *Service) { s.Restart.Jitter = 2 }, "services.app.x-bulsa.restart.jitter"},
		{"no budget", func(s *Service) { s.Restart.Budget = 0 }, "services.app.x-bulsa.restart.budget"},
		{"an answer time-out that no answer keeps", func(s *Service) { s.Forward.AnswerTimeout = -1 }, "services.app.x-bulsa.timeouts.answer"},
		{"no log files", func(s *Service) { s.Logs.MaxFiles = 0 }, "services.app.logging.options.max-file"},
		{"servers of a process", func(s *Service) { s.Servers = []Server{NewServer("a:1")} }, "services.app.x-bulsa.servers"},
		{"container without an image", func(s *Service) { s.Engine = EngineDocker }, "services.app.image"},
		{"pull policy", func(s *Service) { s.Engine, s.Container = EngineDocker, &Container{Image: "a", Pull: "daily"} }, "services.app.pull_policy"},
		{"build policy without a build", func(s *Service) { s.Engine, s.Container = EngineDocker, &Container{Image: "a", Pull: PullBuild} }, "services.app.pull_policy"},
		{"swarm", func(s *Service) { s.Engine = "swarm" }, "services.app.x-bulsa.engine"},
		{"unknown engine", func(s *Service) { s.Engine = "proces" }, "services.app.x-bulsa.engine"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := command("app")
			c.spoil(&s)
			var p *Problem
			if err := Validate(Project{Name: "p", Services: []Service{s}}); !errors.As(err, &p) || p.Where != c.where || p.What == "" {
				t.Errorf("got %v, want a problem at %s", err, c.where)
			}
		})
	}
}

func TestADefaultServiceWithACommandIsValid(t *testing.T) {
	if err := Validate(Project{Name: "p", Services: []Service{command("app")}}); err != nil {
		t.Error(err)
	}
}

func TestPortsOfOneProjectDoNotCollide(t *testing.T) {
	for _, c := range []struct {
		a, b    Port
		collide bool
	}{
		{Port{Published: 80}, Port{Published: 80}, true},
		{Port{Published: 80}, Port{Host: "127.0.0.1", Published: 80}, true},
		{Port{Host: "0.0.0.0", Published: 80}, Port{Host: "127.0.0.1", Published: 80}, true},
		{Port{Host: "127.0.0.1", Published: 80}, Port{Host: "127.0.0.2", Published: 80}, false},
		{Port{Published: 80}, Port{Published: 81}, false},
		{Port{}, Port{}, false},
	} {
		a, b := command("a"), command("b")
		a.Ports, b.Ports = []Port{c.a}, []Port{c.b}
		err := Validate(Project{Name: "p", Services: []Service{a, b}})
		if (err != nil) != c.collide {
			t.Errorf("%v and %v: %v", c.a, c.b, err)
		}
	}
}

func TestAProblemIsAlwaysOneLine(t *testing.T) {
	p := &Problem{Where: "a\nb:1", What: "x\x1b[31m\r\ny", Fix: "z\u2028"}
	if got, want := p.Error(), "a b:1: x [31m y; z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNearestFindsSlipsOnly(t *testing.T) {
	known := []string{"replicas", "restart_policy", "resources"}
	for word, want := range map[string]string{"replica": "replicas", "Replicas": "replicas", "restart-policy": "restart_policy", "volumes": "", "": "", "repilcas": "replicas"} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestTheDigestIsOfWhatAWorkerRuns(t *testing.T) {
	a := command("app")
	for what, change := range map[string]func(*Service){
		"scaling":           func(s *Service) { s.Replicas = 7 },
		"a route":           func(s *Service) { s.Routes = []Route{{Path: "/v1"}} },
		"a limit":           func(s *Service) { s.Limits.Connections = 7 },
		"a certificate":     func(s *Service) { s.TLS.Certificates = []Certificate{{"a.pem", "a.key"}} },
		"an access log":     func(s *Service) { s.AccessLog.Format = "json" },
		"the balancing":     func(s *Service) { s.Balance = Balance{Policy: "round_robin", MaxFails: 9, Sticky: "id"} },
		"the proxy's times": func(s *Service) { s.Forward.Hold = time.Minute },
	} {
		b := command("app")
		change(&b)
		if a.Digest() != b.Digest() {
			t.Errorf("%s changes the digest", what)
		}
	}
	b := command("app")
	b.Command.Env = []string{"A=1"}
	if a.Digest() == b.Digest() {
		t.Error("another environment keeps the digest")
	}
}
