package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
)

type profileOptions struct {
	worker  string
	seconds float64
	output  string
	heap    bool
	phases  bool
	format  string
}

// defaultProfile and defaultPhases are how long a look takes when nobody says.
const (
	defaultProfile = 5.0
	defaultPhases  = 1.0
)

func (p *program) profileCommand() *cobra.Command {
	o := profileOptions{format: "text"}
	cmd := &cobra.Command{
		Use:   "profile [flags] WORKER",
		Short: "Look into a Node worker: CPU profile, heap snapshot, phases of its event loop",
		Long: "Look into a Node worker, also into one that an endless loop blocks.\n\n" +
			"Without a flag: a CPU profile, as a .cpuprofile for Chrome DevTools. The worker's\n" +
			"inspector is open on loopback meanwhile, and closed again.",
		Example:           "  bulsa profile app.2\n  bulsa profile app.2 --seconds 30 -o slow.cpuprofile\n  bulsa profile app.2 --phases",
		Args:              oneArg("one worker, as in bulsa profile app.1"),
		ValidArgsFunction: p.completeWorkers,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.worker = args[0]
			if err := o.complete(cmd.Flags().Changed("seconds")); err != nil {
				return err
			}
			c, err := p.target(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			return p.profile(cmd.Context(), c, o)
		},
	}
	p.addGlobals(cmd)
	f := cmd.Flags()
	f.Float64Var(&o.seconds, "seconds", defaultProfile, "how many seconds `N`; 1 with --phases")
	f.StringVarP(&o.output, "output", "o", "", "`FILE` for the profile or snapshot, - for standard output; named after the worker and the time when not given")
	f.BoolVar(&o.heap, "heap", false, "a heap snapshot; the worker stands still meanwhile")
	f.BoolVar(&o.phases, "phases", false, "how the event loop spends its time, as a table")
	f.StringVar(&o.format, "format", o.format, "`FORMAT` of what is printed: text or json")
	return cmd
}

// complete fills in what depends on other flags, and refuses what does not fit.
func (o *profileOptions) complete(chosen bool) error {
	if err := checkFormat(o.format, "text", "json"); err != nil {
		return err
	}
	switch {
	case o.heap && o.phases:
		return usage("profile: --heap and --phases are two looks: take one after the other")
	case o.heap && chosen:
		return usage("profile: --seconds has no meaning with --heap")
	case o.phases && o.output != "":
		return usage("profile: --phases prints a table and writes no file: leave -o out")
	case o.output == "-" && o.format == "json":
		return usage("profile: -o - and --format json both want standard output")
	case o.phases && !chosen:
		o.seconds = defaultPhases
	}
	if o.output == "" {
		kind := ".cpuprofile"
		if o.heap {
			kind = ".heapsnapshot"
		}
		o.output = o.worker + "-" + time.Now().Format("20060102-150405") + kind
	}
	return nil
}

func (p *program) profile(ctx context.Context, c *client.Client, o profileOptions) error {
	span := time.Duration(o.seconds * float64(time.Second))
	switch {
	case o.heap:
		return p.heap(ctx, c, o)
	case o.phases:
		ph, err := c.Phases(ctx, o.worker, span)
		if err != nil {
			return err
		}
		if o.format == "json" {
			return p.printJSON(ph)
		}
		_, err = io.WriteString(p.stdout, phasesText(ph))
		return err
	}
	seen, err := c.Profile(ctx, o.worker, span)
	if err != nil {
		return err
	}
	err = p.into(o.output, func(w io.Writer) error {
		_, err := w.Write(seen.Profile)
		return err
	})
	if err != nil || o.output == "-" {
		return err
	}
	if o.format == "json" {
		seen.Profile = nil
		return p.printJSON(written[api.Profile]{seen, o.output})
	}
	_, err = fmt.Fprintf(p.stdout, "%swrote %s: open it in Chrome DevTools, under Performance\n", profileText(seen), o.output)
	return err
}

