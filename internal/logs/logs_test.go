package logs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const worker = "app.1"

// room is a store under test with the notices it gave.
type room struct {
	*Store
	dir string

	mu      sync.Mutex
	notices []string
}

func open(t *testing.T) *room {
	t.Helper()
	r := &room{dir: filepath.Join(t.TempDir(), "logs")}
	s, err := Open(r.dir, func(worker, message string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.notices = append(r.notices, worker+": "+message)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Store = s
	t.Cleanup(func() { r.Close() })
	return r
}

func (r *room) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.notices)
}

// prints lets a worker print output and end.
func (r *room) prints(worker, stream, output string) {
	r.Capture(worker, stream, Limits{}, io.NopCloser(strings.NewReader(output)))()
}

func (r *room) texts(t *testing.T, n int, workers ...string) []string {
	t.Helper()
	lines, err := r.Tail(n, workers...)
	if err != nil {
		t.Fatal(err)
	}
	return texts(lines)
}

func texts(lines []Line) []string {
	all := []string{}
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return all
}

func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func TestLinesAreKeptWithTheirStream(t *testing.T) {
	r := open(t)
	r.prints(worker, Stdout, "one\ntwo\n")
	r.prints(worker, Stderr, "three\n\nno newline at the end")
	lines, err := r.Tail(-1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "lines", texts(lines), []string{"one", "two", "three", "", "no newline at the end"})
	if lines[0].Stream != Stdout || lines[2].Stream != Stderr || lines[0].Worker != worker {
		t.Fatalf("wrong stream or worker: %+v", lines)
	}
	for i := 1; i < len(lines); i++ {
		if !lines[i].At.After(lines[i-1].At) {
			t.Fatalf("stamps do not grow: %v, %v", lines[i-1].At, lines[i].At)
		}
	}
}

func TestFileIsReadableByPeople(t *testing.T) {
	r := open(t)
	r.prints(worker, Stderr, "oh no\n")
	r.Close()
	b, err := os.ReadFile(filepath.Join(r.dir, "app.1.log"))
	if err != nil {
		t.Fatal(err)
	}
	stamp, rest, _ := strings.Cut(string(b), " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || rest != "e oh no\n" {
		t.Fatalf("file holds %q", b)
	}
	if info, _ := os.Stat(r.dir); info.Mode().Perm() != 0o700 {
		t.Fatalf("folder has mode %v", info.Mode())
	}
}

func TestPartialLineIsNotLostWhenTheStoreCloses(t *testing.T) {
	r := open(t)
	pr, pw := io.Pipe()
	wait := r.Capture(worker, Stdout, Limits{}, pr)
	follow := r.Follow(t.Context())
	io.WriteString(pw, "whole\nEnter a number: ")
	if l := <-follow; l.Text != "whole" {
		t.Fatalf("got %q", l.Text)
	}
	eventually(t, "the partial line was read", func() bool {
		for c := range captures(r.Store) {
			c.mu.Lock()
			n := c.n
			c.mu.Unlock()
			return n > 0
		}
		return false
	})
	equal(t, "before the end", r.texts(t, -1), []string{"whole"})
	r.Close()
	if _, err := io.WriteString(pw, strings.Repeat("never blocks\n", 1e5)); err != nil {
		t.Fatal(err)
	}
	pw.Close()
	wait()
	again, err := Open(r.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	lines, _ := again.Tail(-1)
	equal(t, "after", texts(lines), []string{"whole", "Enter a number: "})
}

func captures(s *Store) map[*capture]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[*capture]struct{}{}
	for c := range s.captures {
		all[c] = struct{}{}
	}
	return all
}

func TestLongLineIsKeptInPieces(t *testing.T) {
	r := open(t)
	long := strings.Repeat("0123456é", 1<<18/9) // maxPending is more: nothing of it is dropped
	r.prints(worker, Stdout, long+"\nafter\n")
	lines, err := r.Tail(-1)
	if err != nil {
		t.Fatal(err)
	}
	joined := ""
	for _, l := range lines[:len(lines)-1] {
		if len(l.Text) > 64<<10 {
			t.Fatalf("a piece of %d bytes", len(l.Text))
		}
		joined += l.Text
	}
	if joined != long {
		t.Fatalf("the pieces make %d bytes, not %d", len(joined), len(long))
	}
	if n := len(lines); !lines[0].Partial || lines[n-2].Partial || lines[n-1].Text != "after" {
		t.Fatalf("pieces are not marked as such")
	}
}

