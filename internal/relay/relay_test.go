package relay

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bulsa/internal/spec"
)

// desk is a member that keeps what it is told.
type desk struct {
	Member
	mu      sync.Mutex
	got     []string
	lines   []string
	notices []string
}

func newDesk(h *Hub, worker string) *desk {
	d := &desk{}
	d.Member = Member{
		Worker: worker,
		Send: func(m any) error {
			text, err := json.Marshal(m)
			d.mu.Lock()
			defer d.mu.Unlock()
			d.got = append(d.got, string(text))
			return err
		},
		Log:    func(line string) { d.lines = append(d.lines, line) },
		Notice: func(text string) { d.notices = append(d.notices, text) },
	}
	h.Join(&d.Member)
	return d
}

func (d *desk) heard() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.got)
}

func (d *desk) says(h *Hub, message string) { h.Hear(time.Now(), &d.Member, json.RawMessage(message)) }

func TestTheModulesAreThoseThatTheConfigurationNames(t *testing.T) {
	if got := Modules(); !slices.Equal(got, spec.Relays()) {
		t.Errorf("modules %q, and the configuration knows %q", got, spec.Relays())
	}
}

func TestWhatNobodyReadsIsToldOnceAndCounted(t *testing.T) {
	h := New()
	d := newDesk(h, "app.1")
	for _, m := range []string{
		`{"type":"job:done","secret":"hunter2"}`, `{"type":"job:done"}`, `{"b":1,"a":{"type":7}}`, `"hello"`, `"ready"`, `[1]`, `{"topic":{"of":"another shape"}}`,
	} {
		d.says(h, m)
	}
	var kinds []string
	for _, u := range h.Unread() {
		kinds = append(kinds, fmt.Sprint(u.Count, " ", u.Topic))
	}
	want := []string{"2 type job:done", "1 fields a b", "1 fields topic", "1 neither an object nor text", "1 text hello"}
	if !slices.Equal(kinds, want) {
		t.Errorf("unread: %q, want %q", kinds, want)
	}
	if len(d.notices) != 5 || strings.Contains(strings.Join(d.notices, ""), "hunter2") {
		t.Errorf("notices: %q", d.notices)
	}
}

func TestKindsThatNobodyReadsAreBounded(t *testing.T) {
	h := New()
	d := newDesk(h, "app.1")
	for i := range 10 * mostTopics {
		d.says(h, fmt.Sprintf(`{"type":"%d%s"}`, i, strings.Repeat("x", 1000)))
	}
	if all := h.Unread(); len(all) != mostTopics || len(all[0].Topic) > longestTopic+10 || len(d.notices) != mostTopics {
		t.Errorf("%d kinds are kept, %d were told", len(all), len(d.notices))
	}
}

func TestAModuleThatIsSwitchedOffReadsNothing(t *testing.T) {
	h := New()
	h.Only([]string{spec.RelayOff})
	d := newDesk(h, "app.1")
	d.says(h, `{"topic":"log4js:message","data":"[]"}`)
	if len(d.lines) != 0 || len(d.notices) != 1 || !strings.Contains(d.notices[0], "log4js:message") {
		t.Errorf("lines %q, notices %q", d.lines, d.notices)
	}
	h.Only([]string{"log4js"})
	d.says(h, `{"topic":"log4js:message","data":"[]"}`)
	if len(d.lines) != 1 {
		t.Errorf("lines %q", d.lines)
	}
}

