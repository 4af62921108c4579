package inner

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"

	"bulsa/internal/api"
)

func number[T any](v T) *T { return &v }

func TestAReportArrivesAsItWasSent(t *testing.T) {
	started := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	sent := api.Inside{
		Workers: []api.Worker{
			{Number: 2, PID: 15, State: "ready", Health: "healthy", Restarts: 3, StartedAt: &started, Cause: "it listens", Status: "Up 3 seconds", RequestsPerSecond: number(1.5), MemoryBytes: number(int64(1 << 20)),
				EventLoop: &api.EventLoop{Source: "outside", PID: 15, LoopLatency: number(0.001), Busy: number(2), GarbageCollections: []api.Pauses{{Kind: "scavenge", Count: 7, Total: 0.5}}}},
			{Number: 1, State: "backoff", Health: "none"},
		},
		Events: []api.Event{{Worker: "2", Kind: "ready", Message: "ready", Cause: "it listens"}},
	}
	line, err := encode(sent)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newReader(strings.NewReader(string(line))).next()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Workers) != 2 || got.Workers[0].Number != 1 || got.Events[0] != sent.Events[0] {
		t.Fatalf("arrived: %+v", got)
	}
	two := got.Named("app", "app.1")[1]
	if two.Name != "app.1/2" || two.Service != "app" || two.PID != 15 || two.ID != "15" || two.Restarts != 3 || !two.StartedAt.Equal(started) ||
		*two.RequestsPerSecond != 1.5 || *two.MemoryBytes != 1<<20 || *two.EventLoop.LoopLatency != 0.001 || *two.EventLoop.Busy != 2 || two.EventLoop.GarbageCollections[0].Count != 7 {
		t.Errorf("the second worker is %+v", two)
	}
}

func TestWhatIsAskedOfABulsaInsideIsNoFlagAndNoOtherProgram(t *testing.T) {
	for _, c := range []struct{ name, program, wantName, wantProgram string }{
		{"app.2", "/usr/local/bin/bulsa", "app.2", "/usr/local/bin/bulsa"},
		{"--all", "bulsa", "", ""},
		{"app.2; reboot", "/bin/bulsa\x1b[2J", "", ""},
		{"../x", "/" + strings.Repeat("x", 5000), "", ""},
	} {
		line, err := encode(api.Inside{Workers: []api.Worker{{Number: 1, Name: c.name}}, Program: c.program})
		if err != nil {
			t.Fatal(err)
		}
		r, err := decode(line)
		if err != nil || r.Workers[0].Name != c.wantName || r.Program != c.wantProgram {
			t.Errorf("%q and %q: %+v, %v", c.name, c.program, r, err)
		}
	}
}

func TestWhatANewerBulsaAddsIsIgnored(t *testing.T) {
	r, err := decode([]byte(`{"workers":[{"worker":1,"state":"ready","mood":{"good":[1]}}],"weather":"fine"}`))
	if err != nil || len(r.Workers) != 1 || r.Workers[0].State != "ready" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWhatIsNoReportIsRefused(t *testing.T) {
	many := `{"workers":[` + strings.Repeat(`{"worker":1},`, maxWorkers) + `{"worker":1}]}`
	for _, line := range []string{
		"", "null", "GET / HTTP/1.1", "[]", `{"workers":`, `{"workers":[{"worker":"x"}]}`, `{"workers":[{"worker":0}]}`, `{"workers":[{"worker":-1}]}`,
		`{"workers":[{"worker":1},{"worker":1}]}`, `{"events":[{"worker":"../x","kind":"exit"}]}`, `{"events":[{"worker":""}]}`,
		`{"workers":[{"worker":1,"requests_per_second":1e999}]}`, many, strings.Repeat("{", 100000), `{"workers":` + strings.Repeat("[", 100000),
	} {
		if r, err := decode([]byte(line)); !errors.Is(err, errMalformed) {
			t.Errorf("%.60q: %+v, %v", line, r, err)
		} else if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 400 {
			t.Errorf("%.60q: the error is %q", line, err)
		}
	}
}

func TestALongLineIsNotKept(t *testing.T) {
	endless := &counted{}
	if _, err := newReader(endless).next(); !errors.Is(err, errMalformed) {
		t.Errorf("%v", err)
	}
	if endless.read > maxReport+64<<10 {
		t.Errorf("%d bytes were read", endless.read)
	}
	if _, err := newReader(strings.NewReader(`{"workers":[]`)).next(); err != io.EOF {
		t.Errorf("a line that was cut off: %v", err)
	}
}

// counted is a sender that never ends its line.
type counted struct{ read int }

func (c *counted) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	c.read += len(b)
	return len(b), nil
}

func TestNothingThatIsShownCanDoHarm(t *testing.T) {
	nasty := "\x1b[2J\x00\u202e" + strings.Repeat("é", 5000) + "\nbulsa: fake\r"
	line, err := json.Marshal(map[string]any{
		"workers": []map[string]any{{
			"worker": 1, "name": nasty, "service": nasty, "state": nasty, "health": nasty, "cause": nasty, "status": nasty, "id": nasty, "engine": nasty, "address": nasty,
			"ports": []string{nasty}, "pid": -5, "restarts": -1, "in_flight": -1, "memory_bytes": -1, "p99_seconds": -3, "requests_per_second": 1e300,
			"inner":      []map[string]any{{"worker": 1, "name": nasty}},
			"event_loop": map[string]any{"source": nasty, "blocked_seconds": -1, "utilization": -1, "threadpool_busy": -7, "garbage_collections": []map[string]any{{"kind": nasty}, {"kind": "scavenge"}, {"kind": "scavenge"}, {"kind": "x", "total_seconds": -1}}},
		}},
		"events": []map[string]any{{"worker": "1", "kind": nasty, "message": nasty, "cause": nasty, "service": nasty}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := decode(line)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			texts = append(texts, v)
		case []any:
			for _, one := range v {
				walk(one)
			}
		case map[string]any:
			for _, one := range v {
				walk(one)
			}
		case float64:
			if v < 0 || v > maxFigure {
				t.Errorf("a figure is %g", v)
			}
		}
	}
	var all any
	if err := json.Unmarshal(shown, &all); err != nil {
		t.Fatal(err)
	}
	walk(all)
	for _, text := range texts {
		if len([]rune(text)) > maxText || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Errorf("shown: %q", text)
		}
	}
	w := r.Workers[0]
	if w.Inner != nil || w.P99Seconds != nil || w.EventLoop.Busy != nil || w.EventLoop.Utilization != nil || len(w.EventLoop.GarbageCollections) > 2 {
		t.Errorf("%+v", w)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"workers":[{"worker":1,"state":"ready","event_loop":{"blocked_seconds":1}}],"events":[{"worker":"1","kind":"exit"}]}`))
	f.Add([]byte(`{"workers":[]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decode(line)
		if err != nil {
			return
		}
		r.Loop()
		again, err := encode(api.Inside{Workers: r.Workers, Events: r.Events})
		if err != nil {
			return // what was cleaned may be longer than what came
		}
		if _, err := decode(again); err != nil {
			t.Errorf("what was read is not readable again: %v", err)
		}
	})
}
