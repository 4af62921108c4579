package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bulsa/bench/measure"
)

// report collects all runs.
type report struct {
	options options
	began   time.Time
	runs    []runOf
}

// runOf is one run of one peer.
type runOf struct {
	workers        int
	scenario, peer string
	result         result
}

func (r *report) add(workers int, scenario, peer string, res result) {
	r.runs = append(r.runs, runOf{workers, scenario, peer, res})
}

// of are the quantiles of a peer's runs, in ms, and the failed requests.
func (r *report) of(workers int, scenario, peer string, q float64) (values []float64, failed int) {
	for _, run := range r.runs {
		if run.workers == workers && run.scenario == scenario && run.peer == peer {
			values = append(values, run.result.quantile(q).Seconds()*1000)
			failed += run.result.failed
		}
	}
	return values, failed
}

// late are the light requests of a peer's runs that met a blocked loop, and all.
func (r *report) late(workers int, scenario, peer string) (late, all int) {
	for _, run := range r.runs {
		if run.workers == workers && run.scenario == scenario && run.peer == peer {
			late += run.result.late()
			all += len(run.result.took)
		}
	}
	return late, all
}

func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Light requests beside blocked event loops\n\n%s. %s. Load average at the start %s.\n\n", r.began.Format("2006-01-02"), measure.Machine(), measure.LoadAverage())
	fmt.Fprintf(&b, "%d light requests a second at random times (the same for all), %d runs of %s each, the peers in turn, after 3 s of light requests to warm up. Times of the light requests in ms from when they were due: p50 / p95 / p99,\n", lightRate, r.options.seeds, r.options.span)
	fmt.Fprintf(&b, "medians over the runs, p99 with its range; then how many of all took %v or more, which met a blocked loop (a busy machine delays by less). Made by `make bench-mixed`.\n\n", lateFrom)
	if r.options.busy > 0 {
		fmt.Fprintf(&b, "Beside everything, %d processes only computed, each in a session of its own (`-busy %d`).\n\n", r.options.busy, r.options.busy)
	}
	for _, s := range scenarios() {
		fmt.Fprintf(&b, "- %s: %s\n", s.name, s.title)
	}
	for _, n := range r.workers() {
		fmt.Fprintf(&b, "\n## %d workers\n\n| |", n)
		for _, s := range scenarios() {
			fmt.Fprintf(&b, " %s |", s.name)
		}
		b.WriteString("\n|---|---|---|---|---|\n")
		for _, c := range contenders() {
			r.row(&b, n, c)
		}
		r.ratios(&b, n)
	}
	return b.String()
}

func (r *report) workers() []int {
	var list []int
	for _, run := range r.runs {
		if !slices.Contains(list, run.workers) {
			list = append(list, run.workers)
		}
	}
	return list
}

func (r *report) row(b *strings.Builder, n int, c contender) {
	fmt.Fprintf(b, "| %s |", c.title)
	for _, s := range scenarios() {
		p99, failed := r.of(n, s.name, c.name, 0.99)
		if len(p99) == 0 {
			b.WriteString(" - |")
			continue
		}
		p50, _ := r.of(n, s.name, c.name, 0.50)
		p95, _ := r.of(n, s.name, c.name, 0.95)
		fmt.Fprintf(b, " %.1f / %.0f / **%.0f** (%.0f to %.0f)", measure.Median(p50), measure.Median(p95), measure.Median(p99), slices.Min(p99), slices.Max(p99))
		late, all := r.late(n, s.name, c.name)
		fmt.Fprintf(b, ", %d of %d", late, all)
		if failed > 0 {
			fmt.Fprintf(b, ", %d failed", failed)
		}
		b.WriteString(" |")
	}
	b.WriteString("\n")
}

// ratios compare p99 with nginx's least_conn, run by run.
func (r *report) ratios(b *strings.Builder, n int) {
	b.WriteString("| p99 of least_conn / of bulsa |")
	for _, s := range scenarios() {
		theirs, _ := r.of(n, s.name, "nginx-least", 0.99)
		ours, _ := r.of(n, s.name, "bulsa", 0.99)
		var ratios []float64
		for i := range min(len(theirs), len(ours)) {
			if ours[i] > 0 {
				ratios = append(ratios, theirs[i]/ours[i])
			}
		}
		if len(ratios) == 0 {
			b.WriteString(" - |")
			continue
		}
		fmt.Fprintf(b, " %.1f (%.1f to %.1f) |", measure.Median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	b.WriteString("\n")
}