func TestSocketIOPublishesToTheOthersAndAnswersTheOneThatAsked(t *testing.T) {
	h := New()
	one, two, three := newDesk(h, "app.1"), newDesk(h, "app.2"), newDesk(h, "app.3")
	for i, d := range []*desk{one, two, three} {
		d.says(h, fmt.Sprintf(`{"source":"_sio_adapter","type":1,"uid":"u%d","nsp":"/"}`, i+1))
	}
	if len(one.got) != 2 || len(two.got) != 2 || len(three.got) != 2 {
		t.Errorf("the first heartbeats reached %d, %d, %d", len(one.got), len(two.got), len(three.got))
	}
	one.got, two.got, three.got = nil, nil, nil
	two.says(h, `{"source":"_sio_adapter","type":3,"uid":"u2","nsp":"/","data":{"packet":{"data":["hello"]}}}`)
	if len(one.got) != 1 || len(two.got) != 0 || len(three.got) != 1 || !strings.Contains(one.got[0], "hello") {
		t.Errorf("a broadcast of app.2: %q, %q, %q", one.got, two.got, three.got)
	}
	three.says(h, `{"source":"_sio_adapter","type":8,"uid":"u3","requesterUid":"u1","data":{}}`)
	if len(one.got) != 2 || len(two.got) != 0 {
		t.Errorf("an answer to app.1: %q, %q", one.got, two.got)
	}
	h.Leave(&one.Member)
	three.says(h, `{"source":"_sio_adapter","type":3,"uid":"u3","nsp":"/"}`)
	if len(one.got) != 2 || len(two.got) != 1 {
		t.Error("a process that has left got a message, or one that is there did not")
	}
}

func TestLog4jsEventsBecomeLines(t *testing.T) {
	// As LoggingEvent.serialise() of log4js 6.9.1 writes it.
	const event = `[{"startTime":"1","categoryName":"2","data":"3","level":"4","context":"5","pid":77,"cluster":"6"},"2026-11-30T10:00:00.123Z","shop",%s,{"level":20000,"levelStr":"7","colour":"8"},{},{"workerId":1,"worker":77},"INFO","green"%s]`
	for name, c := range map[string]struct{ data, rest, want string }{
		"text":                 {`["9"]`, `,"hello"`, "hello"},
		"a format":             {`["9","10",5]`, `,"%s has %d of 100%%","cart"`, "cart has 5 of 100%"},
		"more than the format": {`["9","10"]`, `,"total:",{"sum":7,"items":"11"},["12"],"pen"`, `total: {"items":["pen"],"sum":7}`},
		"an error":             {`["9"]`, `,{"message":"10","stack":"11"},"no table","Error: no table\n    at x.js:1"`, "Error: no table\n    at x.js:1"},
		"no value":             {`["9","10"]`, `,"is","__LOG4JS_undefined__"`, "is undefined"},
	} {
		t.Run(name, func(t *testing.T) {
			h := New()
			d := newDesk(h, "app.1")
			raw, err := json.Marshal(map[string]string{"topic": "log4js:message", "data": fmt.Sprintf(event, c.data, c.rest)})
			if err != nil {
				t.Fatal(err)
			}
			d.says(h, string(raw))
			at := time.Date(2026, 11, 30, 10, 0, 0, 123e6, time.UTC).Local().Format("2006-01-02T15:04:05.000")
			if d.says(h, string(raw)); len(d.notices) != 1 || !strings.Contains(d.notices[0], "disableClustering") {
				t.Errorf("notices %q", d.notices)
			}
			d.lines = d.lines[1:]
			if want := "[" + at + "] [INFO] shop - " + c.want; len(d.lines) != 1 || d.lines[0] != want {
				t.Errorf("lines %q, want %q", d.lines, want)
			}
		})
	}
}

func TestAMessageOfLog4jsThatReadsItselfEnds(t *testing.T) {
	for _, data := range []string{`[{"data":"0","level":"0"}]`, `[["1","1","1"],["0","0","0"]]`, `[{"data":"9"}]`, `{`, `7`} {
		h := New()
		d := newDesk(h, "app.1")
		raw, _ := json.Marshal(map[string]string{"topic": "log4js:message", "data": data})
		d.says(h, string(raw))
		if len(d.lines) != 1 || len(d.lines[0]) > 1<<20 {
			t.Errorf("%s: %d lines", data, len(d.lines))
		}
	}
}

// limiterCase is one call of a limiter in a worker, and its answer.
func (d *desk) limits(h *Hub, now time.Time, call string) string {
	d.got = nil
	h.Hear(now, &d.Member, json.RawMessage(`{"channel":"rate_limiter_flexible","keyPrefix":"p","promiseId":"1","func":`+call+`}`))
	if len(d.got) == 0 {
		return "nothing yet"
	}
	var a struct {
		Type string
		Data any
	}
	if err := json.Unmarshal([]byte(d.got[0]), &a); err != nil {
		return err.Error()
	}
	s, ok := a.Data.(map[string]any)
	if !ok {
		return fmt.Sprint(a.Type, " ", a.Data)
	}
	return fmt.Sprintf("%s %v left, %v used, %v ms", a.Type, s["remainingPoints"], s["consumedPoints"], s["msBeforeNext"])
}

