package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

func anAccount() *Account {
	return &Account{
		Client: netip.MustParseAddr("2001:db8::1"), Method: []byte("GET"), Target: []byte("/a?b=1"), Proto: "HTTP/1.1", Host: []byte("example.com"),
		Referer: []byte("https://example.com/"), Agent: []byte("curl/8"), Status: 200, Sent: 13,
		Began: time.Date(2026, 11, 25, 20, 30, 0, 123e6, time.FixedZone("", 3600)), Took: 1500 * time.Microsecond, Worker: "app.1", Attempts: 2,
	}
}

func TestTheLinesOfTheAccessLog(t *testing.T) {
	const wantJSON = `{"time":"2026-11-25T19:30:00.123Z","service":"app","client":"2001:db8::1","method":"GET","target":"/a?b=1","protocol":"HTTP/1.1",` +
		`"host":"example.com","status":200,"bytes":13,"duration":0.001500,"worker":"app.1","attempts":2,"referer":"https://example.com/","user_agent":"curl/8"}` + "\n"
	if got := string(appendJSON(nil, "app", anAccount())); got != wantJSON {
		t.Errorf("got %s, want %s", got, wantJSON)
	}
	const wantCombined = `2001:db8::1 - - [25/Nov/2026:20:30:00 +0100] "GET /a?b=1 HTTP/1.1" 200 13 "https://example.com/" "curl/8"` + "\n"
	if got := string(appendCombined(nil, anAccount())); got != wantCombined {
		t.Errorf("got %s, want %s", got, wantCombined)
	}
	if got, want := string(appendCombined(nil, &Account{Status: 400, Began: anAccount().Began})), `unix: - - [25/Nov/2026:20:30:00 +0100] "-" 400 0 "-" "-"`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Whatever a client sends, a line stays one line and its fields stay apart.
func FuzzAccessLogEscapes(f *testing.F) {
	f.Add([]byte(`a"b\c`), []byte("\x00\x1f\x7f\xff\r\n"))
	f.Add([]byte("\u2028 é"), []byte("\xed\xa0\x80"))
	f.Fuzz(func(t *testing.T, target, agent []byte) {
		a := anAccount()
		a.Target, a.Agent = target, agent
		var got struct {
			Target string `json:"target"`
			Agent  string `json:"user_agent"`
		}
		line := appendJSON(nil, "app", a)
		if err := json.Unmarshal(line, &got); err != nil || bytes.Count(line, []byte("\n")) != 1 || !utf8.Valid(line) {
			t.Fatalf("%q: %v", line, err)
		}
		if utf8.Valid(target) && got.Target != string(target) || utf8.Valid(agent) && got.Agent != string(agent) {
			t.Fatalf("%q and %q are read as %q and %q", target, agent, got.Target, got.Agent)
		}
		combined := appendCombined(nil, a)
		if bytes.Count(combined, []byte("\n")) != 1 || bytes.Count(combined, []byte(`"`)) != 6 {
			t.Fatalf("%q", combined)
		}
	})
}

func TestTheRingKeepsEveryLineWhole(t *testing.T) {
	r := newRing(1 << 10)
	const writers, each = 4, 2000
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := 0; i < each; {
				if r.put(fmt.Appendf(nil, "%d %d %s\n", w, i, strings.Repeat("x", i%40))) {
					i++
					continue
				}
				runtime.Gosched()
			}
		})
	}
	next := make([]int, writers)
	for got := 0; got < writers*each; {
		b, lines := r.take(nil, 256)
		if got += lines; lines == 0 {
			runtime.Gosched()
		}
		for line := range strings.Lines(string(b)) {
			var w, i int
			fmt.Sscan(line, &w, &i)
			if i != next[w] || line != fmt.Sprintf("%d %d %s\n", w, i, strings.Repeat("x", i%40)) {
				t.Fatalf("%q, but %d of writer %d was next", line, next[w], w)
			}
			next[w]++
		}
	}
	all.Wait()
	if !r.empty() {
		t.Error("not empty")
	}
	if r.put(make([]byte, 1<<10)) || r.put(make([]byte, 1<<11)) {
		t.Error("a line larger than the ring found room")
	}
}

// output is what a stream has taken.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// logging runs a log file for the test; the function ends it.
func logging(t *testing.T, l *File) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	end = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(end)
	return end
}

func TestARotatedFileIsOpenedAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	logging(t, l)
	has := func(path, text string) func() bool {
		return func() bool { b, _ := os.ReadFile(path); return strings.Contains(string(b), text) }
	}
	l.put([]byte("first\n"))
	within(t, "the first line is written", has(path, "first"))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	within(t, "a line is in a new file", func() bool { l.put([]byte("later\n")); return has(path, "later")() })
	if b, _ := os.ReadFile(path); strings.Contains(string(b), "first") {
		t.Error("the new file has the old line")
	}
}

// blocked is a stream that takes nothing until it is opened.
type blocked struct{ open chan struct{} }

func (b blocked) Write(p []byte) (int, error) { <-b.open; return len(p), nil }

func TestALogThatStandsStillLosesLinesAndSaysSo(t *testing.T) {
	said := new(output)
	out := blocked{make(chan struct{})}
	l := NewStream(out, slog.New(slog.NewTextHandler(said, nil)))
	end := logging(t, l)
	line := bytes.Repeat([]byte("x"), 1000)
	for range 3 * logRing / len(line) {
		l.put(line)
	}
	if l.Lost() == 0 {
		t.Error("nothing was lost")
	}
	close(out.open)
	within(t, "it is said", func() bool { return strings.Contains(said.String(), "could not keep up") })
	end()
}

func TestALineCostsNoAllocation(t *testing.T) {
	l := NewStream(io.Discard, slog.New(slog.DiscardHandler))
	logs := []*Log{{File: l, Sample: 1}, {File: l, Combined: true, Sample: 1}}
	a := anAccount()
	for _, log := range logs {
		if n := testing.AllocsPerRun(200, func() { log.Write("app", a) }); n > 0 {
			t.Errorf("%v allocations (combined: %v)", n, log.Combined)
		}
	}
}

func TestASampleIsSpreadEvenly(t *testing.T) {
	l := Log{Sample: 0.25}
	n := 0
	for range 1000 {
		if l.due() {
			n++
		}
	}
	if n != 250 {
		t.Errorf("%d of 1000, want 250", n)
	}
}
