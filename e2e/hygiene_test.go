package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is one row of the process table.
type process struct {
	pid, parent int
	state       string
	command     string
}

// below lists the processes below pid, zombies included (proc_pid_stat(5)).
func below(t *testing.T, pid int) []process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("needs /proc")
	}
	children := map[int][]process{}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has just ended
		}
		end := bytes.LastIndexByte(stat, ')')
		fields := strings.Fields(string(stat[end+1:]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], process{n, parent, fields[0], string(stat[:end+1])})
	}
	var all []process
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		for _, c := range children[queue[0]] {
			all = append(all, c)
			queue = append(queue, c.pid)
		}
	}
	return all
}

// allGone waits until none of the processes lives, and ends those that do.
func allGone(t *testing.T, when string, pids []int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return !lives(pid) })
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: processes %v are left", when, left)
			for _, pid := range left {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stubborn is a worker that ignores SIGTERM. It writes down its number and those of
// a child in its group, one in a session of its own, and one whose parents have ended.
const stubborn = `trap '' TERM
echo $$ >> pids
sleep 1001 & echo $! >> pids
setsid sleep 1002 & echo $! >> pids
(setsid sh -c 'sleep 1003 & echo $! >> pids' &)
while :; do sleep 0.1; done
`

// TestNothingOutlivesItsWorker: not what ignores SIGTERM, nor what left the
// group, nor what lost its parents; however the worker ends.
func TestNothingOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(w *world, s *server, leader int)
		took time.Duration // at least
	}{
		{"asked to stop", func(w *world, _ *server, _ int) { w.must("stop") }, 500 * time.Millisecond},
		{"Ctrl-C", func(_ *world, s *server, _ int) { s.stop() }, 500 * time.Millisecond},
		{"killed from outside", func(_ *world, _ *server, leader int) { syscall.Kill(leader, syscall.SIGKILL) }, 0},
		{"bulsa kill", func(w *world, _ *server, _ int) { w.must("kill", "app.1") }, 0},
		{"bulsa itself is killed", func(_ *world, s *server, _ int) { s.cmd.Process.Kill(); <-s.exited }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.write("worker.sh", stubborn)
			s := w.start("run", "--name", "app", "--admin", "off", "--stop-timeout", "500ms", "--", "sh", "worker.sh")
			eventually(t, "the worker and its children run", func() bool { return len(w.pids("pids")) >= 4 })
			family := w.pids("pids")[:4]
			began := time.Now()
			c.end(w, s, family[0])
			if took := time.Since(began); took < c.took {
				t.Errorf("took %s: the grace of %s was not given", took, c.took)
			}
			allGone(t, c.name, family)
		})
	}
}

// TestTheNextBulsaCleansUp what one left whose guard was killed with it.
func TestTheNextBulsaCleansUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("worker.sh", stubborn)
	s := w.start("run", "--name", "app", "--admin", "off", "--", "sh", "worker.sh")
	eventually(t, "the worker and its children run", func() bool { return len(w.pids("pids")) >= 4 })
	eventually(t, "bulsa has written down what runs", func() bool {
		files, _ := filepath.Glob(filepath.Join(w.runtime(), "app", "processes.json"))
		return len(files) == 1 && strings.Contains(read(t, filepath.Dir(files[0]), "processes.json"), fmt.Sprint(w.pids("pids")[0]))
	})
	for _, p := range below(t, s.cmd.Process.Pid) {
		if p.parent == s.cmd.Process.Pid && strings.Contains(commandLine(p.pid), "__guard") {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	s.cmd.Process.Kill()
	<-s.exited
	w.ready("run", "--name", "app", "--admin", "off", "--", "sleep", "1000")
	allGone(t, "the next bulsa is there", w.pids("pids")[:4])
}

func commandLine(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.ReplaceAll(string(b), "\x00", " ")
}

// TestNoZombieStays below bulsa, however many orphans its workers leave.
func TestNoZombieStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	w.write("worker.sh", "i=0; while [ $i -lt 50 ]; do (setsid sh -c 'sleep 0.05 & exit 0' &); i=$((i+1)); done; touch done; exec sleep 1000\n")
	s := w.start("run", "--name", "app", "--admin", "off", "--health-cmd", "sleep 0.01 & exit 0", "--health-interval", "50ms", "--", "sh", "worker.sh")
	eventually(t, "the worker has left its orphans", func() bool {
		_, err := os.Stat(filepath.Join(w.dir, "done"))
		return err == nil
	})
	w.checked("app.1", 5)
	eventually(t, "only the worker is left below bulsa, and no zombie", func() bool {
		n := 0
		for _, p := range below(t, s.cmd.Process.Pid) {
			if p.state == "Z" || strings.Contains(p.command, "(sh)") && p.parent == s.cmd.Process.Pid {
				n++
			}
		}
		return n == 0
	})
}

// TestWhatAWorkerInherits: an empty standard input, its output, the channel of
// Node's cluster where it may be of use, and nothing else.
func TestWhatAWorkerInherits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("app.js", "setInterval(() => {}, 1000)\n")
	w.write("stdin.sh", "cat > stdin; echo ended >> stdin; exec sleep 1000\n")
	w.up(`
services:
  plain: {command: sleep 1000}
  shell: {command: sh stdin.sh}
  node: {command: node app.js}
`)
	eventually(t, "standard input is at its end", func() bool {
		b, _ := os.ReadFile(filepath.Join(w.dir, "stdin"))
		return string(b) == "ended\n"
	})
	for name, sockets := range map[string]int{"plain.1": 0, "shell.1": 1, "node.1": 1} {
		open := descriptors(t, w.becomes(name, "ready").PID)
		t.Log(name, open)
		if open[0] != "/dev/null" || !strings.HasPrefix(open[1], "pipe:") || !strings.HasPrefix(open[2], "pipe:") || open[1] == open[2] {
			t.Errorf("%s: standard input, output and error are %q, %q, %q", name, open[0], open[1], open[2])
		}
		found := 0
		for n, where := range open {
			switch {
			case strings.HasPrefix(where, "socket:"):
				found++
			case name != "node.1" && n > 2: // Node opens pipes and counters of its own
				t.Errorf("%s: descriptor %d is %s", name, n, where)
			}
		}
		if found > sockets {
			t.Errorf("%s has %d sockets, want at most %d", name, found, sockets)
		}
	}
}

