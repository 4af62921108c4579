package lab

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// WriteText prints the report for a terminal.
func (r Report) WriteText(w io.Writer) error {
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n%s (%s)\n%s\n", t.Title, t.Name, t.Claim)
		if t.Note != "" {
			fmt.Fprintln(w, t.Note)
		}
		fmt.Fprintln(w)
		if err := t.writeRows(w); err != nil {
			return err
		}
		for _, f := range t.Findings {
			fmt.Fprintf(w, "  %s %s\n", mark(f.Met), f.Text)
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.footer())
	return err
}

func (t Table) writeRows(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, line := range t.lines() {
		for j, cell := range line {
			if j > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, cell)
		}
		fmt.Fprintln(tw)
	}
	return tw.Flush()
}

// lines are the title line and the rows, as text.
func (t Table) lines() [][]string {
	var lines [][]string
	if len(t.Loops) > 0 {
		lines = append(lines, []string{"", "req/s", "p99", "ticks/s", "period", "tick", "loop latency p50", "work latency", "utilization"})
	}
	for _, r := range t.Loops {
		p99 := "-"
		if r.P99 > 0 {
			p99 = short(r.P99)
		}
		lines = append(lines, []string{r.Name, fmt.Sprintf("%.1f", r.Requests), p99, fmt.Sprintf("%.0f", r.Frequency), period(r.Frequency), short(r.Tick), short(r.Loop), short(r.Work), fmt.Sprintf("%.0f %%", 100*r.Utilization)})
		if r.Failed > 0 {
			lines[len(lines)-1][0] += fmt.Sprintf(" (%d failed)", r.Failed)
		}
	}
	if len(t.Tasks) > 0 {
		lines = append(lines, []string{"", "number", "created in", "memory each", "stack at the start", "switch"})
	}
	for _, r := range t.Tasks {
		lines = append(lines, []string{r.Name, fmt.Sprint(r.Count), short(r.Create), bytesText(r.Memory), bytesText(r.Stack), short(r.Switch)})
	}
	return lines
}

// period is the time from the beginning of an iteration to that of the next.
func period(frequency float64) string {
	if frequency <= 0 {
		return "-"
	}
	return short(time.Duration(float64(time.Second) / frequency))
}

func (r Report) footer() string {
	text := r.At.Format("2006-01-02 15:04") + ", " + r.Machine
	if r.Node != "" {
		text += ", Node " + r.Node
	}
	return text + "; figures of a loop are means over its seconds; a machine that is busy with something else shows in all of them"
}

func mark(met bool) string {
	if met {
		return "yes:"
	}
	return "NO: "
}

// short is a duration with three digits at most.
func short(d time.Duration) string {
	switch {
	case d <= 0:
		return "0"
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.1f us", float64(d)/float64(time.Microsecond))
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f us", float64(d)/float64(time.Microsecond))
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func bytesText(n int64) string {
	switch {
	case n <= 0:
		return "-"
	case n < 10<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/1024)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
