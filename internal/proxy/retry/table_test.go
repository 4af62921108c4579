package retry

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"bulsa/internal/balance"
)

var update = flag.Bool("update", false, "write the tables into doc.go")

// outcomes are the columns of the first table.
var outcomes = []struct {
	name string
	outcome
}{
	{"not begun", outcome{Ending: Unbegun}},
	{"not begun, on a used connection", outcome{Ending: Unbegun, Reused: true}},
	{"closed", outcome{Ending: Closed, Seen: true}},
	{"closed, on a used connection", outcome{Ending: Closed, Seen: true, Reused: true}},
	{"died", outcome{Ending: Died, Seen: true, Dead: true}},
	{"late", outcome{Ending: Late, Seen: true}},
	{"malformed", outcome{Ending: Malformed, Seen: true}},
}

type outcome = Outcome

// requests are those of the first table, brought to where their attempt ends.
var requests = []struct {
	name  string
	bring func(w *world) *Try
	lost  bool
}{
	{"GET", func(w *world) *Try { return w.asking("GET /", "") }, false},
	{"GET, closed on once before", func(w *world) *Try { return w.asking("GET /", "closed") }, false},
	{"GET, a worker has died with it", func(w *world) *Try { return w.asking("GET /", "died") }, false},
	{"GET, two have with others like it", func(w *world) *Try {
		w.convicts("GET /")
		return w.asking("GET /", "")
	}, false},
	{"GET, begun by as many as may", func(w *world) *Try {
		t := w.asking("GET /", "")
		t.seen = mostSeen - 1
		return t
	}, false},
	{"POST", func(w *world) *Try { return w.asking("POST /", "") }, false},
	{"upgrade", func(w *world) *Try {
		t := w.begin("GET /")
		t.Request.Upgrade = true
		w.ask(t)
		return t
	}, false},
	{"any, its beginning forgotten", func(w *world) *Try { return w.asking("GET /", "") }, true},
	{"any, after timeouts.retry", func(w *world) *Try {
		t := w.asking("GET /", "")
		w.now = w.now.Add(w.route.RetryTimeout + 1)
		return t
	}, false},
}

// asking is a request that is with a worker, after one has failed it so.
func (w *world) asking(line, before string) *Try {
	t := w.begin(line)
	w.ask(t)
	switch before {
	case "closed":
		w.fail(t, closed)
		w.ask(t)
	case "died":
		w.fail(t, died)
		w.ask(t)
	}
	return t
}

// convicts has workers die with such a request, and brings others.
func (w *world) convicts(line string) {
	t := w.asking(line, "died")
	t.Failed(w.now, died)
	t.End()
	w.route.Pool.Publish(newWorld(w.t, Limits{}, len(w.route.Pool.Endpoints())).route.Pool.Endpoints())
}

func failures(t *testing.T) string {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "REQUEST\tATTEMPT\tNEXT")
	for _, r := range requests {
		for _, o := range outcomes {
			w := newWorld(t, Limits{Hold: 10 * time.Second, RetryTimeout: time.Minute}, 5)
			try := r.bring(w)
			o.Lost = r.lost
			fmt.Fprintf(out, "%s\t%s\t%s\n", r.name, o.name, said(try.Failed(w.now, o.outcome)))
		}
	}
	out.Flush()
	return b.String()
}

