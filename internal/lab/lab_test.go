package lab

import (
	"context"
	"strings"
	"testing"
	"time"
)

func someReport() Report {
	return Report{
		At: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC), Machine: "2 x a core, linux", Node: "v20.20.2",
		Tables: []Table{
			{
				Name: "ticks", Title: "How often <the loop> turns", Claim: "It depends.", Note: "The tasks are <images>.",
				Loops: []Row{
					{Name: "idle", Frequency: 3, Tick: 40 * time.Microsecond},
					{Name: "10 connections", Requests: 1234.56, P99: 12 * time.Millisecond, Frequency: 1900, Tick: 500 * time.Microsecond, Loop: 1700 * time.Microsecond, Utilization: 0.97, Failed: 2},
				},
				Findings: []Finding{{"it turns", true}, {"it <stops>", false}},
			},
			{Name: "threads", Title: "Goroutines", Tasks: []TaskRow{{Name: "goroutine", Count: 100000, Create: 600, Memory: 2700, Stack: 2048, Switch: 150}}},
		},
	}
}

func TestTheReportAsText(t *testing.T) {
	var b strings.Builder
	if err := someReport().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"10 connections (2 failed)   1234.6   12 ms   1900      526 us   500 us   1.7 ms             0              97 %",
		"It depends.\nThe tasks are <images>.\n", "yes: it turns", "NO:  it <stops>", "goroutine   100000   600 ns", "2.6 KiB", "2026-11-25 12:00", "Node v20.20.2",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if unmet := someReport().Unmet(); len(unmet) != 1 || unmet[0] != "ticks: it <stops>" {
		t.Errorf("unmet: %q", unmet)
	}
}

func TestTheReportAsAPage(t *testing.T) {
	var b strings.Builder
	if err := someReport().WritePage(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"How often &lt;the loop&gt; turns", "The tasks are &lt;images&gt;.", "<svg", `class="unmet"`, "it &lt;stops&gt;", "1900"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in the page", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "<script", "src="} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the page needs something beside itself: %q", bad)
		}
	}
}

func TestAnUnknownExperiment(t *testing.T) {
	_, err := Run(context.Background(), Options{Names: []string{"fibs"}})
	if err == nil || !strings.Contains(err.Error(), "choose from ticks, pool, fib, workers, threads") {
		t.Errorf("error: %v", err)
	}
}

func TestGoroutinesAreLighterThanThreads(t *testing.T) {
	r, err := Run(t.Context(), Options{Names: []string{"threads"}})
	if err != nil {
		t.Fatal(err)
	}
	rows := r.Tables[0].Tasks
	if len(rows) != 2 || rows[0].Create <= 0 || rows[1].Switch <= 0 {
		t.Errorf("rows: %+v", rows)
	}
}
