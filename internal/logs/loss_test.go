//go:build unix

package logs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFullDiskLosesLinesAndSaysSoTwice(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	r := open(t)
	name := filepath.Join(r.dir, "app.1.log")
	if err := os.Symlink("/dev/full", name); err != nil {
		t.Fatal(err)
	}
	follow := r.Follow(t.Context())
	for i := range 10 {
		r.prints(worker, Stderr, fmt.Sprintf("lost %d\n", i))
		if l := <-follow; l.Text != fmt.Sprintf("lost %d", i) {
			t.Fatalf("a follower got %+v", l)
		}
		r.Tail(1) // the disk was asked
	}
	eventually(t, "the loss is told", func() bool { return len(r.told()) == 1 })
	if !strings.Contains(r.told()[0], "app.1") || !strings.Contains(r.told()[0], "no space left") {
		t.Fatalf("told %q", r.told())
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	r.prints(worker, Stdout, "there is room again\n")
	equal(t, "the file", r.texts(t, -1), []string{"10 lines lost: write " + name + ": no space left on device", "there is room again"})
	eventually(t, "the end is told", func() bool { return len(r.told()) == 2 })
	if !strings.Contains(r.told()[1], "10 lost lines") {
		t.Fatalf("told %q", r.told())
	}
}

// A named pipe is the slowest disk there is: it takes nothing until somebody reads.
func TestFloodOnASlowDiskNeverBlocksTheWorker(t *testing.T) {
	r := open(t)
	name := filepath.Join(r.dir, "app.1.log")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 99) + "\n"
	const total = 100_000
	r.prints(worker, Stdout, strings.Repeat(line, total)) // returns: 10 MB were read, though none can be kept
	k := r.known(worker)
	k.mu.Lock()
	held, dropped := len(k.pending), k.dropped
	k.mu.Unlock()
	if held > maxPending || dropped == 0 {
		t.Fatalf("%d bytes wait, %d lines dropped", held, dropped)
	}
	eventually(t, "the loss is told while the disk hangs", func() bool { return len(r.told()) == 1 })

	disk, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	kept, lost := 0, 0
	var got bytes.Buffer
	for chunk := make([]byte, 1<<16); kept+lost < total; { // losses may be told in parts
		n, err := disk.Read(chunk)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(chunk[:n])
		for bytes.Contains(got.Bytes(), newline) {
			text, _ := got.ReadString('\n')
			if _, remark, ok := strings.Cut(text, " b "); ok {
				more := 0
				fmt.Sscanf(remark, "%d lines lost", &more)
				lost += more
			} else {
				kept++
			}
		}
	}
	if kept+lost != total || lost == 0 {
		t.Fatalf("kept %d and lost %d of %d", kept, lost, total)
	}
	eventually(t, "the end is told", func() bool { return len(r.told()) == 2 })
}

func TestFloodCostsLittle(t *testing.T) {
	r := open(t)
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	wait := r.Capture(worker, Stdout, Limits{}, pr)
	before, start := cpu(t), time.Now()
	block := bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 640)
	for range 20 << 20 / len(block) {
		if _, err := pw.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	pw.Close()
	wait()
	r.Close()
	if cost := cpu(t) - before; cost > 4*time.Second { // usually 0.15 s, with the race detector 0.6 s
		t.Fatalf("20 MB cost %v of CPU in %v", cost, time.Since(start))
	}
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestReaderThatDiesIsTheEndOfTheStream(t *testing.T) {
	r := open(t)
	pr, pw := io.Pipe()
	wait := r.Capture(worker, Stdout, Limits{}, pr)
	io.WriteString(pw, "half")
	pw.CloseWithError(io.ErrUnexpectedEOF)
	wait()
	equal(t, "lines", r.texts(t, -1), []string{"half"})
}

func TestDiskThatHangsDoesNotHoldTheEndUp(t *testing.T) {
	r := open(t)
	for _, name := range []string{"app.1.log", "app.2.log"} {
		if err := syscall.Mkfifo(filepath.Join(r.dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.prints("app.1", Stdout, strings.Repeat("x\n", 1<<13))
	r.prints("app.2", Stdout, strings.Repeat("x\n", 1<<13))
	start := time.Now()
	err := r.Close()
	if err == nil || strings.Count(err.Error(), "the disk does not answer") != 2 || time.Since(start) > 10*closePatience {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
}
