package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
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