func TestBinaryIsRawInTheFileAndCleanOnTheScreen(t *testing.T) {
	r := open(t)
	raw := "a\x00b\xff\xfec\r\nd\x1b[31mred\r\n"
	r.prints(worker, Stdout, raw)
	equal(t, "texts", r.texts(t, -1), []string{"a\uFFFDb\uFFFDc", "d\x1b[31mred"})
	b, _ := os.ReadFile(r.Files(worker)[0])
	if !strings.Contains(string(b), " o a\x00b\xff\xfec\r\n") {
		t.Fatalf("file holds %q", b)
	}
}

func TestFilesAreCappedAndRotated(t *testing.T) {
	r := open(t)
	limits := Limits{MaxSize: 1000, MaxFiles: 3}
	var output strings.Builder
	for i := range 500 {
		fmt.Fprintf(&output, "line %d\n", i)
	}
	r.Capture(worker, Stdout, limits, io.NopCloser(strings.NewReader(output.String())))()
	got := r.texts(t, -1)
	if len(got) < 50 || got[len(got)-1] != "line 499" || got[0] != fmt.Sprintf("line %d", 500-len(got)) {
		t.Fatalf("kept %d lines, from %s to %s", len(got), got[0], got[len(got)-1])
	}
	equal(t, "the last 40, across files", r.texts(t, 40), got[len(got)-40:])
	files := r.Files(worker)
	if len(files) != 3 || !strings.HasSuffix(files[0], "app.1.log") {
		t.Fatalf("files: %v", files)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > limits.MaxSize {
			t.Fatalf("%s: %v, %v", name, info, err)
		}
	}
}

func TestOneFileOnlyIsStartedAnew(t *testing.T) {
	r := open(t)
	for i := range 30 {
		r.Capture(worker, Stdout, Limits{MaxSize: 200, MaxFiles: 1}, io.NopCloser(strings.NewReader(fmt.Sprintln("line", i))))()
		r.Tail(1)
	}
	got := r.texts(t, -1)
	if len(r.Files(worker)) != 1 || got[len(got)-1] != "line 29" || len(got) > 5 {
		t.Fatalf("kept %q in %v", got, r.Files(worker))
	}
}

func TestLineLongerThanAFileIsKept(t *testing.T) {
	r := open(t)
	long := strings.Repeat("x", 5000)
	r.Capture(worker, Stdout, Limits{MaxSize: 1000, MaxFiles: 3}, io.NopCloser(strings.NewReader("a\n"+long+"\nb\n")))()
	equal(t, "lines", r.texts(t, -1), []string{"a", long, "b"})
}

