package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// app is the path of one of the applications in testdata/apps.
func app(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "apps", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// needsPackages fails the test when the packages of a Node folder are missing.
func needsPackages(t *testing.T, folder string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err != nil {
		t.Fatalf("%s has no node_modules: run scripts/test-deps.sh", folder)
	}
}

// set puts a variable into the environment of the world's commands.
func (w *world) set(key, value string) {
	w.env = slices.DeleteFunc(w.env, func(kv string) bool { return strings.HasPrefix(kv, key+"=") })
	w.env = append(w.env, key+"="+value)
}

// run is `bulsa run` of a project named app, ready.
func (w *world) run(args ...string) *server {
	w.t.Helper()
	return w.ready(append([]string{"run", "--name", "app", "--admin", "off"}, args...)...)
}

// whoami is what testdata/apps/whoami.js answers.
type whoami struct {
	PID      int
	Node     string
	IsWorker bool
	ID       int
	Master   string
	Address  any // string for a unix socket, else an object

	RemoteAddress, RemoteFamily string
	RemotePort                  int
	Headers                     map[string]string
	Argv                        []string
	Cwd                         string
	Env                         struct {
		Service  string `json:"BULSA_SERVICE"`
		Worker   string `json:"BULSA_WORKER"`
		Instance string `json:"NODE_APP_INSTANCE"`
		Port     string `json:"PORT"`
		Options  string `json:"NODE_OPTIONS"`
	}
}

// decode reads an answer of whoami.js.
func decode(t *testing.T, body string) whoami {
	t.Helper()
	var a whoami
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("not an answer of whoami.js: %v: %s", err, body)
	}
	return a
}

// ask gets one answer of whoami.js over a connection of its own.
func ask(t *testing.T, url string) whoami {
	t.Helper()
	status, body := get(t, url)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", url, status, body)
	}
	return decode(t, body)
}

// everybody asks until n workers have answered, and returns one answer of each by its number.
func everybody(t *testing.T, url string, n int) map[string]whoami {
	t.Helper()
	all := map[string]whoami{}
	eventually(t, fmt.Sprintf("%d workers have answered", n), func() bool {
		a := ask(t, url)
		all[a.Env.Worker] = a
		return len(all) == n
	})
	return all
}

// answers asks until every one of the texts has come as an answer.
func answers(t *testing.T, url string, texts ...string) {
	t.Helper()
	missing := slices.Clone(texts)
	eventually(t, fmt.Sprintf("%s has answered %q", url, texts), func() bool {
		status, body := get(t, url)
		if status != http.StatusOK || !slices.Contains(texts, strings.TrimSpace(body)) {
			t.Fatalf("GET %s: %d %q, want one of %q", url, status, body, texts)
		}
		missing = slices.DeleteFunc(missing, func(s string) bool { return s == strings.TrimSpace(body) })
		return len(missing) == 0
	})
}

// TestTheZombieServerAsksWhoItsPrimaryIs: the exchange that the example is
// about, as under Node's own primary: worker ids from 1, one primary for all.
func TestTheZombieServerAsksWhoItsPrimaryIs(t *testing.T) {
	t.Parallel()
	address := four(newWorld(t), filepath.Join(example(t, "zombie-server"), "cluster.js"))
	hello := regexp.MustCompile(`^Hello from worker (\d+) of ([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\n$`)
	primaries, ids := map[string]bool{}, map[string]bool{}
	eventually(t, "four workers have answered", func() bool {
		_, body := get(t, "http://"+address+"/")
		m := hello.FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("answer is %q", body)
		}
		ids[m[1]], primaries[m[2]] = true, true
		return len(ids) == 4
	})
	for _, id := range []string{"1", "2", "3", "4"} {
		if !ids[id] {
			t.Errorf("no worker %s: %v", id, ids)
		}
	}
	if len(primaries) != 1 {
		t.Errorf("workers have different primaries: %v", primaries)
	}
}

// TestAnAppThatKnowsNothingOfClusters has several workers all the same.
func TestAnAppThatKnowsNothingOfClusters(t *testing.T) {
	t.Parallel()
	address := four(newWorld(t), filepath.Join(example(t, "zombie-server"), "app.js"))
	seen := map[string]bool{}
	eventually(t, "four processes have answered", func() bool {
		_, body := get(t, "http://"+address+"/")
		seen[body] = true
		return len(seen) == 4
	})
}

// TestEveryWorkerLearnsWhoItIs from its environment, as the contract names it.
func TestEveryWorkerLearnsWhoItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.set("NODE_OPTIONS", "--max-old-space-size=200")
	w.run("-w", "3", "-p", "127.0.0.1:"+port+":3000", app(t, "whoami.js"), "one", "two words")
	all := everybody(t, "http://127.0.0.1:"+port, 3)
	for number, a := range all {
		if a.Env.Service != "app" || fmt.Sprint(a.Env.Instance) != map[string]string{"1": "0", "2": "1", "3": "2"}[number] {
			t.Errorf("worker %s: BULSA_SERVICE=%s NODE_APP_INSTANCE=%s", number, a.Env.Service, a.Env.Instance)
		}
		if a.Env.Port != "3000" {
			t.Errorf("worker %s: PORT=%s, want the one that it is published from", number, a.Env.Port)
		}
		if !a.IsWorker || a.ID < 1 || a.ID > 3 {
			t.Errorf("worker %s: cluster.isWorker is %t, cluster.worker.id %d", number, a.IsWorker, a.ID)
		}
		if a.Env.Options != "--max-old-space-size=200" {
			t.Errorf("worker %s: its children would see NODE_OPTIONS=%s", number, a.Env.Options)
		}
		if strings.Join(a.Argv, "|") != "one|two words" || a.Cwd != w.dir {
			t.Errorf("worker %s: arguments %q in %s", number, a.Argv, a.Cwd)
		}
	}
	for _, r := range w.ps("") {
		if a := all[fmt.Sprint(r.Number)]; a.PID != r.PID {
			t.Errorf("ps says that %s is process %d, itself %d", r.Name, r.PID, a.PID)
		}
	}
}

