package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

func (p *program) psCommand() *cobra.Command {
	all, format := false, "table"
	cmd := &cobra.Command{
		Use:     "ps [flags]",
		Aliases: []string{"ls", "list"},
		Short:   "List workers",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.ps(cmd.Context(), all, format)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also workers that are stopped")
	cmd.Flags().StringVar(&format, "format", format, "`FORMAT`: table or json")
	return cmd
}

func (p *program) ps(ctx context.Context, all bool, format string) error {
	if err := checkFormat(format, "table", "json"); err != nil {
		return err
	}
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	workers, err := c.Workers(ctx, all)
	if err != nil {
		return err
	}
	if format == "json" {
		return p.printJSON(workers)
	}
	workers = withInner(workers)
	project, err := c.Project(ctx)
	if err != nil {
		return err
	}
	if all {
		workers = append(workers, waiting(project, workers)...)
	}
	if _, err := fmt.Fprint(p.stdout, workerTable(workers, terminalWidth(p.stdout))); err != nil {
		return err
	}
	if text := troubles(workers); text != "" {
		fmt.Fprint(p.stdout, text)
	}
	if project.Away != "" {
		fmt.Fprintf(p.stderr, "warning: %s; its containers stay in rotation\n", project.Away)
	}
	if project.Admin != "" {
		_, err = fmt.Fprintf(p.stdout, "\nadmin: %s\n", project.Admin)
	}
	return err
}

// waiting is a row for each service that has no worker yet, since it waits for another.
func waiting(p api.Project, workers []api.Worker) []api.Worker {
	var rows []api.Worker
	for _, s := range p.Services {
		if s.State == "waiting" && !slices.ContainsFunc(workers, func(w api.Worker) bool { return w.Service == s.Name }) {
			rows = append(rows, api.Worker{Name: s.Name, Engine: s.Engine, ID: "-", Status: capital(s.Cause), Ports: s.Ports})
		}
	}
	return rows
}

func capital(s string) string { return strings.ToUpper(s[:min(len(s), 1)]) + s[min(len(s), 1):] }

// troubles is a line for each worker whose status alone does not say what is wrong:
// which check failed, or why it was given up.
func troubles(workers []api.Worker) string {
	var b strings.Builder
	for _, w := range workers {
		if w.State == "unhealthy" || w.Failing {
			fmt.Fprintf(&b, "\n%s: %s", w.Name, w.Cause)
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// withInner puts the workers inside of containers below those.
func withInner(workers []api.Worker) []api.Worker {
	var rows []api.Worker
	for _, w := range workers {
		rows = append(append(rows, w), w.Inner...)
	}
	return rows
}

// column is one column of `bulsa ps`.
type column struct {
	title string
	value func(api.Worker) string
}

// workerColumns stand in the order of their weight: those on the right go first
// when the terminal is narrow.
func workerColumns() []column {
	return []column{
		{"NAME", func(w api.Worker) string { return w.Name }},
		{"ENGINE", func(w api.Worker) string { return w.Engine }},
		{"PID/ID", func(w api.Worker) string { return w.ID }},
		{"STATUS", func(w api.Worker) string { return w.Status }},
		{"RESTARTS", func(w api.Worker) string { return strconv.Itoa(w.Restarts) }},
		{"REQ/S", func(w api.Worker) string { return known(w.RequestsPerSecond, rate) }},
		{"P99", func(w api.Worker) string { return known(w.P99Seconds, seconds) }},
		{"LOOP", func(w api.Worker) string { return loopText(w.EventLoop) }},
		{"POOL", func(w api.Worker) string { return poolText(w.EventLoop) }},
		{"CPU", func(w api.Worker) string { return known(w.CPUPercent, percent) }},
		{"MEM", func(w api.Worker) string { return known(w.MemoryBytes, size) }},
		{"PORTS", func(w api.Worker) string { return strings.Join(w.Ports, ", ") }},
	}
}

// leastColumns stay however narrow the terminal is: without them a row says nothing.
const leastColumns = 4

// workerTable is a row for each worker in at most width columns of text; 0: any width.
func workerTable(workers []api.Worker, width int) string {
	columns := workerColumns()
	cells := make([][]string, len(workers)+1)
	widths := make([]int, len(columns))
	for i, c := range columns {
		cells[0] = append(cells[0], c.title)
		widths[i] = len(c.title)
		for j, w := range workers {
			text := c.value(w)
			cells[j+1] = append(cells[j+1], text)
			widths[i] = max(widths[i], len(text))
		}
	}
	n := fitting(widths, width)
	var b strings.Builder
	for _, row := range cells {
		line := ""
		for i, text := range row[:n] {
			line += fmt.Sprintf("%-*s", widths[i]+len(gap), text)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

const gap = "   " // between two columns, as docker ps

// fitting is how many columns from the left fit into width.
func fitting(widths []int, width int) int {
	if width <= 0 {
		return len(widths)
	}
	total := -len(gap)
	for i, w := range widths {
		total += w + len(gap)
		if total > width && i >= leastColumns {
			return i
		}
	}
	return len(widths)
}

// known shows a figure, and a dash for one that nobody knows yet.
func known[T any](v *T, show func(T) string) string {
	if v == nil {
		return "-"
	}
	return show(*v)
}

func rate(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

func seconds(v float64) string {
	switch {
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64) + "s"
	case v >= 0.1:
		return strconv.FormatFloat(v*1000, 'f', 0, 64) + "ms"
	}
	return strconv.FormatFloat(v*1000, 'f', 1, 64) + "ms"
}

// blockedText is from how many seconds on a loop that does not turn is worth more
// than its latency.
const blockedText = 0.25

// loopText is how late a callback is, or how long the loop has been blocked now.
func loopText(l *api.EventLoop) string {
	switch {
	case l == nil:
		return "-"
	case l.Blocked >= blockedText:
		return "blocked " + seconds(l.Blocked)
	}
	return known(l.LoopLatency, seconds)
}

// poolText is how many threads of the pool work, and how many tasks wait for one.
func poolText(l *api.EventLoop) string {
	if l == nil || l.Threads == nil || l.Busy == nil || l.Queued == nil {
		return "-"
	}
	text := fmt.Sprintf("%d/%d", *l.Busy, *l.Threads)
	if *l.Queued > 0 {
		text += fmt.Sprintf("+%d", *l.Queued)
	}
	return text
}

func percent(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + "%" }

func size(n int64) string {
	const kib = 1024
	v := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < kib {
			if unit == "B" {
				return strconv.FormatInt(n, 10) + unit
			}
			return strconv.FormatFloat(v, 'f', 1, 64) + unit
		}
		v /= kib
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + "TiB"
}