func TestALimiterCountsForAllWorkersTogether(t *testing.T) {
	h := New()
	one, two := newDesk(h, "app.1"), newDesk(h, "app.2")
	const options = `{"channel":"rate_limiter_flexible","type":"init","opts":{"points":2,"duration":10,"blockDuration":60,"keyPrefix":"p"}}`
	one.says(h, options)
	two.says(h, options)
	if len(two.got) != 1 || !strings.Contains(two.got[0], `"init"`) {
		t.Fatalf("the beginning was answered %q", two.got)
	}
	now := time.Now()
	for i, step := range []struct {
		who        *desk
		after      time.Duration
		call, want string
	}{
		{one, 0, `"get","data":{"key":"a"}`, "resolve <nil>"},
		{one, 0, `"consume","data":{"key":"a","arg":1,"opts":{}}`, "resolve 1 left, 1 used, 10000 ms"},
		{two, 4 * time.Second, `"consume","data":{"key":"a","arg":1}`, "resolve 0 left, 2 used, 6000 ms"},
		{one, 4 * time.Second, `"consume","data":{"key":"a","arg":1}`, "reject 0 left, 3 used, 60000 ms"},
		{two, 20 * time.Second, `"consume","data":{"key":"a","arg":1}`, "reject 0 left, 4 used, 44000 ms"},
		{two, 65 * time.Second, `"consume","data":{"key":"a","arg":1}`, "resolve 1 left, 1 used, 10000 ms"},
		{one, 65 * time.Second, `"reward","data":{"key":"a","arg":1}`, "resolve 2 left, 0 used, 10000 ms"},
		{one, 65 * time.Second, `"penalty","data":{"key":"a","arg":2,"opts":{}}`, "resolve 0 left, 2 used, 10000 ms"},
		{one, 65 * time.Second, `"block","data":{"key":7,"arg":5}`, "resolve 0 left, 3 used, 5000 ms"},
		{two, 66 * time.Second, `"get","data":{"key":"7"}`, "resolve 0 left, 3 used, 4000 ms"},
		{two, 66 * time.Second, `"delete","data":{"key":7}`, "resolve true"},
		{two, 66 * time.Second, `"delete","data":{"key":7}`, "resolve false"},
		{two, 66 * time.Second, `"consume","data":{"key":"b","arg":1,"opts":{"customDuration":3}}`, "resolve 1 left, 1 used, 3000 ms"},
	} {
		if got := step.who.limits(h, now.Add(step.after), step.call); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

func TestALimiterSpreadsItsRequestsEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		d := newDesk(h, "app.1")
		d.says(h, `{"channel":"rate_limiter_flexible","type":"init","opts":{"points":10,"duration":10,"execEvenly":true,"execEvenlyMinDelayMs":1000,"keyPrefix":"p"}}`)
		now := time.Now()
		if got := d.limits(h, now, `"consume","data":{"key":"a","arg":1}`); !strings.HasPrefix(got, "resolve") {
			t.Errorf("the first: %s", got)
		}
		if got := d.limits(h, now, `"consume","data":{"key":"a","arg":1}`); got != "nothing yet" {
			t.Errorf("the second: %s", got)
		}
		time.Sleep(999 * time.Millisecond)
		if d.heard() != 0 {
			t.Error("the second was answered too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if d.heard() != 1 {
			t.Error("the second was not answered")
		}
	})
}

func TestKeysThatHaveExpiredAreForgotten(t *testing.T) {
	h := New()
	d := newDesk(h, "app.1")
	d.says(h, `{"channel":"rate_limiter_flexible","type":"init","opts":{"points":1,"duration":1,"keyPrefix":"p"}}`)
	now := time.Now()
	for i := range 4_000 {
		d.limits(h, now.Add(time.Duration(i)*10*time.Millisecond), fmt.Sprintf(`"consume","data":{"key":"%d","arg":1}`, i))
	}
	if n := len(h.modules["rate-limiter-flexible"].(*limiters).all["p"].records); n > 2000 {
		t.Errorf("%d keys are kept, of which 100 count", n)
	}
}
