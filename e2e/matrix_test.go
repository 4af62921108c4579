package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// matrix is one combination that `make apps` tries.
type matrix struct {
	name    string
	pkg     string   // whose version is shown; "": Node's own
	command []string // in testdata/matrix, with node_modules/.bin on PATH
	workers int      // 0: two
	path    string   // that is asked; "": /
	status  int      // that is answered; 0: 200
	alike   bool     // the workers' answers cannot be told apart
	pauses  bool     // a restart loses requests: see note
	note    string   // which option it needs, or what else a user should know
}

func line(words string) []string { return strings.Fields(words) }

// frameworks are programs in testdata/matrix/apps, each a worker that says so.
func frameworks() []matrix {
	var all []matrix
	for _, of := range []string{
		"express", "fastify", "koa", "hapi @hapi/hapi", "restify", "polka", "nest @nestjs/core", "connect", "findmyway find-my-way", "yoga graphql-yoga",
		"socketio socket.io", "ws", "proxy http-proxy-middleware", "metrics prom-client",
	} {
		name, pkg, _ := strings.Cut(of, " ")
		all = append(all, matrix{name: cmp.Or(pkg, name), pkg: cmp.Or(pkg, name), command: []string{"apps/" + name + ".js"}})
	}
	for _, of := range []string{"h3", "hono @hono/node-server", "tinyhttp @tinyhttp/app", "feathers @feathersjs/feathers", "apollo @apollo/server"} {
		name, pkg, _ := strings.Cut(of, " ")
		all = append(all, matrix{name: cmp.Or(pkg, name), pkg: cmp.Or(pkg, name), command: []string{"apps/" + name + ".mjs"}})
	}
	const query = "/?query=%7Bworker%7D"
	for i := range all {
		switch all[i].pkg {
		case "graphql-yoga":
			all[i].path = "/graphql" + query[1:]
		case "@apollo/server":
			all[i].path = query
		case "@feathersjs/feathers":
			all[i].path = "/worker"
		}
	}
	return all
}

func servers() []matrix {
	return []matrix{
		{name: "http-server", pkg: "http-server", command: line("http-server public"), alike: true},
		{name: "npx http-server -p $PORT", pkg: "http-server", command: []string{"sh", "-c", "npx http-server public -p $PORT"}, alike: true},
		{name: "serve", pkg: "serve", command: line("serve public"), alike: true},
		{name: "sirv", pkg: "sirv-cli", command: line("sirv public"), alike: true},
		{name: "json-server", pkg: "json-server", command: line("json-server db.json"), path: "/posts", alike: true},
		{name: "micro", pkg: "micro", command: []string{"sh", "-c", "micro -l tcp://0.0.0.0:$PORT apps/micro.js"}},
		{name: "fastify-cli", pkg: "fastify-cli", command: line("fastify start apps/fastifyplugin.js")},
	}
}