func TestSuccessorAppendsToTheSameFile(t *testing.T) {
	r := open(t)
	r.prints(worker, Stdout, "first run\n")
	r.prints(worker, Stdout, "second run\n")
	equal(t, "one store", r.texts(t, -1), []string{"first run", "second run"})
	r.Close()
	again, err := Open(r.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.Capture(worker, Stdout, Limits{}, io.NopCloser(strings.NewReader("third run\n")))()
	lines, _ := again.Tail(2)
	equal(t, "another store", texts(lines), []string{"second run", "third run"})
	if n := len(again.Files(worker)); n != 1 {
		t.Fatalf("%d files", n)
	}
}

func TestHalfLineOfACrashDoesNotSpoilTheNext(t *testing.T) {
	r := open(t)
	name := filepath.Join(r.dir, "app.1.log")
	if err := os.WriteFile(name, []byte("2026-01-02T15:04:05.000000000Z o whole\n2026-01-02T15:0"), 0o600); err != nil {
		t.Fatal(err)
	}
	equal(t, "before", r.texts(t, -1), []string{"whole"})
	r.prints(worker, Stdout, "next\n")
	equal(t, "after", r.texts(t, -1), []string{"whole", "next"})
}

func TestTailIsOfEachWorkerInOrderOfTime(t *testing.T) {
	r := open(t)
	for i := range 5 {
		r.prints("app.1", Stdout, fmt.Sprintf("a%d\n", i))
		r.prints("app.2", Stdout, fmt.Sprintf("b%d\n", i))
		r.prints("db.1", Stdout, fmt.Sprintf("d%d\n", i))
	}
	r.prints("app.1", Stdout, "a5\n") // of a worker that says more than others
	r.prints("app.1", Stdout, "a6\n")
	equal(t, "of each", r.texts(t, 2), []string{"b3", "d3", "b4", "d4", "a5", "a6"})
	equal(t, "a service", r.texts(t, 1, "app"), []string{"b4", "a6"})
	equal(t, "workers", r.texts(t, 1, "app.1", "db.1"), []string{"d4", "a6"})
	equal(t, "more than there are", r.texts(t, 9, "db"), []string{"d0", "d1", "d2", "d3", "d4"})
	equal(t, "none", r.texts(t, 0), []string{})
	equal(t, "an unknown one", r.texts(t, 3, "nobody"), []string{})
}

func TestTailReadsFarLessThanTheFile(t *testing.T) {
	r := open(t)
	r.prints(worker, Stdout, strings.Repeat(strings.Repeat("x", 99)+"\n", 20_000)+"the end\n")
	r.Tail(1)
	f, err := os.Open(r.Files(worker)[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	part, lines, err := lastLines(f, 10)
	runtime.ReadMemStats(&after)
	if err != nil || lines != 10 || part.end-part.at > 10*200 {
		t.Fatal(part, lines, err)
	}
	allocated := after.TotalAlloc - before.TotalAlloc
	if allocated > 2*largestBlock {
		t.Fatalf("10 lines of a 2 MB file cost %d bytes", allocated)
	}
}

func TestLastTellsTheCauseOfDeath(t *testing.T) {
	trace := "/srv/app.js:3\nthrow new Error('boom')\n^\n\nError: boom\n    at Object.<anonymous> (/srv/app.js:3:7) {\n  code: 'X'\n}\n\nNode.js v20.1.0\n"
	for _, c := range []struct{ name, stdout, stderr, want string }{
		{"the last line of stderr", "ready\n", "warning\nfatal: no database\n\n\n", "fatal: no database"},
		{"without a line end", "", "killed", "killed"},
		{"stdout when stderr is silent", "ready\nbye\n", "", "bye"},
		{"not a stack trace", "", trace, "Error: boom"},
		{"an indented line when there is no other", "", "  only this\n", "only this"},
		{"at most 512 bytes", "", strings.Repeat("é", 1000), strings.Repeat("é", 256)},
		{"without colors", "", "\x1b[1;31mError:\x1b[0m \x07no\tway\n", "Error:  no way"},
		{"nothing", "", "\n \n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t)
			r.prints(worker, Stdout, c.stdout)
			r.prints(worker, Stderr, c.stderr)
			if got := r.Last(worker); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLastForgetsTheRunBefore(t *testing.T) {
	r := open(t)
	r.prints(worker, Stdout, "")
	r.prints(worker, Stderr, "old trouble\n")
	r.prints(worker, Stdout, "fine\n")
	r.prints(worker, Stderr, "")
	if got := r.Last(worker); got != "fine" {
		t.Fatalf("got %q", got)
	}
	if got := r.Last("nobody"); got != "" {
		t.Fatalf("got %q", got)
	}
}

func TestNameLeadsNotOutOfTheFolder(t *testing.T) {
	r := open(t)
	follow := r.Follow(t.Context())
	r.prints("../../evil.1", Stdout, "text\n")
	if l := <-follow; l.Text != "text" {
		t.Fatalf("got %+v", l)
	}
	eventually(t, "a notice", func() bool { return len(r.told()) == 1 })
	if !strings.Contains(r.told()[0], "not usable as a file name") {
		t.Fatalf("told %q", r.told())
	}
	parent, _ := filepath.Glob(filepath.Join(r.dir, "..", "..", "evil*"))
	if len(parent) > 0 || r.Files("../../evil.1") != nil {
		t.Fatalf("wrote %v", parent)
	}
}

func TestFollowSendsOnlyWhatIsNewAndAskedFor(t *testing.T) {
	r := open(t)
	r.prints("app.1", Stdout, "old\n")
	ctx, cancel := context.WithCancel(t.Context())
	follow := r.Follow(ctx, "app.1", "web")
	r.prints("app.2", Stdout, "not asked for\n")
	r.prints("app.1", Stderr, "new\n")
	r.prints("web.7", Stdout, "a worker that came later\n")
	equal(t, "lines", []string{(<-follow).Text, (<-follow).Text}, []string{"new", "a worker that came later"})
	cancel()
	if l, more := <-follow; more {
		t.Fatalf("got %+v after the end", l)
	}
	eventually(t, "the follower is forgotten", func() bool { return len(*r.followers.Load()) == 0 })
}

func TestFollowEndsWithTheStore(t *testing.T) {
	r := open(t)
	follow := r.Follow(t.Context())
	r.prints(worker, Stdout, "bye\n")
	r.Close()
	equal(t, "what was queued", []string{(<-follow).Text}, []string{"bye"})
	if _, more := <-follow; more {
		t.Fatal("the channel is open")
	}
	if _, more := <-r.Follow(t.Context()); more {
		t.Fatal("a closed store is followed")
	}
}

func TestSlowReaderIsToldWhatItMissed(t *testing.T) {
	r := open(t)
	follow := r.Follow(t.Context())
	const total = 3 * maxWaitingLines
	r.prints(worker, Stdout, strings.Repeat("x\n", total)) // nobody reads meanwhile
	seen, missed := 0, 0
	for missed == 0 {
		switch l := <-follow; l.Stream {
		case Stdout:
			seen++
		case Bulsa:
			if _, err := fmt.Sscanf(l.Text, "%d lines not shown", &missed); err != nil {
				t.Fatalf("told %q", l.Text)
			}
		}
	}
	if seen+missed != total {
		t.Fatalf("saw %d, missed %d of %d", seen, missed, total)
	}
	r.prints(worker, Stdout, "now it is quick\n")
	if l := <-follow; l.Text != "now it is quick" {
		t.Fatalf("got %+v", l)
	}
}

func TestAStreamNeitherLosesNorDoublesBetweenThePastAndNow(t *testing.T) {
	r := open(t)
	pr, pw := io.Pipe()
	wait := r.Capture(worker, Stdout, Limits{}, pr)
	const total = 5000
	half := make(chan struct{})
	go func() {
		for i := range total {
			if i == total/2 {
				close(half)
			}
			fmt.Fprintln(pw, i)
		}
		pw.Close()
	}()
	<-half
	follow, err := r.Stream(t.Context(), -1, true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range total {
		if l := <-follow; l.Text != fmt.Sprint(i) {
			t.Fatalf("line %d is %+v", i, l)
		}
	}
	wait()
}

func TestAJournalIsBoundedAndReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	j := NewJournal(path, Limits{MaxSize: 100, MaxFiles: 2})
	for i := range 20 {
		if err := j.Append(fmt.Appendf(nil, "event %02d is told here", i)); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	var lines []string
	if err := NewJournal(path, Limits{}).Lines(func(line []byte) { lines = append(lines, string(line)) }); err != nil {
		t.Fatal(err)
	}
	if len(lines) < 4 || len(lines) > 8 || lines[len(lines)-1] != "event 19 is told here" || !slices.IsSorted(lines) {
		t.Errorf("%q", lines)
	}
	if names, err := Workers(filepath.Dir(path)); err != nil || len(names) > 0 {
		t.Errorf("it counts as the output of %q, %v", names, err)
	}
}

func TestAJournalTakesManyLinesAtOnceAndNoHalfOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access_log")
	j := NewJournal(path, Limits{MaxSize: 30, MaxFiles: 9})
	defer j.Close()
	text := strings.Repeat("a line of the log\n", 5)
	if n, err := j.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := j.Write([]byte("whole\nhalf")); n != len("whole\n") || err == nil {
		t.Errorf("half a line: %d, %v", n, err)
	}
	count := 0
	if err := j.Lines(func([]byte) { count++ }); err != nil || count != 6 {
		t.Errorf("%d lines, %v", count, err)
	}
}

func TestOutputIsReadWhenNobodyWritesIt(t *testing.T) {
	r := open(t)
	r.prints("app.1", Stdout, "one\ntwo\n")
	r.prints("db.1", Stdout, "three\n")
	r.Close()
	lines, err := Read(t.Context(), r.dir, 2, "app")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for l := range lines {
		got = append(got, l.Text)
	}
	equal(t, "lines", got, []string{"one", "two"})
	if names, err := Workers(r.dir); err != nil || strings.Join(names, " ") != "app.1 db.1" {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := Read(t.Context(), filepath.Join(r.dir, "none"), -1); err == nil {
		t.Error("a folder that is not there was read")
	}
}
