package proxy

import (
	"fmt"
	"strings"
	"testing"
)

func routesOf(rules ...string) *Listener {
	var routes []Route
	for _, rule := range rules {
		host, path, _ := strings.Cut(rule, "/")
		if strings.Contains(rule, "/") {
			path = "/" + path
		}
		routes = append(routes, Route{Host: host, Path: path, Service: rule})
	}
	return NewListener(routes...)
}

func TestTheMostExactRouteTakesTheRequest(t *testing.T) {
	l := routesOf("", "/v1", "/v1/users", "api.example.com", "api.example.com/v2", "*.example.com/v2", "*.example.com", "*.eu.example.com")
	for _, c := range []struct{ host, path, want string }{
		{"other.org", "/", ""},
		{"other.org", "/v1", "/v1"},
		{"other.org", "/v1/", "/v1"},
		{"other.org", "/v1/users", "/v1/users"},
		{"other.org", "/v1/users/7", "/v1/users"},
		{"other.org", "/v10", ""},
		{"other.org", "/v1users", ""},
		{"other.org", "/V1", ""},
		{"other.org", "*", ""},
		{"api.example.com", "/v1", "api.example.com"},
		{"API.Example.COM:8443", "/v2/x", "api.example.com/v2"},
		{"api.example.com.", "/v2", "api.example.com/v2"},
		{"www.example.com", "/v2/x", "*.example.com/v2"},
		{"www.example.com", "/v3", "*.example.com"},
		{"a.b.example.com", "/", "*.example.com"},
		{"a.eu.example.com", "/", "*.eu.example.com"},
		{"a.eu.example.com", "/v2", "*.eu.example.com"},
		{"example.com", "/", ""},
		{"notexample.com", "/", ""},
		{"[::1]:80", "/v1", "/v1"},
		{"[::1]", "/v1", "/v1"},
		{"", "/v1", "/v1"},
		{strings.Repeat("a.", 200) + "example.com", "/", ""},
	} {
		if got := l.Match([]byte(c.host), []byte(c.path)); got == nil || got.Service != c.want {
			t.Errorf("%s%s goes to %v, want %q", c.host, c.path, got, c.want)
		}
	}
}

func TestWithoutADefaultSomeRequestsHaveNoRoute(t *testing.T) {
	l := routesOf("api.example.com/v1", "*.example.com/v1")
	for _, c := range []struct {
		host, path string
		known      bool
	}{
		{"api.example.com", "/v2", true},
		{"www.example.com", "/", true},
		{"example.com", "/v1", false},
		{"other.org", "/v1", false},
	} {
		if got := l.Match([]byte(c.host), []byte(c.path)); got != nil {
			t.Errorf("%s%s goes to %s, want no route", c.host, c.path, got.Service)
		}
		if got := l.knows([]byte(c.host)); got != c.known {
			t.Errorf("host %s known: %v, want %v", c.host, got, c.known)
		}
	}
}

func TestAnEscapedPathIsThePathItStandsFor(t *testing.T) {
	l := routesOf("", "/v1", "/café")
	for path, want := range map[string]string{
		"/%76%31/x":     "/v1",
		"/%761":         "/v1",
		"/caf%C3%A9/x":  "/café",
		"/v1%2Fx":       "",
		"%2Fv1":         "",
		"/v%":           "",
		"/v%3":          "",
		"/v%zz":         "",
		"/v1/%":         "/v1",
		"/v1/a..b/...":  "/v1",
		"/v1/.hidden/x": "/v1",
	} {
		if got := l.Match([]byte("h"), []byte(path)); got == nil || got.Service != want {
			t.Errorf("%s goes to %v, want %q", path, got, want)
		}
	}
}

// What is public under one prefix must not open the way to another.
func TestDotSegmentsHaveNoRouteWherePathsCount(t *testing.T) {
	paths := []string{"/v1/../admin", "/v1/..", "/v1/./x", "/..", "/v1/%2e%2E/admin", "/v1/..%2fadmin", "/v1/.%2e/x"}
	for _, path := range paths {
		if got := routesOf("", "/v1").Match(nil, []byte(path)); got != nil {
			t.Errorf("%s goes to %q, want no route", path, got.Service)
		}
		if routesOf("").Match(nil, []byte(path)) == nil {
			t.Errorf("%s has no route on a listener with one service, which may take any path", path)
		}
	}
}

func TestThePrefixIsTakenOff(t *testing.T) {
	for _, c := range []struct{ prefix, target, want string }{
		{"/v1", "/v1", "/"},
		{"/v1", "/v1/", "/"},
		{"/v1", "/v1?x=1", "/?x=1"},
		{"/v1", "/v1/users?x=/v1", "/users?x=/v1"},
		{"/v1", "/%761/users", "/users"},
		{"/v1", "/v1//users", "//users"},
		{"", "/v1", "/v1"},
	} {
		r := Route{Path: c.prefix, Strip: true}
		if got := string(r.appendTarget(nil, c.target)); got != c.want {
			t.Errorf("%s without %s is %s, want %s", c.target, c.prefix, got, c.want)
		}
	}
}

func TestConnectionsOfASharedListenerHaveTheMostGenerousSettings(t *testing.T) {
	l := NewListener(
		Route{Host: "a", Settings: Settings{HeaderTimeout: 1, IdleTimeout: 5, MaxHeader: 1 << 10, Connections: 10}},
		Route{Host: "b", Settings: Settings{HeaderTimeout: 2, IdleTimeout: 0, Connections: 20}},
	)
	want := Settings{HeaderTimeout: 2, IdleTimeout: 0, MaxHeader: defaultMaxHeader, Connections: 20}
	if got := fmt.Sprint(l.Settings); got != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	l := manyRoutes()
	host, path := []byte("S500.Example.com:443"), []byte("/%761/users/7")
	if n := testing.AllocsPerRun(100, func() { l.Match(host, path) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func manyRoutes() *Listener {
	rules := []string{"", "*.example.com"}
	for i := range 1000 {
		rules = append(rules, fmt.Sprintf("s%d.example.com/v1", i))
	}
	return routesOf(rules...)
}

func BenchmarkMatch(b *testing.B) {
	for name, c := range map[string]struct {
		listener   *Listener
		host, path string
	}{
		"one service":         {routesOf(""), "www.example.com", "/index.html"},
		"two paths":           {routesOf("", "/v1"), "www.example.com", "/v1/users/7"},
		"exact of 1000 hosts": {manyRoutes(), "s500.example.com", "/v1/users/7"},
		"wildcard":            {manyRoutes(), "a.b.c.example.com", "/v1/users/7"},
	} {
		host, path := []byte(c.host), []byte(c.path)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.listener.Match(host, path)
			}
		})
	}
}