func launchers() []matrix {
	return []matrix{
		{name: "node", command: line("node apps/plain.js")},
		{name: "an ES module", command: line("apps/module.mjs")},
		{name: "node --import", command: line("node --import tsx apps/typed.ts"), pkg: "tsx"},
		{name: "node --watch", command: line("node --watch apps/plain.js")},
		{name: "npm start", command: line("npm start")},
		{name: "npm run with a shell", command: line("npm run shell")},
		{name: "npm run dev (node --watch)", command: line("npm run dev")},
		{name: "a folder", command: line(".")},
		{name: "npx", command: line("npx tsx apps/typed.ts")},
		{name: "yarn start", pkg: "yarn", command: line("yarn --silent start")},
		{name: "yarn run with a shell", pkg: "yarn", command: line("yarn --silent run shell")},
		{name: "pnpm start", pkg: "pnpm", command: line("pnpm --silent start")},
		{name: "pnpm exec", pkg: "pnpm", command: line("pnpm exec node apps/plain.js")},
		{name: "tsx", pkg: "tsx", command: line("tsx apps/typed.ts")},
		{name: "tsx watch", pkg: "tsx", command: line("tsx watch apps/typed.ts")},
		{name: "ts-node", pkg: "ts-node", command: line("ts-node -T apps/typed.ts")},
		{name: "ts-node-dev", pkg: "ts-node-dev", command: line("ts-node-dev -T apps/typed.ts")},
		{name: "swc-node", pkg: "@swc-node/register", command: line("node -r @swc-node/register apps/typed.ts")},
		{name: "babel-node", pkg: "@babel/node", command: line("babel-node apps/plain.js")},
		{name: "esbuild-register", pkg: "esbuild-register", command: line("node -r esbuild-register apps/typed.ts")},
		{name: "sucrase-node", pkg: "sucrase", command: line("sucrase-node apps/typed.ts")},
		{name: "jiti", pkg: "jiti", command: line("jiti apps/typed.ts")},
		{name: "nodemon", pkg: "nodemon", command: line("nodemon -q apps/plain.js")},
		{name: "node-dev", pkg: "node-dev", command: line("node-dev apps/plain.js")},
		{name: "supervisor", pkg: "supervisor", command: line("supervisor -q apps/plain.js")},
		{name: "cross-env", pkg: "cross-env", command: line("cross-env A=1 node apps/plain.js")},
		{name: "dotenv-cli", pkg: "dotenv-cli", command: line("dotenv -e .env -- node apps/plain.js")},
		{name: "dotenvx", pkg: "@dotenvx/dotenvx", command: line("dotenvx run -q -- node apps/plain.js")},
		{name: "env-cmd", pkg: "env-cmd", command: line("env-cmd -f .env node apps/plain.js")},
		{name: "concurrently, with a job", pkg: "concurrently", command: []string{"concurrently", "node apps/plain.js", "node apps/job.js"}},
		{name: "run-p, with a job", pkg: "npm-run-all2", command: line("run-p start job")},
		{name: "foreman (nf start)", pkg: "foreman", command: line("nf start")},
		{name: "forever", pkg: "forever", command: line("forever apps/plain.js")},
		{name: "pm2-runtime", pkg: "pm2", command: []string{"sh", "-c", "PM2_HOME=$(mktemp -d) pm2-runtime apps/plain.js"},
			note: "with a `PM2_HOME` for each run: of two in one the second gives its app to the first"},
		{name: "wait-on", pkg: "wait-on", command: []string{"sh", "-c", "wait-on file:package.json && node apps/plain.js"}},
		{name: "wireit", pkg: "wireit", command: line("npm run wired")},
		{name: "zx", pkg: "zx", command: line("zx apps/zx.mjs")},
		{name: "cross-spawn, synchronous", pkg: "cross-spawn", command: line("node apps/spawn.js")},
		{name: "a launcher that forks", command: line("node apps/fork.js")},
		{name: "an app with its own cluster", command: line("node apps/cluster.js")},
		{name: "an app that redirects to PORT", command: []string{"sh", "-c", "A=1 node apps/redirect.js; true"}, status: 302},
		{name: "c8", pkg: "c8", command: line("c8 -r none node apps/plain.js")},
		{name: "nyc", pkg: "nyc", command: line("nyc --silent node apps/plain.js")},
		{name: "prlimit", command: line("prlimit --nofile=4096 node apps/plain.js")},
		{name: "sh, with a job", command: []string{"sh", "-c", "node apps/job.js & node apps/plain.js"}},
		{name: "node -e", command: []string{"node", "-e", "require('./apps/plain.js')"}},
		{name: "bun (Bun.serve)", command: line("bun apps/bun.ts")},
		{name: "bun (node:http)", command: line("bun apps/plain.js")},
		{name: "deno (Deno.serve)", command: line("deno run -A apps/deno.ts")},
		{name: "deno (node:http)", command: line("deno run -A --unstable-detect-cjs apps/plain.js")},
	}
}

// TestTheMatrixOfApps is `make apps`: each combination is started with two workers,
// answers, loses a worker to SIGKILL, restarts without a lost request, ends, and
// leaves nothing. $BULSA_E2E_APPS is the file that the matrix is written to.
func TestTheMatrixOfApps(t *testing.T) {
	file := os.Getenv("BULSA_E2E_APPS")
	if file == "" {
		t.Skip("make apps runs it")
	}
	kinds := []struct {
		title string
		rows  []matrix
	}{{"Frameworks", frameworks()}, {"Servers", servers()}, {"Launchers and runtimes", launchers()}}
	results := make([][]string, len(kinds))
	t.Run("each", func(t *testing.T) {
		for k, kind := range kinds {
			results[k] = make([]string, len(kind.rows))
			for i, m := range kind.rows {
				t.Run(m.name, func(t *testing.T) {
					t.Parallel()
					began := time.Now()
					defer func() { results[k][i] = m.row(t, time.Since(began)) }()
					m.try(t)
				})
			}
		}
	})
	var out strings.Builder
	for k, kind := range kinds {
		fmt.Fprintf(&out, "## %s\n\n| | version | command | works |\n|---|---|---|---|\n", kind.title)
		for _, row := range results[k] {
			if row == "" {
				return // a part of them was asked for (-run)
			}
			out.WriteString(row)
		}
		out.WriteString("\n")
	}
	writeMatrix(t, file, out.String())
}

