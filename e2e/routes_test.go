package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// answers asks for one target of one host and returns status and body.
func (c *talk) answers(target, host string) (int, string) {
	c.t.Helper()
	c.say(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, host))
	res, body := c.answer("GET")
	return res.StatusCode, strings.TrimSpace(body)
}

// copyExample puts the files of an example into the working folder.
func (w *world) copyExample(name string, files ...string) {
	w.t.Helper()
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(example(w.t, name), file))
		if err != nil {
			w.t.Fatal(err)
		}
		w.write(file, string(content))
	}
}

// TestServicesShareAPort as examples/routes shows it: by path and by host, over
// one connection. A change of routes keeps this connection and the workers.
func TestServicesShareAPort(t *testing.T) {
	t.Parallel()
	w, port := newWorld(t), freePort(t)
	w.env = append(w.env, "PUBLIC_PORT="+port)
	w.copyExample("routes", "compose.yaml", "app.js")
	s := w.ready("up", "--admin", "off")
	c := dial(t, "127.0.0.1:"+port)
	expect := func(target, host, want string) {
		t.Helper()
		if status, got := c.answers(target, host); status != 200 || got != want {
			t.Errorf("%s%s: %d %q, want %q", host, target, status, got, want)
		}
	}
	expect("/", "localhost", "web got /, published as /")
	expect("/api/users?id=7", "localhost", "api got /users?id=7, published as /api/users?id=7")
	expect("/api", "localhost", "api got /, published as /api/")
	expect("/apiary", "localhost", "web got /apiary, published as /apiary")
	expect("/users", "API.localhost:"+port, "api got /users, published as /users")

	lives := func() (out []string) { // which run of which worker: all else of ps changes with the time
		for _, r := range w.ps("") {
			out = append(out, fmt.Sprint(r.Name, r.PID, r.State, r.Restarts, r.Release, r.Ports))
		}
		return out
	}
	before := lives()
	w.write("compose.yaml", fmt.Sprintf(`services:
  web: {command: node app.js, ports: ["%[1]s:3000"], x-bulsa: {routes: [{host: web.localhost}]}}
  api: {command: node app.js, ports: ["%[1]s:3000"], deploy: {replicas: 2}, x-bulsa: {routes: [{host: web.localhost, path: /v2}]}}
`, port))
	if out := w.must("up", "-d"); !strings.Contains(out, "web: changed, its workers stay") {
		t.Errorf("up -d says %q", out)
	}
	expect("/api", "web.localhost", "web got /api, published as /api")
	expect("/v2/users", "web.localhost", "api got /v2/users, published as /v2/users")
	if after := lives(); !slices.Equal(after, before) {
		t.Errorf("a change of routes changed the workers:\n%v\n%v", before, after)
	}
	if status, got := c.answers("/", "other.example"); status != 404 || got != `404: no service for host "other.example" on this port` {
		t.Errorf("an unknown host: %d %q", status, got)
	}
	s.stop()
}

// TestRoutesThatCollideAreRefused with the place and what to change.
func TestRoutesThatCollideAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", `services:
  a: {command: x, ports: ["8080:1"], x-bulsa: {routes: [{path: /v1}]}}
  b:
    command: x
    ports: ["8080:1"]
    x-bulsa:
      routes:
        - path: /v1/
`)
	failsWith(t, w.do("up"), 2, "compose.yaml:8: service a has the route /v1 on port 8080, too; give one of them another host or path")
}
