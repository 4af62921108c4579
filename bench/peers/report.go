package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"bulsa/bench/measure"
)

// report collects what was measured.
type report struct {
	began   time.Time
	options options
	proxies []*proxied // bulsa first
	losses  []lossRun
	notes   []string
}

func (r *report) note(text string) {
	fmt.Println(text)
	r.notes = append(r.notes, text)
}

// text is the report in Markdown.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# bulsa beside its peers, %s\n\n", r.began.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, "Machine: %s. Load average at the end: %s. Measured by `make bench`.\n", measure.Machine(), measure.LoadAverage())
	if len(r.proxies) > 0 {
		r.writeCost(&b)
	}
	if len(r.losses) > 0 {
		r.writeLoss(&b)
	}
	for _, n := range r.notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	return b.String()
}

func (r *report) writeCost(b *strings.Builder) {
	fmt.Fprintf(b, `
## Processor time of a forwarded request

GET, 13 bytes of answer, %d keep-alive connections, flat out (wrk, one thread), two upstream servers, no access
log. %d runs of %s of each proxy, taking turns. User and system time of the proxy's processes alone, from /proc. The
ratio is the median over the rounds of bulsa's run divided by the peer's run of the same round.

| proxy | us of CPU a request, median (lowest to highest) | bulsa needs, times as much | requests a second, median | failed |
|---|---|---|---|---|
`, connections, r.options.rounds, r.options.span)
	bulsa := r.proxies[0]
	for _, p := range r.proxies {
		var cost, rate, ratio []float64
		failed := 0
		for i, run := range p.runs {
			cost = append(cost, run.perRequest())
			rate = append(rate, float64(run.requests)/run.span.Seconds())
			ratio = append(ratio, bulsa.runs[i].perRequest()/run.perRequest())
			failed += run.failed
		}
		against := "-"
		if p != bulsa {
			against = fmt.Sprintf("%.2f", measure.Median(ratio))
		}
		fmt.Fprintf(b, "| %s | %.1f (%.1f to %.1f) | %s | %.0f | %d |\n", p.version, measure.Median(cost), slices.Min(cost), slices.Max(cost), against, measure.Median(rate), failed)
	}
}

func (r *report) writeLoss(b *strings.Builder) {
	fmt.Fprintf(b, `
## Requests lost when workers are killed

The same Node app with %d workers, default settings. SIGKILL to a random worker every %s; meanwhile %d keep-alive
clients, each with a pause of %s between an answer and its next request, that never retry (bench/lossload). "Closed
while idle" are connections that the client found closed before it sent something on them: nothing was lost on those.

| | workers killed | requests answered | lost | how | closed while idle | slowest answer |
|---|---|---|---|---|---|---|
`, workers, r.options.every, connections, pause)
	for _, l := range r.losses {
		fmt.Fprintf(b, "| %s %s | %d | %d | %d | %s | %d | %.2f s |\n", l.name, strings.TrimPrefix(l.version, l.name+" "), l.kills, l.Answered, l.Lost, reasons(l.Reasons), l.Reopened, l.Slowest)
	}
}

func reasons(counts map[string]int) string {
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", reason, counts[reason]))
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}