// TestTwoServicesHaveWorkersOfTheirOwn, each with its own primary's ids and names.
func TestTwoServicesHaveWorkersOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := freePort(t), freePort(t)
	w.write("bulsa.yaml", fmt.Sprintf(`
name: pair
services:
  one: &service
    command: node %s
    ports: ["127.0.0.1:%s:3000"]
    deploy: {replicas: 2}
  two:
    <<: *service
    ports: ["127.0.0.1:%s:3000"]
`, app(t, "whoami.js"), one, two))
	w.ready("up", "--admin", "off")
	for service, port := range map[string]string{"one": one, "two": two} {
		for number, a := range everybody(t, "http://127.0.0.1:"+port, 2) {
			if a.Env.Service != service || fmt.Sprint(a.ID) != "1" && fmt.Sprint(a.ID) != "2" {
				t.Errorf("worker %s of %s says: service %s, id %d", number, service, a.Env.Service, a.ID)
			}
		}
	}
}

// TestThePort: which one is open, and what the application believes.
func TestThePort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		publish func(public, asked string) []string
		public  bool // the published port is not the one that the app asks for
	}{
		{"without -p it is the one that the app asks for", func(_, _ string) []string { return nil }, false},
		{"-p PORT leads to whatever the app asks for", func(p, _ string) []string { return []string{"-p", "127.0.0.1:" + p} }, true},
		{"-p PORT:TARGET", func(p, a string) []string { return []string{"-p", "127.0.0.1:" + p + ":" + a} }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			public, asked := freePort(t), freePort(t)
			w.set("LISTEN", asked)
			w.run(append(append([]string{"-w", "2"}, c.publish(public, asked)...), app(t, "whoami.js"))...)
			open, closed := public, asked
			if !c.public {
				open, closed = asked, public
			}
			for _, a := range everybody(t, "http://127.0.0.1:"+open, 2) {
				if at, ok := a.Address.(map[string]any); !ok || fmt.Sprint(at["port"]) != asked {
					t.Errorf("the app asked for %s and believes that it listens on %v", asked, a.Address)
				}
			}
			if conn, err := net.Dial("tcp", "127.0.0.1:"+closed); err == nil {
				conn.Close()
				t.Errorf("port %s is open as well", closed)
			}
		})
	}
}

// TestWaysToStart: whatever a developer types, two workers share one port.
func TestWaysToStart(t *testing.T) {
	t.Parallel()
	apps := app(t, ".")
	needsPackages(t, apps)
	for _, c := range []struct {
		name  string
		files map[string]string
		args  []string
		want  string
	}{
		{"an ES module with top-level await", nil, []string{app(t, "esm.mjs")}, "ES module"},
		{"node with flags", nil, []string{"node", "--no-warnings", app(t, "esm.mjs")}, "ES module"},
		{"npm start", map[string]string{"package.json": `{"scripts": {"start": "node ` + app(t, "esm.mjs") + `"}}`}, []string{"npm", "start"}, "ES module"},
		{"npm run with a shell's line", map[string]string{"package.json": `{"scripts": {"serve": "echo hello && X=1 node ` + app(t, "esm.mjs") + `"}}`}, []string{"npm", "run", "serve"}, "ES module"},
		{"a folder with a start script", map[string]string{"web/package.json": `{"scripts": {"start": "node ` + app(t, "esm.mjs") + `"}}`}, []string{"web"}, "ES module"},
		{"a folder with a main file", map[string]string{"web/package.json": `{"main": "` + app(t, "esm.mjs") + `"}`}, []string{"web"}, "ES module"},
		{"a script that says its interpreter", map[string]string{"serve": "#!/usr/bin/env node\nimport('" + app(t, "esm.mjs") + "')\n"}, []string{"./serve"}, "ES module"},
		{"sh -c", nil, []string{"sh", "-c", "exec node " + app(t, "esm.mjs")}, "ES module"},
		{"bash -c that stays", nil, []string{"bash", "-c", "node " + app(t, "esm.mjs") + "; true"}, "ES module"},
		{"TypeScript", nil, []string{app(t, "typed.ts")}, "TypeScript"},
		{"TypeScript by node --import tsx", nil, []string{"node", "--import", "file://" + filepath.Join(apps, "node_modules/tsx/dist/loader.mjs"), app(t, "typed.ts")}, "TypeScript"},
		{"TypeScript by tsx", nil, []string{filepath.Join(apps, "node_modules/.bin/tsx"), app(t, "typed.ts")}, "TypeScript"},
		{"TypeScript by npx tsx", nil, []string{"npx", "--prefix", apps, "tsx", app(t, "typed.ts")}, "TypeScript"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for name, content := range c.files {
				path := w.write(name, content)
				if err := os.Chmod(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			port := freePort(t)
			w.set("LISTEN", port)
			s := w.run(append([]string{"-w", "2"}, c.args...)...)
			eventually(t, "a worker listens, which one that compiles first does long after it is said to run", func() bool {
				conn, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err == nil {
					conn.Close()
				}
				return err == nil
			})
			answers(t, "http://127.0.0.1:"+port, c.want+" 1", c.want+" 2")
			if status := s.stop(); status != 0 {
				t.Errorf("exit status %d after Ctrl-C", status)
			}
		})
	}
}
