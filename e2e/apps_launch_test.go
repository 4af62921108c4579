package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// launched says which port it was told, and whether it is a member of the cluster.
const launched = `
require('http').createServer((q, r) => r.end(['worker', process.env.BULSA_WORKER, 'told', process.env.PORT].join(' '))).listen(process.env.PORT)`

// TestWhateverLeadsToNode: bulsa knows none of these launchers by name, and two
// workers of each share the published port, which is what they are told.
func TestWhateverLeadsToNode(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"prlimit":                   {"prlimit", "--nofile=4096", "node", "app.js"},
		"flock":                     {"sh", "-c", "exec flock lock.$BULSA_WORKER node app.js"},
		"setsid":                    {"setsid", "--wait", "node", "app.js"},
		"a launcher in Node":        {"node", "launch.js", "spawn"},
		"one that waits for it":     {"node", "launch.js", "spawnSync"},
		"one that speaks with it":   {"node", "launch.js", "fork"},
		"a shell with a job beside": {"sh", "-c", "node job.js & node app.js"},
		"node --watch":              {"node", "--watch", "app.js"},
		"node -e":                   {"node", "-e", "require('./app.js')"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skip(err)
			}
			w := newWorld(t)
			w.write("app.js", launched)
			w.write("job.js", "setInterval(() => {}, 1000)")
			w.write("launch.js", `
const child = require('child_process'), [, , how] = process.argv;
how === 'fork' ? child.fork('app.js') : child[how](process.execPath, ['app.js'], {stdio: 'inherit'})`)
			port := freePort(t)
			w.run(append([]string{"-w", "2", "-p", "127.0.0.1:" + port, "--"}, command...)...)
			told := port
			seen := map[string]bool{}
			eventually(t, "both workers have answered", func() bool {
				status, body := get(t, "http://127.0.0.1:"+port)
				var worker, its string
				if _, err := fmt.Sscanf(body, "worker %s told %s", &worker, &its); err != nil || status != 200 {
					t.Fatalf("%d %q", status, body)
				}
				if its != told && !strings.HasPrefix(name, "node -") { // these two bind the port of their own
					t.Fatalf("a worker is told port %s, the world sees %s", its, told)
				}
				seen[worker] = true
				return len(seen) == 2
			})
		})
	}
}

// TestDenoServeOnPORT: its own server asks nobody for a port.
func TestDenoServeOnPORT(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deno := otherRuntime(t, "BULSA_TEST_DENO")
	w.write("serve.ts", `Deno.serve({port: Number(Deno.env.get("PORT"))}, () => new Response("Hello from worker " + Deno.env.get("BULSA_WORKER")))`)
	w.set("DENO_DIR", t.TempDir())
	port := freePort(t)
	w.run("-w", "2", "-p", "127.0.0.1:"+port, "--", deno, "run", "-A", "serve.ts")
	answers(t, "http://127.0.0.1:"+port, "Hello from worker 1", "Hello from worker 2")
}

// TestAReadyWorkerThatReadsNothingIsNamed, where it listens elsewhere, too: by the
// foreground bulsa and by doctor.
func TestAReadyWorkerThatReadsNothingIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("deaf.py", `
import os, signal, socket
deaf, other = socket.socket(), socket.socket()
deaf.bind(("127.0.0.1", int(os.environ["PORT"])))
deaf.listen(5)
other.bind(("127.0.0.1", int(os.environ["OTHER"])))
other.listen(5)
signal.pause()`)
	port, other := freePort(t), freePort(t)
	w.set("OTHER", other)
	s := w.run("-w", "1", "-p", "127.0.0.1:"+port, "--", python(t), "deaf.py")
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	s.says("app.1 has answered no request yet, they wait unread; it also listens on 127.0.0.1:" + other)
	if out := w.must("doctor"); !strings.Contains(out, "no-answer: app.1") || !strings.Contains(out, "127.0.0.1:"+other) {
		t.Errorf("doctor says:\n%s", out)
	}
}
