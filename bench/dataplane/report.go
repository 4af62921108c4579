package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bulsa/bench/measure"
)

// ratio is bulsa's figure over a peer's of the same round, over all rounds.
type ratio struct{ median, lowest, highest float64 }

func (r ratio) String() string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", r.median, r.lowest, r.highest)
}

// against compares bulsa, who is first, with a peer.
func (r row) against(m measurement, peer string, of metric) (ratio, bool) {
	own, others := m.Runs[r.contenders[0]], m.Runs[peer]
	var all []float64
	for i := range min(len(own), len(others)) {
		if of.of(others[i]) > 0 {
			all = append(all, of.of(own[i])/of.of(others[i]))
		}
	}
	if len(all) == 0 {
		return ratio{}, false
	}
	return ratio{measure.Median(all), slices.Min(all), slices.Max(all)}, true
}

func (r row) has(name string) bool { return slices.Contains(r.contenders, name) }

// brief is a run in a few words.
func (r row) brief(f figures) string {
	var out []string
	for _, m := range r.metrics {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %.1f %s", m.name, m.of(f), m.unit)))
	}
	if f.disturbed() > 0.05 {
		out = append(out, fmt.Sprintf("others took %.0f %% of a core", 100*f.disturbed()))
	}
	return strings.Join(append(out, invalid(f)...), ", ")
}

// invalid says why a run is not a measurement.
func invalid(f figures) []string {
	var out []string
	if f.Errors > 0 {
		out = append(out, fmt.Sprintf("%d ERRORS (%s)", f.Errors, f.Why))
	}
	if f.Requests > 0 && f.Behind > float64(f.Requests)/100 {
		out = append(out, fmt.Sprintf("%.0f requests BEHIND the rate", f.Behind))
	}
	return out
}

// faults are those of all runs of a contender.
func faults(runs []figures) string {
	var sum figures
	for _, f := range runs {
		sum.Requests += f.Requests
		sum.Errors += f.Errors
		sum.Behind += f.Behind
		if sum.Why == "" {
			sum.Why = f.Why
		}
	}
	return strings.Join(invalid(sum), "; ")
}

// section is one row's table: each contender's figures, and how many times as
// much bulsa needs.
func (r row) section(m measurement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s (`%s`)\n\n%d runs of %s each, %s.\n\n|  |", r.title, r.name, len(m.Runs[r.contenders[0]]), m.Span, m.Began.Format("2006-01-02 15:04 MST"))
	for _, c := range r.metrics {
		fmt.Fprintf(&b, " %s |", strings.TrimSuffix(c.name+", "+c.unit, ", "))
	}
	fmt.Fprintf(&b, " bulsa's %s over it |\n%s\n", r.metrics[0].name, strings.Repeat("|---", len(r.metrics)+2)+"|")
	for _, name := range r.contenders {
		runs := m.Runs[name]
		fmt.Fprintf(&b, "| %s |", titleOf(name))
		for _, c := range r.metrics {
			fmt.Fprintf(&b, " %s |", spread(runs, c))
		}
		last := "-"
		if of, ok := r.against(m, name, r.metrics[0]); ok && name != r.contenders[0] {
			last = of.String()
		}
		if why := faults(runs); why != "" {
			last = "INVALID: " + why
		}
		fmt.Fprintf(&b, " %s |\n", last)
	}
	return b.String()
}

// spread is the median with the lowest and the highest.
func spread(runs []figures, c metric) string {
	var all []float64
	for _, f := range runs {
		all = append(all, c.of(f))
	}
	if len(all) == 0 {
		return "-"
	}
	digits := 0
	if measure.Median(all) < 100 {
		digits = 1
	}
	return fmt.Sprintf("%.*f (%.*f to %.*f)", digits, measure.Median(all), digits, slices.Min(all), digits, slices.Max(all))
}

func titleOf(name string) string {
	for _, c := range contenders(options{}) {
		if c.name == name {
			return c.title
		}
	}
	return name
}

// writeReport writes the file of the day.
func (s *state) writeReport() error {
	text := s.report(time.Now().UTC())
	path := filepath.Join(s.options.results, time.Now().UTC().Format("2006-01-02")+"-dataplane.md")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	fmt.Printf("\n%s\nwritten to %s\n", s.summary(), path)
	return nil
}

func (s *state) report(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The cost of forwarding, %s\n\n", now.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, "Machine: %s. bulsa's source: %s. Measured by `make bench`.\n\n", measure.Machine(), measure.FirstLine("git", "describe", "--always", "--dirty"))
	fmt.Fprintf(&b, "%s.\n\n", strings.Join(s.versions(), ", "))
	b.WriteString(protocol)
	b.WriteString(s.options.repeated())
	fmt.Fprintf(&b, "\n## What is promised\n\n%s\n## What was measured\n", s.summary())
	for _, r := range rows() {
		if m, ok := s.rows[r.name]; ok {
			fmt.Fprintf(&b, "\n%s", r.section(m))
		}
	}
	return b.String()
}

const protocol = `The proxy runs on the first core alone, the load generator and the servers (bench/dataplane/c, one thread each) on the
second. Requests go over keep-alive connections to four servers that answer at once. Contenders take turns; a ratio is
the median over the rounds of bulsa's figure over the peer's of the same round, with the lowest and the highest. CPU is
user and system time of all processes of the proxy. Every answer's status and length are checked. At a fixed rate
latency counts from the moment when a request was due. bulsa runs with its defaults, as ` + "`bulsa up`" + ` with external servers; the
peers' configurations are in bench/dataplane/conf.
`

// repeated says what became of runs that something else on the machine disturbed.
func (o options) repeated() string {
	if o.repeats == 0 {
		return "No run was repeated, also where others took a part of a core.\n"
	}
	return fmt.Sprintf("A run during which others took more than 15 %% of a core is repeated, at most %d times.\n", o.repeats)
}

func (s *state) versions() []string {
	all := map[string]string{}
	for _, m := range s.rows {
		maps.Copy(all, m.Versions)
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}

// summary holds what was measured against what is promised.
func (s *state) summary() string {
	var b strings.Builder
	b.WriteString("| work | figure | bulsa over | ratio | must | aim | |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows() {
		m, ok := s.rows[r.name]
		if !ok {
			continue
		}
		for _, promise := range r.bounds {
			of, ok := r.against(m, promise.peer, promise.metric)
			if !ok {
				continue
			}
			verdict := promise.judge(of)
			if faults(m.Runs[r.contenders[0]]) != "" || faults(m.Runs[promise.peer]) != "" {
				verdict = "invalid"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.title, promise.metric.name, titleOf(promise.peer), of, limit(promise.must), limit(promise.aim), verdict)
		}
	}
	return b.String()
}

func (p bound) judge(r ratio) string {
	switch {
	case p.aim > 0 && r.median <= p.aim:
		return "better than the aim"
	case p.must > 0 && r.median <= p.must:
		return "kept"
	case p.must > 0:
		return "MISSED"
	}
	return "aim not reached"
}

func limit(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}
