package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keepLog writes what an earlier bulsa kept of a worker's output.
func (w *world) keepLog(project, worker string, size int) (lines int) {
	w.t.Helper()
	dir := filepath.Join(w.runtime(), project, "logs")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	var b []byte
	for len(b) < size {
		at = at.Add(time.Millisecond)
		b = fmt.Appendf(b, "%s o line %d %s\n", at.Format("2006-01-02T15:04:05.000000000Z"), lines, strings.Repeat("x", 80))
		lines++
	}
	if err := os.WriteFile(filepath.Join(dir, worker+".log"), b, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return lines
}

// TestReadersOfLogsThatTakeNothingCostLittleMemory: any user of the machine can be one.
func TestReadersOfLogsThatTakeNothingCostLittleMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const size, readers = 20 << 20, 8
	total := w.keepLog("app", "app.1", size)
	port := freePort(t)
	s := w.ready("run", "--name", "app", "-w", "1", "--admin", port, "--", "sleep", "1000")
	before := s.footprint()
	for range readers {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /api/v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if line, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	follower := w.start("logs", "-f")
	follower.prints("line 0 ")
	follower.cmd.Process.Signal(syscall.SIGSTOP)
	defer follower.cmd.Process.Signal(syscall.SIGCONT)
	if got := strings.Count(w.must("logs"), "\n"); got != total {
		t.Errorf("a reader beside them gets %d lines of %d", got, total)
	}
	after := s.footprint()
	if grown := (after.kilobytes - before.kilobytes) << 10; grown > 2*size {
		t.Errorf("%d readers of %d MiB made bulsa grow by %d MiB", readers+1, size>>20, grown>>20)
	}
	t.Logf("%d kB, then %d kB", before.kilobytes, after.kilobytes)
}

// TestWhatAProjectLeavesIsReadAfterItsEnd, by its name and in its folder, also when it was killed.
func TestWhatAProjectLeavesIsReadAfterItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.ready("run", "--name", "app", "--admin", "off", "-w", "2", "--", "sh", "-c", "echo worker $BULSA_WORKER; exec sleep 1000")
	w.must("scale", "app=1")
	w.must("down")
	<-s.exited
	for _, args := range [][]string{{"logs"}, {"logs", "-p", "app"}, {"logs", "--tail", "1", "app.2"}, {"events"}} {
		r := w.do(args...)
		want := "app.1 | worker 1\napp.2 | worker 2\n"
		if len(args) > 3 {
			want = "app.2 | worker 2\n"
		}
		lines := slices.Sorted(strings.Lines(r.stdout)) // they stand in order of time
		if args[0] == "logs" && strings.Join(lines, "") != want {
			t.Errorf("%v prints %q, want %q", args, r.stdout, want)
		}
		if r.status != 0 || r.stderr != "bulsa: project app does not run; this was kept of it\n" {
			t.Errorf("%v: exit status %d, %q", args, r.status, r.stderr)
		}
	}
	failsWith(t, w.do("logs", "other"), 1, `no worker or service "other"`, "app.1, app.2")
	failsWith(t, w.do("logs", "-f"), 1, "no running project")

	s = w.run("-w", "1", "--", "sleep", "1000")
	s.cmd.Process.Kill()
	<-s.exited
	s = w.run("-w", "1", "--", "sleep", "1000")
	told := func() (out []string) {
		for line := range strings.Lines(w.do("events").stdout) {
			_, what, _ := strings.Cut(line, "  ")
			if strings.HasPrefix(what, "begin: bulsa ") {
				what = "begin"
			}
			if what = strings.TrimSpace(what); what == "begin" || strings.HasPrefix(what, "end") || strings.Contains(what, "scaled from") {
				out = append(out, what)
			}
		}
		return out
	}
	want := "begin; app  scale: scaled from 2 to 1 (asked); end: bulsa ends (asked by bulsa down); begin; begin"
	if got := strings.Join(told(), "; "); got != want {
		t.Errorf("the running one tells %s, want %s", got, want)
	}
	s.stop()
	if got := strings.Join(told(), "; "); got != want+"; end: bulsa ends (signal: interrupt)" {
		t.Errorf("after its end: %s", got)
	}
}

func TestPsListsEveryProjectWhereNoneIsMeant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ready("run", "--name", "shop", "--admin", "off", "-w", "1", "--", "sleep", "1000")
	w.dir = t.TempDir()
	w.ready("run", "--name", "blog", "--admin", "off", "-w", "2", "--", "sleep", "1000")
	names := func(out string) string {
		var rows []string
		for line := range strings.Lines(out) {
			fields := strings.Fields(line)
			rows = append(rows, strings.Join(fields[:min(2, len(fields))], " "))
		}
		return strings.Join(rows, "; ")
	}
	const all = "PROJECT NAME; blog blog.1; blog blog.2; shop shop.1"
	if got := names(w.must("ps", "-A")); got != all {
		t.Errorf("ps -A lists %s", got)
	}
	if got := names(w.must("ps")); strings.Contains(got, "shop") {
		t.Errorf("ps in a project's folder lists %s", got)
	}
	w.dir = t.TempDir()
	if got := names(w.must("ls")); got != all {
		t.Errorf("ls in another folder lists %s", got)
	}
	if out := w.must("ps", "-A", "--format", "json"); strings.Count(out, `"project": "blog"`) != 2 || !strings.Contains(out, `"project": "shop"`) {
		t.Errorf("as JSON: %s", out)
	}
	failsWith(t, w.do("restart"), 2, "several projects run")
}

func TestTheAccessLogOfABackgroundProjectIsAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.write("greet.js", greeter)
	w.write("compose.yaml", fmt.Sprintf("name: shop\nservices:\n  app: {command: node greet.js, ports: [\"127.0.0.1:%s:3000\"], x-bulsa: {access_log: {}}}\n", port))
	out := w.must("up", "-d", "--admin", "off")
	defer w.do("down")
	file := filepath.Join(w.runtime(), "shop", "logs", "access_log")
	if want := "app: access log in " + file + "\n"; !strings.Contains(out, want) {
		t.Fatalf("up -d prints %q without %q", out, want)
	}
	get(t, "http://127.0.0.1:"+port+"/logged")
	eventually(t, "the answer stands in it", func() bool {
		b, _ := os.ReadFile(file)
		return strings.Contains(string(b), "/logged")
	})
	if out := w.must("logs"); strings.Contains(out, "/logged") {
		t.Errorf("it counts as a worker's output: %s", out)
	}
}
