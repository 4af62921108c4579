package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
)

type psOptions struct {
	names      []string // services or workers; none: all
	ids        bool
	services   bool
	all        bool // also what is stopped, or waits
	everywhere bool // all projects
	format     string
}

func (p *program) psCommand() *cobra.Command {
	o := psOptions{format: "table"}
	cmd := &cobra.Command{
		Use:     "ps [flags] [NAME...]",
		Aliases: []string{"ls", "list"},
		Short:   "List workers",
		Long: "List the workers of a project; those of all projects that run, where none is\n" +
			"meant by -p, by a configuration file or by the present folder.",
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return p.ps(cmd.Context(), o)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "also workers that are stopped, and services that wait")
	cmd.Flags().BoolVarP(&o.everywhere, "all-projects", "A", false, "workers of all projects that run")
	cmd.Flags().BoolVarP(&o.ids, "quiet", "q", false, "their ids alone: of containers, or processes")
	cmd.Flags().BoolVar(&o.services, "services", false, "the names of their services alone")
	cmd.Flags().StringVar(&o.format, "format", o.format, "`FORMAT`: table or json")
	return cmd
}

func (p *program) ps(ctx context.Context, o psOptions) error {
	if err := checkFormat(o.format, "table", "json"); err != nil {
		return err
	}
	if o.everywhere {
		return p.psAll(ctx, o, client.Running())
	}
	c, err := p.target(ctx)
	if several, ok := errors.AsType[*severalRun](err); ok {
		return p.psAll(ctx, o, several.names)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	project, workers, err := list(ctx, c, o)
	if err != nil {
		return err
	}
	if o.ids || o.services {
		return p.listPlainly(workers, o.services)
	}
	if o.format == "json" {
		return p.printJSON(workers)
	}
	if err := p.printWorkers(workers, workerColumns()); err != nil {
		return err
	}
	if text := troubles(workers); text != "" {
		fmt.Fprint(p.stdout, text)
	}
	p.warnAway(project)
	if project.Admin != "" {
		_, err = fmt.Fprintf(p.stdout, "\nadmin: %s\n", project.Admin)
	}
	return err
}

// psAll lists the workers of several projects. One that does not answer keeps the others
// from nothing.
func (p *program) psAll(ctx context.Context, o psOptions, names []string) error {
	all := []api.Worker{}
	var silent []error
	for _, name := range names {
		c, err := client.Dial(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		project, workers, err := list(ctx, c, o)
		c.Close()
		if err != nil {
			silent = append(silent, err)
			continue
		}
		for i := range workers {
			workers[i].Project = name
		}
		all = append(all, workers...)
		p.warnAway(project)
	}
	if o.format == "json" {
		return errors.Join(append(silent, p.printJSON(all))...)
	}
	columns := append([]column{{"PROJECT", func(w api.Worker) string { return w.Project }}}, workerColumns()...)
	return errors.Join(append(silent, p.printWorkers(all, columns))...)
}

// list is the workers of one project, for the table with what waits and what is inside.
func list(ctx context.Context, c *client.Client, o psOptions) (api.Project, []api.Worker, error) {
	project, err := c.Project(ctx)
	if err != nil {
		return project, nil, err
	}
	workers, err := c.Workers(ctx, o.all)
	if err != nil {
		return project, nil, err
	}
	if workers, err = namedWorkers(project, workers, o.names); err != nil || o.format == "json" || o.ids || o.services {
		return project, workers, err
	}
	workers = withInner(workers)
	if o.all && len(o.names) == 0 {
		workers = append(workers, waiting(project, workers)...)
	}
	return project, workers, nil
}

// listPlainly prints a line for each worker, or for each service: for scripts.
func (p *program) listPlainly(workers []api.Worker, services bool) error {
	var lines []string
	for _, w := range workers {
		line := w.ID
		if services {
			line = w.Service
		}
		if line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(p.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) printWorkers(workers []api.Worker, columns []column) error {
	_, err := fmt.Fprint(p.stdout, workerTable(workers, columns, terminalWidth(p.stdout)))
	return err
}

func (p *program) warnAway(project api.Project) {
	if project.Away != "" {
		fmt.Fprintf(p.stderr, "warning: %s; its containers stay in rotation\n", project.Away)
	}
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

// workerTable is a row for each worker in at most width columns of text; 0: any width.
// What does not fit is named below it.
func workerTable(workers []api.Worker, columns []column, width int) string {
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
	n := fitting(columns, widths, width)
	var b strings.Builder
	for _, row := range cells {
		line := ""
		for i, text := range row[:n] {
			line += fmt.Sprintf("%-*s", widths[i]+len(gap), text)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	if n < len(columns) {
		b.WriteString(leftOut(columns[n:], width))
	}
	return b.String()
}

// leftOut names the columns that a terminal has no room for, as far as there is room for that.
func leftOut(columns []column, width int) string {
	var titles []string
	for _, c := range columns {
		titles = append(titles, c.title)
	}
	line := "(no room for " + strings.Join(titles, " ") + ")"
	if len(line) > width {
		line = fmt.Sprintf("(no room for %d columns)", len(columns))
	}
	return line + "\n"
}

const gap = "   " // between two columns, as docker ps

// lastNeeded is the column up to which a row is shown however narrow the terminal is.
const lastNeeded = "STATUS"

// fitting is how many columns from the left fit into width.
func fitting(columns []column, widths []int, width int) int {
	if width <= 0 {
		return len(widths)
	}
	least := slices.IndexFunc(columns, func(c column) bool { return c.title == lastNeeded }) + 1
	total := -len(gap)
	for i, w := range widths {
		total += w + len(gap)
		if total > width && i >= least {
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
