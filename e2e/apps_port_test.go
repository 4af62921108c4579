package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// build compiles the Go program in a folder once, and returns its path.
func build(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(programs, filepath.Base(folder))
	once, _ := built.LoadOrStore(folder, sync.OnceValue(func() error {
		cmd := exec.Command("go", "build", "-o", path, ".")
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build %s: %w\n%s", folder, err, out)
		}
		return nil
	}))
	if err := once.(func() error)(); err != nil {
		t.Fatal(err)
	}
	return path
}

// built has a func() error for each folder that was built.
var built sync.Map

func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: run scripts/test-deps.sh")
	}
	return path
}

// TestAnyProgramThroughPORT: two workers, each on a port of its own.
func TestAnyProgramThroughPORT(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]func(t *testing.T) []string{
		"Python": func(t *testing.T) []string {
			return []string{python(t), filepath.Join(example(t, "python-port"), "app.py")}
		},
		"Python's own server by a shell": func(t *testing.T) []string {
			return []string{"sh", "-c", `mkdir $BULSA_WORKER; cd $BULSA_WORKER; echo Hello from worker $BULSA_WORKER >index.html; exec ` + python(t) + ` -m http.server --bind 127.0.0.1 $PORT`}
		},
		"Go": func(t *testing.T) []string {
			return []string{build(t, filepath.Join("testdata", "portserver"))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := command(t)
			w := newWorld(t)
			w.binary = raced
			port := freePort(t)
			w.run(append([]string{"-w", "2", "-p", "127.0.0.1:" + port}, args...)...)
			answers(t, "http://127.0.0.1:"+port, "Hello from worker 1", "Hello from worker 2")
			seen := map[string]bool{port: true}
			for _, r := range w.ps("") {
				_, own, _ := strings.Cut(r.Address, ":")
				if own == "" || seen[own] {
					t.Errorf("%s is reached at %q, want a port of its own", r.Name, r.Address)
				}
				seen[own] = true
			}
		})
	}
}

// TestAProgramTakesItsSocket by systemd's LISTEN_FDS: it binds nothing itself.
func TestAProgramTakesItsSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	port := freePort(t)
	s := w.run("-w", "2", "-p", "127.0.0.1:"+port, build(t, example(t, "go-listenfds")))
	answers(t, "http://127.0.0.1:"+port, "Hello from worker 1", "Hello from worker 2")
	for _, r := range w.ps("") {
		s.prints("listening on " + r.Address) // what the program calls its socket
	}
}

// TestAFixedPortWorksWithOneWorker, with a word about what that costs.
func TestAFixedPortWorksWithOneWorker(t *testing.T) {
	t.Parallel()
	server := build(t, filepath.Join("testdata", "portserver"))
	for name, publish := range map[string]func(public, fixed string) string{
		"with its port as the target": func(public, fixed string) string { return public + ":" + fixed },
		"found by its process":        func(public, _ string) string { return public },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			public, fixed := freePort(t), freePort(t)
			s := w.run("-w", "1", "-p", "127.0.0.1:"+publish(public, fixed), server, fixed)
			s.says("listens on port " + fixed + " by itself, so it cannot have a second worker")
			answers(t, "http://127.0.0.1:"+public, "Hello from worker 1")
			old := w.ps("")[0]
			w.must("restart")
			answers(t, "http://127.0.0.1:"+public, "Hello from worker 1")
			if now := w.ps("")[0]; now.PID == old.PID || now.State != "ready" {
				t.Errorf("after a restart: %+v, before: %+v", now, old)
			}
		})
	}
}

// TestAFixedPortCannotHaveTwoWorkers: bulsa says so and what to do, and ends.
func TestAFixedPortCannotHaveTwoWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("exclusive.js", `require('http').createServer((req, res) => res.end()).listen({port: Number(process.env.LISTEN), exclusive: true})`)
	fixed, public := freePort(t), freePort(t)
	w.set("LISTEN", fixed)
	server := build(t, filepath.Join("testdata", "portserver"))
	for name, c := range map[string]struct {
		args []string
		fix  string
	}{
		"any program":                   {[]string{server, fixed}, "make it listen on $PORT"},
		"a Node app that asks nobody":   {[]string{"exclusive.js"}, "without exclusive"},
		"a Node app that forks its own": {[]string{"--node", "off", "forks.js"}, "make it listen on $PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			w.write("forks.js", `const c = require('cluster'); if (c.isPrimary) c.fork().on('exit', () => process.exit(1)); else require('./exclusive.js')`)
			args := append([]string{"--name", "app", "--admin", "off", "-w", "2", "-p", "127.0.0.1:" + public}, c.args...)
			for _, way := range [][]string{{"run"}, {"run", "-d"}} {
				r := w.do(append(way, args...)...)
				last := r.stderr[strings.LastIndexByte(strings.TrimSpace(r.stderr), '\n')+1:]
				for _, want := range []string{"port " + fixed, "only one worker can run", "-w 1", "deploy.replicas: 1", c.fix} {
					if !strings.Contains(last, want) {
						t.Errorf("bulsa %s: %q lacks %q", strings.Join(way, " "), last, want)
					}
				}
				if r.status != 1 {
					t.Errorf("bulsa %s: exit status %d", strings.Join(way, " "), r.status)
				}
				w.do("down", "-p", "app")
			}
		})
	}
}

// TestASecondWorkerOfAFixedPortLeavesTheFirstAlone: scaling up fails, serving goes on.
func TestASecondWorkerOfAFixedPortLeavesTheFirstAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public, fixed := freePort(t), freePort(t)
	w.run("-w", "1", "-p", "127.0.0.1:"+public+":"+fixed, build(t, filepath.Join("testdata", "portserver")), fixed)
	first := w.ps("")[0]
	w.do("scale", "app=2")
	eventually(t, "the second worker is given up", func() bool {
		rows := w.ps("")
		return len(rows) == 2 && rows[1].State == "failed" && strings.Contains(rows[1].Cause, "only one worker can run")
	})
	if now := w.ps("")[0]; now.PID != first.PID || now.State != "ready" {
		t.Errorf("the first worker was %+v and is %+v", first, now)
	}
	answers(t, fmt.Sprintf("http://127.0.0.1:%s", public), "Hello from worker 1")
}
