package logs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// keep writes files of size bytes each for a worker, the oldest first, as an earlier store left them.
func (r *room) keep(t *testing.T, worker string, files, size int) (lines int) {
	t.Helper()
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for i := files - 1; i >= 0; i-- {
		var b []byte
		for len(b) < size {
			at = at.Add(time.Millisecond)
			b = appendLine(b, at, 'o', fmt.Appendf(nil, "line %d %s", lines, strings.Repeat("x", 80)))
			lines++
		}
		name := newRotation(filepath.Join(r.dir, worker+suffix)).name(i)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

// inUse is the memory that is reachable.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestReadersThatTakeNothingHoldLittleOfAFullLog(t *testing.T) {
	r := open(t)
	const files, size, readers = 5, 2 << 20, 8
	total := r.keep(t, worker, files, size)
	before := inUse()
	var streams []<-chan Line
	for i := range readers {
		lines, err := r.Stream(t.Context(), -1, i%2 == 0)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, lines)
	}
	for _, lines := range streams {
		eventually(t, "the reader has as much as fits", func() bool { return len(lines) == cap(lines) })
	}
	if held := inUse() - before; held > readers<<20 {
		t.Errorf("%d readers of %d bytes hold %d bytes, each may hold 1 MiB", readers, files*size, held)
	}
	for i := range total {
		if l := <-streams[0]; !strings.HasPrefix(l.Text, fmt.Sprintf("line %d ", i)) {
			t.Fatalf("line %d is %.40q", i, l.Text)
		}
	}
}

func TestASlowReaderFindsItsFilesAfterTheyWereRenamed(t *testing.T) {
	r := open(t)
	total := r.keep(t, worker, 3, 500_000)
	lines, err := r.Stream(t.Context(), -1, false)
	if err != nil {
		t.Fatal(err)
	}
	first := <-lines
	r.Capture(worker, Stdout, Limits{MaxSize: 1000, MaxFiles: 4}, io.NopCloser(strings.NewReader("a line for a new file\n")))()
	r.Tail(1) // it is written
	for i := 1; i < total; i++ {
		if l := <-lines; !strings.HasPrefix(l.Text, fmt.Sprintf("line %d ", i)) {
			t.Fatalf("after %.20q line %d is %.40q", first.Text, i, l.Text)
		}
	}
	if l, more := <-lines; more {
		t.Errorf("behind what there was when it was asked: %q", l.Text)
	}
}

func TestASlowReaderIsToldWhatRotationTook(t *testing.T) {
	r := open(t)
	r.keep(t, worker, 2, 500_000)
	lines, err := r.Stream(t.Context(), -1, false)
	if err != nil {
		t.Fatal(err)
	}
	<-lines
	for i := range 2 {
		r.Capture(worker, Stdout, Limits{MaxSize: 1000, MaxFiles: 2}, io.NopCloser(strings.NewReader(fmt.Sprintf("%d %s\n", i, strings.Repeat("x", 1000)))))()
	}
	r.Tail(1)
	told := 0
	for l := range lines {
		if l.Stream == Bulsa {
			told++
			if l.Text != errRotated.Error() {
				t.Errorf("it is told %q", l.Text)
			}
		}
	}
	if told != 2 {
		t.Errorf("it was told %d times that a file is gone, of two", told)
	}
}

func TestWhatIsNoLineIsPassedOver(t *testing.T) {
	r := open(t)
	stamp := "2026-01-02T15:04:05.00000000"
	content := stamp + "1Z o one\nrubbish\n" + stamp + "2Z o two\n" + strings.Repeat("y", 3*longestKept) + "\n" + stamp + "3Z o three\n"
	if err := os.WriteFile(filepath.Join(r.dir, "app.1.log"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	equal(t, "all", r.texts(t, -1), []string{"one", "two", "three"})
	equal(t, "the last three lines of the file", r.texts(t, 3), []string{"two", "three"})
}