// descriptors reads what a process has open.
func descriptors(t *testing.T, pid int) map[int]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	open := map[int]string{}
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		if where, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			open[n] = where
		}
	}
	return open
}

// TestEveryKindOfOutputIsKept: without a last newline, very long, not text.
func TestEveryKindOfOutputIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("worker.sh", `printf 'part'; sleep 0.2; echo 'ial'
echo to-stderr >&2
head -c 1048576 /dev/zero | tr '\0' x; echo
printf 'bro\377ken\000byte\n'
printf 'no newline'
exit 0
`)
	w.start("run", "--name", "app", "--admin", "off", "--restart", "always", "--", "sh", "-c", "if [ -e ran ]; then exec sleep 1000; fi; touch ran; . ./worker.sh")
	var out string
	eventually(t, "the last line is in the logs", func() bool {
		out = w.do("logs").stdout
		return strings.Contains(out, "no newline")
	})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	length := 0
	for _, l := range lines {
		length += strings.Count(l, "x")
	}
	for _, want := range []string{"partial", "to-stderr", "bro\uFFFDken", "no newline"} {
		if !strings.Contains(out, want) {
			t.Errorf("the logs lack %q", want)
		}
	}
	if length != 1<<20 {
		t.Errorf("of the line of 1 MB %d bytes are kept", length)
	}
	if !slices.Contains(lines, "app.1 | partial") {
		t.Error("the line that came in two parts is not one line")
	}
}

// TestAFloodHoldsUpNobody: 100 MB as fast as a worker can. It is not blocked,
// ps answers, and the files stay within their caps.
func TestAFloodHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	w.write("flood.sh", "yes $(head -c 1000 /dev/zero | tr '\\0' x) | head -c 100000000; touch flooded; exec sleep 1000\n")
	w.up(`
name: flood
services:
  app:
    command: sh flood.sh
    logging: {driver: json-file, options: {max-size: 1m, max-file: "3"}}
`)
	w.there()
	slowest, began := time.Duration(0), time.Now()
	eventually(t, "the worker has written everything", func() bool {
		slowest = max(slowest, w.answerTimes("flood", 5))
		_, err := os.Stat(filepath.Join(w.dir, "flooded"))
		return err == nil
	})
	t.Logf("100 MB in %s; the slowest answer of ps took %s", time.Since(began).Round(time.Millisecond), slowest.Round(time.Millisecond))
	if slowest > 2*time.Second {
		t.Errorf("an answer took %s", slowest)
	}
	files, err := filepath.Glob(filepath.Join(w.runtime(), "*", "logs", "app.1.log*"))
	if err != nil || len(files) == 0 || len(files) > 3 {
		t.Errorf("log files %q, want 1 to 3", files)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1<<20 {
			t.Errorf("%s: %v bytes, want at most 1 MiB", f, info.Size())
		}
	}
}

// runtime is the runtime folder of this world.
func (w *world) runtime() string {
	for _, e := range w.env {
		if dir, ok := strings.CutPrefix(e, "BULSA_RUNTIME_DIR="); ok {
			return dir
		}
	}
	return ""
}

// TestLogsFollowOverARespawn: what the successor says comes, too.
func TestLogsFollowOverARespawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	w.ready("run", "--name", "app", "--admin", "off", "--", "sh", "-c", "echo run of $$; exec sleep 1000")
	follower := w.start("logs", "-f", "app")
	first := w.worker("app.1").PID
	follower.prints(fmt.Sprintf("run of %d", first))
	syscall.Kill(first, syscall.SIGKILL)
	eventually(t, "the successor is followed", func() bool { return strings.Count(follower.stdout.String(), "run of ") == 2 })
	if second := w.becomes("app.1", "ready").PID; !strings.Contains(follower.stdout.String(), fmt.Sprintf("run of %d", second)) {
		t.Errorf("logs -f printed %q, want the run of %d", follower.stdout.String(), second)
	}
}

// TestAFullDiskLosesLinesNotTheService, and it says so.
func TestAFullDiskLosesLinesNotTheService(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	w := newWorld(t)
	if err := syscall.Mount("tmpfs", w.runtime(), "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Skip("cannot mount a small disk:", err)
	}
	t.Cleanup(func() { syscall.Unmount(w.runtime(), syscall.MNT_DETACH) })
	w.write("app.js", "const http = require('http')\n"+
		"http.createServer((q, s) => { for (let i = 0; i < 200; i++) console.log('x'.repeat(1000)); s.end('ok') }).listen(3000)\n")
	port := freePort(t)
	s := w.ready("run", "--name", "app", "-w", "1", "-p", "127.0.0.1:"+port, "--admin", "off", "app.js")
	for range 20 {
		if status, body := get(t, "http://127.0.0.1:"+port+"/"); status != 200 || body != "ok" {
			t.Fatalf("%d %q with a full disk", status, body)
		}
	}
	s.says("no space left on device")
	if r := w.worker("app.1"); r.State != "ready" || r.Restarts != 0 {
		t.Errorf("the worker is %+v", r)
	}
}
