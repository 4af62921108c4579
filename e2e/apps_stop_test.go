package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// family are the processes of one worker of family.js: itself, a child, and a
// child that has left for a session of its own.
func family(t *testing.T, url string) []int {
	t.Helper()
	var pids []int
	if _, body := get(t, url); json.Unmarshal([]byte(body), &pids) != nil || len(pids) != 3 {
		t.Fatalf("not an answer of family.js: %s", body)
	}
	return pids
}

// families collects the processes of n workers.
func families(t *testing.T, url string, n int) map[int][]int {
	t.Helper()
	all := map[int][]int{}
	eventually(t, fmt.Sprintf("%d workers have answered", n), func() bool {
		pids := family(t, url)
		all[pids[0]] = pids
		return len(all) == n
	})
	return all
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// gone fails when anything of the families, or of their process groups, lives.
func gone(t *testing.T, all map[int][]int) {
	t.Helper()
	for leader, pids := range all {
		for i, pid := range pids {
			if alive(pid) {
				t.Errorf("process %d of worker %d lives on (%s)", pid, leader, []string{"itself", "its child", "a child with a session of its own"}[i])
			}
		}
		if alive(-leader) {
			t.Errorf("the process group of worker %d lives on", leader)
		}
	}
}

// TestASignalStopsGracefully: the request in flight is answered, nobody new is
// let in, nothing is left, and it counts as success.
func TestASignalStopsGracefully(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			w := newWorld(t)
			w.binary = raced
			port := freePort(t)
			w.set("LISTEN", port)
			s := w.run("-w", "2", app(t, "family.js"))
			all := families(t, "http://127.0.0.1:"+port, 2)
			for leader := range all {
				if group, _ := syscall.Getpgid(leader); group != leader {
					t.Errorf("worker %d is in process group %d: a terminal's Ctrl-C would hit it", leader, group)
				}
			}
			slow := make(chan error, 1)
			sent := make(chan struct{})
			go func() { slow <- slowRequest("127.0.0.1:"+port, sent) }()
			<-sent
			s.cmd.Process.Signal(signal)
			s.says("stopping")
			eventually(t, "new clients are refused", func() bool {
				conn, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err == nil {
					conn.Close()
				}
				return err != nil
			})
			if signal == syscall.SIGHUP {
				s.cmd.Process.Signal(signal) // the shell's, after the kernel's: no wish to hurry
			}
			if err := <-slow; err != nil {
				t.Errorf("the request in flight was lost: %v", err)
			}
			<-s.exited
			if status := s.cmd.ProcessState.ExitCode(); status != 0 {
				t.Errorf("exit status %d", status)
			}
			gone(t, all)
		})
	}
}

// slowRequest asks for what takes a second, and closes sent when the request
// has had time to be with a worker.
func slowRequest(address string, sent chan<- struct{}) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		close(sent)
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /slow HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")
	time.AfterFunc(100*time.Millisecond, func() { close(sent) })
	conn.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 12)
	if _, err := conn.Read(b); err != nil {
		return err
	}
	if string(b) != "HTTP/1.1 200" {
		return fmt.Errorf("answer begins with %q", b)
	}
	return nil
}

// TestASecondSignalStopsAtOnce whatever is still going on.
func TestASecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.set("LISTEN", port)
	w.write("stubborn.js", `process.on('SIGTERM', () => {}); process.on('disconnect', () => {});
require('http').createServer((req, res) => { if (req.url !== '/never') res.end(JSON.stringify([process.pid, process.pid, process.pid])); }).listen(Number(process.env.LISTEN));`)
	s := w.run("-w", "2", "--stop-timeout", "60s", "stubborn.js")
	all := families(t, "http://127.0.0.1:"+port, 2)
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /never HTTP/1.1\r\nHost: app\r\n\r\n")
	s.cmd.Process.Signal(syscall.SIGINT)
	eventually(t, "new clients are refused", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	began := time.Now()
	s.cmd.Process.Signal(syscall.SIGINT)
	<-s.exited
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to stop at once", took)
	}
	gone(t, all)
}

// TestInTheBackground: the command returns when everything is ready, and `down`
// is the end of it.
func TestInTheBackground(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.set("LISTEN", port)
	out := w.must("run", "-d", "--name", "app", "--admin", "off", "-w", "2", app(t, "family.js"))
	t.Cleanup(func() { w.do("down", "-p", "app") })
	if !strings.Contains(out, "app: 2 of 2 workers ready") || !strings.Contains(out, ":"+port) {
		t.Errorf("it says %q", out)
	}
	all := families(t, "http://127.0.0.1:"+port, 2)
	if again := w.do("run", "-d", "--name", "app", "--admin", "off", app(t, "family.js")); again.status != 1 || !strings.Contains(again.stderr, `project "app" already runs`) {
		t.Errorf("a second one of that name: status %d, %s", again.status, again.stderr)
	}
	slow := make(chan error, 1)
	sent := make(chan struct{})
	go func() { slow <- slowRequest("127.0.0.1:"+port, sent) }()
	<-sent
	w.must("down")
	if err := <-slow; err != nil {
		t.Errorf("the request in flight was lost: %v", err)
	}
	gone(t, all)
	if r := w.do("ps", "-p", "app"); r.status != 1 || !strings.Contains(r.stderr, "app") {
		t.Errorf("ps afterwards: status %d, %s%s", r.status, r.stdout, r.stderr)
	}
}

// TestABackgroundStartThatFails says why, with the application's own words.
func TestABackgroundStartThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.do("run", "-d", "--name", "app", "--admin", "off", "-w", "2", app(t, "crash.js"))
	t.Cleanup(func() { w.do("down", "-p", "app") })
	if r.status != 1 || !strings.Contains(r.stderr, "cannot reach the database") || strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 {
		t.Errorf("status %d, %q", r.status, r.stderr)
	}
	w.must("down", "-p", "app")
	if r := w.do("ps", "-p", "app"); r.status != 1 {
		t.Errorf("it still runs: %s", r.stdout)
	}
}

// TestABackgroundStartThatCannotBegin leaves nothing behind.
func TestABackgroundStartThatCannotBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a port in use":      {[]string{"-p", "127.0.0.1:" + port, app(t, "whoami.js")}, port},
		"no such script":     {[]string{"nowhere.js"}, "nowhere.js"},
		"no such command":    {[]string{"no-such-command"}, "no-such-command"},
		"not a package":      {[]string{"."}, "package.json"},
		"not a port":         {[]string{"-p", "http", app(t, "whoami.js")}, "http"},
		"not a node mode":    {[]string{"--node", "fast", app(t, "whoami.js")}, "fast"},
		"no such user":       {[]string{"-u", "no-such-user", app(t, "whoami.js")}, "no-such-user"},
		"no number at -w":    {[]string{"-w", "many", app(t, "whoami.js")}, "many"},
		"an unknown balance": {[]string{"--balance", "random", app(t, "whoami.js")}, "random"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, way := range [][]string{{"run", "-d"}, {"run"}} {
				r := w.do(append(append(way, "--name", "app", "--admin", "off"), c.args...)...)
				if r.status != 2 || !strings.Contains(r.stderr, c.says) || strings.Count(strings.TrimSpace(r.stderr), "\n") > 0 {
					t.Errorf("bulsa %s: status %d, %q", strings.Join(way, " "), r.status, r.stderr)
				}
				if r := w.do("ps", "-p", "app"); r.status != 1 {
					t.Fatalf("something runs: %s", r.stdout)
				}
			}
		})
	}
}
