package e2e

import (
	"net/http"
	"testing"
)

// TestACommandBesideAWorkerIsNoWorker: it has the environment that the application sees,
// and no channel, whose descriptor is the worker's alone.
func TestACommandBesideAWorkerIsNoWorker(t *testing.T) {
	t.Parallel()
	for _, start := range [][]string{{"app.js"}, {"npm", "start"}} {
		w := newWorld(t)
		w.write("app.js", `require('http').createServer((q, r) => r.end(process.env.PORT)).listen(process.env.PORT)`)
		w.write("job.js", `console.log(process.env.PORT, process.env.GREETING, typeof process.send, require('cluster').isWorker, process.env.NODE_OPTIONS)`)
		w.write("package.json", `{"name": "app", "scripts": {"start": "node app.js", "job": "node job.js"}}`)
		public := freePort(t)
		w.run(append([]string{"-w", "2", "-e", "GREETING=hello", "-e", "NODE_OPTIONS=--no-warnings", "-p", "127.0.0.1:" + public + ":3000"}, start...)...)
		if status, told := get(t, "http://127.0.0.1:"+public); status != http.StatusOK || told != "3000" {
			t.Errorf("%q: the application sees port %q (%d)", start, told, status)
		}
		const want = "3000 hello undefined false --no-warnings\n"
		for _, command := range [][]string{{"node", "job.js"}, {"npm", "run", "-s", "job"}, {"sh", "-c", "node job.js"}} {
			r := w.do(append([]string{"exec", "-p", "app", "-T", "app.2"}, command...)...)
			if r.status != 0 || r.stdout != want {
				t.Errorf("%q, exec %q: %+v; want %q", start, command, r, want)
			}
		}
		if r := w.do("exec", "-p", "app", "-T", "-w", "/nope", "app.2", "pwd"); r.status != 2 || r.stderr != "bulsa: cannot run a command beside app.2: --workdir: there is no folder /nope\n" {
			t.Errorf("exec in no folder: %+v", r)
		}
	}
}
