package worker

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var update = flag.Bool("update", false, "write the table into doc.go")

// inputs are the facts of the table, those that decide by what they hold once for
// each way.
var inputs = []struct {
	name string
	fact Fact
}{
	{"Start", Fact{Kind: Start}},
	{"Listening", Fact{Kind: Listening}},
	{"Checked, passed", Fact{Kind: Checked}},
	{"Checked, failed", Fact{Kind: Checked, Result: CheckResult{ExitCode: 1}}},
	{"Reported, healthy", Fact{Kind: Reported, Report: Report{Status: healthHealthy}}},
	{"Reported, unhealthy", Fact{Kind: Reported, Report: Report{Status: healthUnhealthy}}},
	{"LoopSilent", Fact{Kind: LoopSilent}},
	{"LoopAlive", Fact{Kind: LoopAlive}},
	{"Drain", Fact{Kind: Drain}},
	{"Idle", Fact{Kind: Idle}},
	{"Unusable", Fact{Kind: Unusable}},
	{"ForceStop", Fact{Kind: ForceStop}},
	{"Needed", Fact{Kind: Needed}},
	{"Wake, due", Fact{Kind: Wake}},
	{"Exited, crash", Fact{Kind: Exited, Exit: Exit{Code: 1}}},
	{"Exited, by a request", Fact{Kind: Exited, Exit: Exit{Code: 1, Served: true, Busy: true}}},
	{"Exited, killed from outside", Fact{Kind: Exited, Exit: Exit{Code: -1, Signal: "SIGKILL", Served: true}}},
}

// origins are the states, those that remember what decides once for each memory.
func origins(t *testing.T) (names []string, machines []func() *Machine) {
	add := func(name string, m func() *Machine) { names, machines = append(names, name), append(machines, m) }
	ready := []Fact{{Kind: Start}, {Kind: Listening}, {Kind: Checked}}
	for state := Pending; state <= Failed; state++ {
		add(state.String(), func() *Machine { return brought(t, state) })
		switch state {
		case Starting:
			add("starting, was ready before", func() *Machine {
				return after(append(ready, Fact{Kind: Exited, Exit: Exit{Signal: "SIGKILL"}}, Fact{Kind: Wake}))
			})
		case Unhealthy:
			add("unhealthy, loop silent", func() *Machine { return after(append(ready, Fact{Kind: LoopSilent})) })
			add("unhealthy, waited for", func() *Machine {
				m := after(ready)
				m.history.step = 10
				m.Step(epoch, Fact{Kind: Reported, Instance: m.Instance(), Report: Report{Status: healthUnhealthy}})
				return m
			})
		case Backoff:
			add("backoff, was ready", func() *Machine { return after(append(ready, Fact{Kind: Exited, Exit: Exit{Code: 1}})) })
		case Failed:
			add("failed, was ready", func() *Machine {
				m := after(ready)
				m.config.Restart.Budget = 1
				m.Step(epoch, Fact{Kind: Exited, Instance: m.Instance(), Exit: Exit{Code: 1}})
				return m
			})
		}
	}
	return names, machines
}

// after is a checked machine that has taken these facts at epoch.
func after(facts []Fact) *Machine {
	m := New("app.1", checkedConfig(), 1)
	for _, f := range facts {
		f.Instance = m.Instance()
		m.Step(epoch, f)
	}
	return &m
}

// TestTheTableInTheDocumentationIsTheMachine prints what each fact leads to in each
// state. A pair that changes nothing has no line.
func TestTheTableInTheDocumentationIsTheMachine(t *testing.T) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "//\tSTATE\tFACT\tNEXT\tEFFECTS")
	names, machines := origins(t)
	for i, name := range names {
		for _, in := range inputs {
			m := machines[i]()
			now := at(10 * time.Millisecond)
			switch {
			case in.fact.Kind == Checked && m.launched.Equal(epoch) && !m.monitor.phase.running() && m.State() <= Unhealthy:
				m.monitor.due(m.monitor.at)
			case in.fact.Kind == Wake:
				now = at(time.Hour)
			case in.fact.Kind == Needed:
				now = at(time.Second)
			}
			before, was := m.State(), m.cause
			in.fact.Instance = m.Instance()
			effects := m.Step(now, in.fact)
			next := m.State().String()
			switch {
			case m.State() == before && len(effects) == 0:
				if m.cause != was {
					t.Errorf("%s, %s: another cause and nothing else", name, in.name)
				}
				continue
			case m.State() == Backoff && !m.Wake().After(now):
				next += ", for no time"
			}
			fmt.Fprintf(w, "//\t%s\t%s\t%s\t%s\n", name, in.name, next, kinds(effects))
		}
	}
	w.Flush()
	table := regexp.MustCompile(`(?m)^//  +`).ReplaceAllString(text.String(), "//\t")
	table = regexp.MustCompile(`(?m) +$`).ReplaceAllString(table, "")
	old, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	fresh := regexp.MustCompile(`(?m)(^//\t.*\n)+`).ReplaceAllLiteralString(string(old), table)
	if fresh == string(old) {
		return
	}
	if !*update {
		t.Fatalf("doc.go has another table than the machine; with -update it is written anew. The machine's:\n%s", table)
	}
	if err := os.WriteFile("doc.go", []byte(fresh), 0o644); err != nil {
		t.Fatal(err)
	}
}