// try takes one combination through its life.
func (m matrix) try(t *testing.T) {
	w := newWorld(t)
	folder, err := filepath.Abs(filepath.Join("testdata", "matrix"))
	if err != nil {
		t.Fatal(err)
	}
	needsPackages(t, folder)
	w.dir = folder
	port := freePort(t)
	mark := "MATRIX_OF=" + port
	w.set("MATRIX_OF", port)
	w.set("PATH", m.search(t, folder))
	w.set("HOME", t.TempDir())
	w.set("DO_NOT_TRACK", "1")
	t.Cleanup(func() { killMarked(mark) })

	started := w.do(append([]string{"run", "-d", "--name", "app", "--admin", "off", "-w", fmt.Sprint(cmp.Or(m.workers, 2)), "-p", "127.0.0.1:" + port, "--"}, m.command...)...)
	defer func() {
		if t.Failed() {
			t.Logf("logs:\n%s", tail(w.do("logs", "--tail", "20").stdout))
		}
		if r := w.do("down", "-p", "app"); r.status != 0 {
			t.Errorf("down: %s", r.stderr)
		}
		if left := marked(mark); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}()
	if started.status != 0 {
		t.Fatalf("it does not start: %s%s", started.stdout, started.stderr)
	}
	m.serves(t, port)
	if err := syscall.Kill(w.ps("app")[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the killed worker is back", func() bool {
		m.ask(t, port)
		r := w.ps("app")[0]
		return r.State == "ready" && r.Restarts > 0
	})
	m.restarts(t, w, port)
	m.serves(t, port)
}

// search is PATH: it has the packages' commands, the node that runs the tests, Deno and Bun.
func (m matrix) search(t *testing.T, folder string) string {
	parts := []string{filepath.Join(folder, "node_modules", ".bin")}
	for name, variable := range map[string]string{"deno": "BULSA_TEST_DENO", "bun": "BULSA_TEST_BUN"} {
		if m.command[0] == name {
			parts = append(parts, filepath.Dir(otherRuntime(t, variable)))
		}
	}
	return strings.Join(append(parts, os.Getenv("PATH")), string(filepath.ListSeparator))
}

// ask asks once; any other answer than the right one fails the test.
func (m matrix) ask(t *testing.T, port string) string {
	client := http.Client{
		Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Get("http://127.0.0.1:" + port + cmp.Or(m.path, "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != cmp.Or(m.status, http.StatusOK) || !strings.Contains(string(body), "worker") {
		t.Fatalf("answer %d %q", res.StatusCode, body)
	}
	if to := res.Header.Get("Location"); to != "" && !strings.HasPrefix(to, "http://localhost:"+port+"/") {
		t.Fatalf("it leads to %s, the world sees port %s", to, port)
	}
	return string(body)
}

// serves waits until every worker has answered.
func (m matrix) serves(t *testing.T, port string) {
	seen := map[string]bool{}
	eventually(t, "every worker has answered", func() bool {
		seen[m.ask(t, port)] = true
		return m.alike || len(seen) >= cmp.Or(m.workers, 2)
	})
}

// restarts replaces all workers while somebody asks.
func (m matrix) restarts(t *testing.T, w *world, port string) {
	var asked, lost atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			asked.Add(1)
			res, err := client.Get("http://127.0.0.1:" + port + cmp.Or(m.path, "/"))
			if err != nil || res.StatusCode != cmp.Or(m.status, http.StatusOK) {
				lost.Add(1)
			}
			if err == nil {
				res.Body.Close()
			}
		}
	}()
	r := w.do("restart", "-p", "app")
	close(stop)
	<-ended
	if r.status != 0 {
		t.Fatalf("restart: %s%s", r.stdout, r.stderr)
	}
	if lost.Load() > 0 && !m.pauses {
		t.Errorf("%d of %d requests were lost during a restart", lost.Load(), asked.Load())
	}
}

// row is the line of the matrix.
func (m matrix) row(t *testing.T, took time.Duration) string {
	works := "yes"
	switch {
	case t.Skipped():
		works = "not tried here"
	case t.Failed():
		works = "**no**"
	case m.note != "":
		works = "yes; "
	}
	t.Logf("took %s", took.Round(time.Millisecond))
	return fmt.Sprintf("| %s | %s | `%s` | %s%s |\n", m.name, versionOf(m.pkg), strings.Join(m.command, " "), works, m.note)
}

func versionOf(pkg string) string {
	if pkg == "" {
		return ""
	}
	var manifest struct{ Version string }
	content, err := os.ReadFile(filepath.Join("testdata", "matrix", "node_modules", pkg, "package.json"))
	if err != nil || json.Unmarshal(content, &manifest) != nil {
		return "?"
	}
	return manifest.Version
}

// writeMatrix replaces the tables of the document.
func writeMatrix(t *testing.T, file, tables string) {
	const begin, end = "<!-- make apps: -->\n", "<!-- end -->\n"
	content, err := os.ReadFile(file)
	before, rest, ok := strings.Cut(string(content), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if err != nil || !ok || !ok2 {
		t.Fatalf("%s has no place for the matrix: %v", file, err)
	}
	if err := os.WriteFile(file, []byte(before+begin+"\n"+tables+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// marked are the processes with a variable in their environment, but bulsa's commands.
func marked(mark string) []string {
	var found []string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && slices.Contains(strings.Split(string(env), "\x00"), mark) {
			words, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			found = append(found, e.Name()+" "+strings.ReplaceAll(string(words), "\x00", " "))
		}
	}
	return found
}

// killMarked ends what a failed combination has left.
func killMarked(mark string) {
	for _, p := range marked(mark) {
		var pid int
		if _, err := fmt.Sscan(p, &pid); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