// looks are the rows of the second table.
var looks = []struct {
	name string
	next func(w *world) Decision
}{
	{"a worker is free", func(w *world) Decision { return w.begin("GET /").Next(w.now) }},
	{"no worker is ready", func(w *world) Decision { w.route.Pool.Publish(nil); return w.begin("GET /").Next(w.now) }},
	{"the same, after the hold", func(w *world) Decision {
		w.route.Pool.Publish(nil)
		return w.later(w.begin("GET /"))
	}},
	{"the same, after a worker may have begun it", func(w *world) Decision {
		t := w.asking("GET /", "")
		w.fail(t, died)
		w.route.Pool.Publish(nil)
		return w.later(t)
	}},
	{"all workers are full", func(w *world) Decision { w.full(); return w.begin("GET /").Next(w.now) }},
	{"and the line, too", func(w *world) Decision {
		w.full()
		w.begin("GET /").Join(w.now, func() {})
		t := w.begin("GET /")
		t.Join(w.now, func() {})
		return t.Next(w.now)
	}},
	{"each worker has failed it", func(w *world) Decision {
		t := w.begin("GET /")
		for range w.route.Pool.Endpoints() {
			w.ask(t)
			w.fail(t, unbegun)
		}
		return t.Next(w.now)
	}},
	{"the retry budget is spent", func(w *world) Decision {
		t := w.asking("GET /", "")
		w.fail(t, closed)
		for w.route.Service.budget.take(0) {
		}
		return t.Next(w.now)
	}},
	{"others like it kill, and two workers are there", func(w *world) Decision {
		w.convicts("GET /")
		return w.begin("GET /").Next(w.now)
	}},
	{"others like it kill, and one worker is there", func(w *world) Decision {
		w.convicts("GET /")
		w.route.Pool.Publish(w.route.Pool.Endpoints()[:1])
		return w.begin("GET /").Next(w.now)
	}},
	{"the same, 3 s later", func(w *world) Decision {
		w.convicts("GET /")
		w.route.Pool.Publish(w.route.Pool.Endpoints()[:1])
		t := w.begin("GET /")
		t.Next(w.now)
		w.now = w.now.Add(sparing)
		return t.Next(w.now)
	}},
	{"the same, and one like it has just killed", func(w *world) Decision {
		w.convicts("GET /")
		w.route.Pool.Publish(w.route.Pool.Endpoints()[:1])
		t := w.begin("GET /")
		t.Next(w.now)
		w.now = w.now.Add(sparing)
		w.route.Service.suspects.killed = w.now
		return t.Next(w.now)
	}},
}

// later is what is decided when the hold has ended.
func (w *world) later(t *Try) Decision {
	t.Next(w.now)
	w.now = w.now.Add(w.route.Hold)
	return t.Next(w.now)
}

// full lets the only worker have one request, which it has.
func (w *world) full() {
	only := balance.NewEndpoint(balance.Config{Worker: "app.1", MaxConns: 1})
	w.route.Pool.Publish([]*balance.Endpoint{only})
	w.asking("GET /first", "")
}

func decisions(t *testing.T) string {
	var b strings.Builder
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "WHEN\tNEXT")
	for _, l := range looks {
		w := newWorld(t, Limits{Hold: 10 * time.Second, Queue: 1, RetryTimeout: time.Minute}, 2)
		fmt.Fprintf(out, "%s\t%s\n", l.name, said(l.next(w)))
	}
	out.Flush()
	return b.String()
}

func said(d Decision) string {
	switch d.Kind {
	case Ask:
		return "ask it"
	case AskAgain:
		return "ask the same worker over a new connection"
	case Wait:
		return "wait for news, and look again"
	case StandIn:
		return "stand in line"
	case Look:
		return "look for another worker"
	}
	if d.Refusal.RetryAfter > 0 {
		return fmt.Sprintf("refuse: %d with Retry-After", d.Refusal.Status)
	}
	return fmt.Sprintf("refuse: %d", d.Refusal.Status)
}

// TestTablesOfThePackage holds doc.go and the rules together.
func TestTablesOfThePackage(t *testing.T) {
	const file = "doc.go"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(b)
	for heading, table := range map[string]string{"REQUEST": failures(t), "WHEN": decisions(t)} {
		commented := regexp.MustCompile(`(?m)^(.*?) *$`).ReplaceAllString(strings.TrimRight(table, "\n"), "//\t$1")
		old := regexp.MustCompile(`(?m)(^//\t` + heading + ` .*\n)(^//\t.*\n)*`)
		want = old.ReplaceAllLiteralString(want, commented+"\n")
	}
	switch {
	case want == string(b):
	case *update:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the rules decide: go test ./internal/proxy/retry -run Tables -update", file)
	}
}