// written is an answer of which a part went into a file.
type written[T any] struct {
	Seen T      `json:"seen"`
	File string `json:"file"`
}

func (p *program) heap(ctx context.Context, c *client.Client, o profileOptions) error {
	var count counter
	err := p.into(o.output, func(w io.Writer) error {
		return c.Heap(ctx, o.worker, io.MultiWriter(w, &count))
	})
	if err != nil || o.output == "-" {
		return err
	}
	if o.format == "json" {
		return p.printJSON(written[map[string]any]{map[string]any{"worker": o.worker, "bytes": int64(count)}, o.output})
	}
	_, err = fmt.Fprintf(p.stdout, "wrote %s, %s: open it in Chrome DevTools, under Memory\n", o.output, size(int64(count)))
	return err
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// into writes a file as a whole or not at all; "-" is standard output. A heap
// holds secrets: nobody else may read the file.
func (p *program) into(file string, write func(io.Writer) error) error {
	if file == "-" {
		return write(p.stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("cannot write %s: %s", file, reason(err))
	}
	defer os.Remove(f.Name()) // in vain when it has got its name
	err = write(f)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	return err
}

// profileText is a CPU profile in a few lines.
func profileText(s api.Profile) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s did something in %.0f%% of %s", s.Worker, 100*s.Busy, seconds(s.Seconds))
	if s.Collector > 0.01 {
		fmt.Fprintf(&b, ", %.0f%% of that to collect garbage", 100*s.Collector)
	}
	b.WriteString("\n")
	if len(s.Stack) > 0 {
		b.WriteString("\nwhere it was at the start:\n")
		for _, f := range s.Stack {
			fmt.Fprintf(&b, "  %s\n", frameText(f)+columnText(f))
		}
	}
	if len(s.Hot) > 0 {
		b.WriteString("\nwhat took its time:\n")
		for _, h := range s.Hot {
			fmt.Fprintf(&b, "  %5.1f%%  %s\n", 100*h.Share, frameText(h.Frame))
		}
	}
	return b.String() + "\n"
}

// frameText is a place in a program: "fib  /srv/app.js:31".
func frameText(f api.Frame) string {
	name := f.Function
	if name == "" {
		name = "(anonymous)"
	}
	if f.File == "" {
		return name
	}
	if f.Line == 0 {
		return name + "  " + f.File
	}
	return fmt.Sprintf("%s  %s:%d", name, f.File, f.Line)
}

func columnText(f api.Frame) string {
	if f.Column == 0 {
		return ""
	}
	return fmt.Sprintf(":%d", f.Column)
}

// phasesText is the table of phases.
func phasesText(ph api.Phases) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d iterations of its event loop in %s\n\n", ph.Worker, ph.Iterations, seconds(ph.Seconds))
	const row = "%-19s %9s %7s %8s  %-8s %s\n"
	fmt.Fprintf(&b, row, "PHASE", "TIME", "SHARE", "COUNT", "KNOWN", "")
	rows := func(list []api.Phase) {
		for _, x := range list {
			time, share, count := "-", "-", "-"
			if x.Seconds != nil {
				time, share = seconds(*x.Seconds), percent(100*(*x.Seconds)/ph.Seconds)
			}
			if x.Count > 0 {
				count = fmt.Sprint(x.Count)
			}
			fmt.Fprintf(&b, row, x.Name, time, share, count, x.Known, x.Note)
		}
	}
	rows(ph.Phases)
	b.WriteString("\npart of the phases above:\n")
	rows(ph.Inside)
	if len(ph.Tasks) > 0 {
		const task = "%-12s %8s %9s %9s %9s\n"
		fmt.Fprintf(&b, "\n"+task, "THREAD POOL", "TASKS", "RUN", "WAIT", "LONGEST")
		for _, t := range ph.Tasks {
			fmt.Fprintf(&b, task, t.Kind, fmt.Sprint(t.Count), seconds(t.RunSeconds), seconds(t.WaitSeconds), seconds(t.LongestWait))
		}
	}
	return b.String()
}
