package node

import (
	"strings"
	"testing"
	"time"

	"bulsa/internal/eventloop"
)

// watched starts a worker whose loop may be asked, and waits until it says so.
func watched(t *testing.T, binary, source string, args ...string) *rig {
	t.Helper()
	r := start(t, setup{binary: binary, mode: "auto", dir: app(t, source), args: args, loop: true})
	r.until("online")
	waitFor(t, "its pid", func() bool { return r.channel.PID() != 0 })
	return r
}

func waitFor(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !fact(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

// answer asks and waits.
func (r *rig) ask(all bool) eventloop.Answer {
	r.t.Helper()
	before, _, _ := r.channel.Heard()
	r.channel.Ask(all)
	var a eventloop.Answer
	waitFor(r.t, "an answer", func() bool {
		var pending time.Time
		a, pending, _ = r.channel.Heard()
		return pending.IsZero() && a.At.After(before.At)
	})
	return a
}

const busyApp = `
const http = require('http');
global.keep = [];
http.createServer((q, r) => {
  if (q.url === '/wait') return;
  for (let i = 0; i < 3e5; i++) global.keep[i % 1000] = { i };
  if (global.gc) global.gc();
  r.end('done');
}).listen(3000);
`

func TestAWorkerTellsOfItsLoop(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := watched(t, binary, busyApp, "--expose-gc", "app.js")
		key := r.key(":3000")
		first := r.ask(true)
		get(t, r.connect(key), "/")
		waiting := r.connect(key)
		if _, err := waiting.Write([]byte("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		var a eventloop.Answer
		waitFor(t, "the request in flight, the pauses, and a moment without work", func() bool {
			a = r.ask(true)
			return a.InFlight == 1 && len(a.Pauses) > 0 && a.Idle > first.Idle
		})
		if a.Clock <= first.Clock || a.Active <= first.Active || a.RoundTrip <= 0 || a.Asked.IsZero() {
			t.Errorf("first %+v, then %+v", first, a)
		}
		if a.HeapUsed <= 0 || a.HeapLimit < a.HeapUsed || a.Handles == 0 || a.Inspected {
			t.Errorf("answer %+v", a)
		}
		old := strings.Contains(t.Name(), "v18.")
		if old != (a.Iterations == 0) {
			t.Errorf("it counts %d iterations", a.Iterations)
		}
		for _, p := range a.Pauses {
			if p.Kind == "" || p.Count == 0 || p.Total <= 0 || p.Max > p.Total {
				t.Errorf("pauses %+v", p)
			}
		}
		short := r.ask(false)
		if !short.At.After(a.At) || short.Clock != a.Clock || short.Asked != a.Asked {
			t.Errorf("a short answer %+v after %+v", short, a)
		}
		if text := r.said(); text != "" {
			t.Errorf("it printed %q", text)
		}
	})
}

func (r *rig) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.output.String()
}

func TestABlockedWorkerDoesNotAnswer(t *testing.T) {
	r := watched(t, "node", `console.log('up'); setTimeout(() => { for (;;); }, 50); setInterval(() => {}, 1e6);`)
	r.prints("up")
	var pending time.Time
	waitFor(t, "a question that stays open", func() bool {
		r.channel.Ask(false)
		_, pending, _ = r.channel.Heard()
		return !pending.IsZero() && time.Since(pending) > 200*time.Millisecond
	})
	r.channel.Ask(true)
	if _, again, _ := r.channel.Heard(); again != pending {
		t.Error("a second question was sent while one was open")
	}
}

func TestQuestionsDoNotKeepAProgramAlive(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := watched(t, binary, `setTimeout(() => console.log('done'), 300)`)
		for {
			select {
			case <-r.exited:
				r.prints("done")
				return
			default:
				r.channel.Ask(true)
				time.Sleep(time.Millisecond)
			}
		}
	})
}

func TestAnApplicationMayChangeWhatTheAnswersNeed(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := watched(t, binary, `
process.send = () => { throw new Error('mine'); };
process._getActiveHandles = () => { throw new Error('mine'); };
require('v8').getHeapStatistics = undefined;
Object.prototype.toJSON = undefined;
process.on('uncaughtException', (e) => console.log('caught', e));
setInterval(() => {}, 1e6);
console.log('changed');
`)
		r.prints("changed")
		a := r.ask(true)
		if a.Clock == 0 || a.HeapUsed != 0 {
			t.Errorf("answer %+v", a)
		}
		if text := r.said(); text != "changed\n" {
			t.Errorf("it printed %q", text)
		}
	})
}

func TestAnESModuleAnswers(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		dir := t.TempDir()
		write(t, dir, "app.mjs", `import http from 'node:http'; await 1; http.createServer((q, r) => r.end()).listen(3000);`)
		r := start(t, setup{binary: binary, mode: "auto", dir: dir, args: []string{"app.mjs"}, loop: true})
		r.key(":3000")
		if a := r.ask(true); a.Active <= 0 {
			t.Errorf("answer %+v", a)
		}
	})
}

func TestADebuggedWorkerSaysSo(t *testing.T) {
	r := watched(t, "node", `setInterval(() => {}, 1e6)`, "--inspect=127.0.0.1:0", "app.js")
	if a := r.ask(true); !a.Inspected {
		t.Errorf("answer %+v", a)
	}
}

func TestWithoutTheMonitorNothingAnswers(t *testing.T) {
	r := start(t, setup{binary: "node", mode: "auto", dir: app(t, `
console.log(process.listenerCount('internalMessage'), process.env.BULSA_LOOP);
setInterval(() => {}, 1e6);`)})
	r.prints("undefined")
	waitFor(t, "its pid", func() bool { return r.channel.PID() != 0 })
	r.channel.Ask(true)
	if _, pending, ok := r.channel.Heard(); ok || !pending.IsZero() {
		t.Error("a worker that is not watched was asked")
	}
}

func TestStrangeAnswersAreNoHarm(t *testing.T) {
	var q questions
	q.begin(true)
	for _, frame := range []string{
		``, `[]`, `{}`, `{"clock":"x"}`, `{"clock":1,"gc":{"1":[-1,-2,-3],"9":[1,1,1],"constructor":[1,2,3]}}`,
		`{"clock":1e300,"idle":-1e300,"used":-5}`,
	} {
		seq, ok := q.next(time.Now())
		if !ok {
			t.Fatal("the last question is still open")
		}
		q.heard(time.Now(), seq-1, []byte(frame)) // of an earlier process
		q.heard(time.Now(), seq, []byte(frame))
	}
	if len(q.last.Pauses) > 5 {
		t.Errorf("pauses %+v", q.last.Pauses)
	}
}
