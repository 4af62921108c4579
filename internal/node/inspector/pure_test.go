package inspector

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestStacksAreRead(t *testing.T) {
	got := parseStack(strings.Join([]string{
		"Error", "    at <anonymous>:5:12", "    at <anonymous>:12:3",
		"    at RegExp.test (<anonymous>)",
		"    at Object.regex (/srv/my app (1)/fib.js:7:21)",
		"    at async Promise.all (index 0)",
		"    at new Thing (file:///srv/a%20b.mjs:4:73)",
		"    at Timeout.start [as _onTimeout] (/srv/node_modules/x/y.js:4:73)",
		"    at /srv/app.js:1:2",
		"    at process.processTimers (node:internal/timers:618:7)",
	}, "\n"))
	want := []Frame{
		{Function: "RegExp.test"},
		{"regex", "/srv/my app (1)/fib.js", 7, 21},
		{Function: "Promise.all", File: "index 0"},
		{"Thing", "/srv/a b.mjs", 4, 73},
		{"start", "/srv/node_modules/x/y.js", 4, 73},
		{"", "/srv/app.js", 1, 2},
		{"process.processTimers", "node:internal/timers", 618, 7},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	if f, _ := Culprit(got); f != want[1] {
		t.Errorf("the culprit is %+v", f)
	}
	if f, _ := Culprit(want[4:5]); f != want[4] {
		t.Errorf("without own code the culprit is %+v", f)
	}
	if f, _ := Culprit(want[6:]); f != want[6] {
		t.Errorf("without any module the culprit is %+v", f)
	}
	if _, ok := Culprit(nil); ok {
		t.Error("nothing has a culprit")
	}
}

func TestWhatIsTheUsersOwnInspectorIsRefused(t *testing.T) {
	for _, c := range []struct {
		args, options string
		refused       bool
	}{
		{args: "node app.js --inspect"},
		{args: "node -r ./x.js app.js --inspect"},
		{args: "node --no-warnings --title x app.js", options: `--require "/run/bulsa.cjs" --max-old-space-size=100`},
		{args: "node --inspect app.js", refused: true},
		{args: "node -r ./x.js --inspect_brk=0 app.js", refused: true},
		{args: "node app.js", options: "--inspect-port=0.0.0.0:9229", refused: true},
		{args: "node --disable-sigusr1 app.js", refused: true},
		{args: "node --permission app.js", refused: true},
		{args: "node --heapsnapshot-signal=SIGUSR2 app.js"},
		{args: "node --heapsnapshot-signal=SIGUSR1 app.js", refused: true},
		{args: "node app.js", options: "--report-signal SIGUSR1", refused: true},
	} {
		if why := refusal(strings.Fields(c.args), c.options); (why != "") != c.refused {
			t.Errorf("%s with NODE_OPTIONS=%s: %q", c.args, c.options, why)
		}
	}
}

func TestAProfileIsSummedUpByFunction(t *testing.T) {
	const raw = `{"nodes": [
		{"callFrame": {"functionName": "(idle)", "url": "", "lineNumber": -1}, "hitCount": 50},
		{"callFrame": {"functionName": "(garbage collector)", "url": "", "lineNumber": -1}, "hitCount": 10},
		{"callFrame": {"functionName": "fib", "url": "file:///srv/app.js", "lineNumber": 8, "columnNumber": 4}, "hitCount": 20, "positionTicks": [{"line": 9, "ticks": 5}, {"line": 11, "ticks": 15}]},
		{"callFrame": {"functionName": "fib", "url": "file:///srv/app.js", "lineNumber": 8, "columnNumber": 4}, "hitCount": 20, "positionTicks": [{"line": 11, "ticks": 20}]},
		{"callFrame": {"functionName": "once", "url": "file:///srv/app.js", "lineNumber": 1, "columnNumber": 0}, "hitCount": 0}]}`
	sum, err := Summarize(json.RawMessage(raw), 1)
	want := Hot{Frame: Frame{Function: "fib", File: "/srv/app.js", Line: 11}, Share: 0.8}
	if err != nil || sum.Busy != 0.5 || sum.Collector != 0.2 || len(sum.Hot) != 1 || sum.Hot[0] != want {
		t.Errorf("%+v, %v", sum, err)
	}
	if sum, err := Summarize(json.RawMessage(`{"nodes": []}`), 3); err != nil || len(sum.Hot) > 0 {
		t.Errorf("an empty profile: %+v, %v", sum, err)
	}
	if _, err := Summarize(json.RawMessage(`[]`), 3); err == nil {
		t.Error("no profile was read")
	}
}

func TestATraceIsSummedUpByPhase(t *testing.T) {
	event := func(kind, name string, thread int, at, duration int64) traceEvent {
		return traceEvent{Category: "node.threadpoolwork", Kind: kind, Name: name, Process: 1, Thread: thread, At: at, Duration: duration, ID: json.RawMessage(`"0x1"`)}
	}
	got := phasesOf([]traceEvent{
		event("X", "RunTimers", 1, 10, 200_000), event("X", "CheckImmediate", 1, 10, 100_000),
		event("E", "RunMicrotasks", 1, 5, 0), // begun before the trace
		event("E", "RunMicrotasks", 1, 50_020, 0), event("B", "RunMicrotasks", 1, 20, 0),
		event("b", "crypto", 1, 0, 0), event("B", "crypto", 2, 250_000, 0), event("E", "crypto", 2, 500_000, 0), event("e", "crypto", 1, 750_000, 0),
		event("X", "RunTimers", 2, 10, 900_000), // of a worker thread
	}, clock{Now: 1000, Idle: 100}, clock{Now: 2000, Idle: 500})
	rows := map[string]float64{}
	for _, row := range append(got.Phases, got.Inside...) {
		rows[row.Name] = row.Seconds
	}
	for name, want := range map[string]float64{"timers": 0.2, "check": 0.1, "poll: waiting": 0.4, "poll: callbacks": 0.3, "microtasks": 0.05, "pending": -1} {
		if d := rows[name] - want; d > 1e-9 || d < -1e-9 {
			t.Errorf("%s took %g s, not %g", name, rows[name], want)
		}
	}
	if want := (Task{Kind: "crypto", Count: 1, Run: 0.25, Waited: 0.5, Longest: 0.5}); len(got.Tasks) != 1 || got.Tasks[0] != want {
		t.Errorf("tasks: %+v", got.Tasks)
	}
}
