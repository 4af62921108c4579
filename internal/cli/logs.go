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
	"bulsa/internal/daemon"
)

type logsOptions struct {
	follow     bool
	tail       string
	timestamps bool
	names      []string
	bare       bool     // without the worker's name
	since      timeFlag // lines from then on
	until      timeFlag // lines up to then; zero: all
}

func (p *program) logsCommand() *cobra.Command {
	o := logsOptions{tail: "all"}
	cmd := &cobra.Command{
		Use:               "logs [flags] [NAME...]",
		Short:             "Show the output of workers",
		Long:              "Show the output of workers, each line with the worker's name in front.\n\nNAME is a service or a worker (app, app.1); without one all are meant.\nOf a project that does not run any more it is what was kept.",
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return p.logs(cmd.Context(), o)
		},
	}
	p.addProjectFlags(cmd, "")
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with new lines until Ctrl-C")
	cmd.Flags().StringVarP(&o.tail, "tail", "n", o.tail, "the last `N` lines of each worker, or all")
	cmd.Flags().BoolVarP(&o.timestamps, "timestamps", "t", false, "show when each line was written")
	cmd.Flags().Var(&o.since, "since", "lines from this `TIME` on: 2026-11-30T10:00:00Z, or 10m ago")
	cmd.Flags().Var(&o.until, "until", "lines up to this `TIME`")
	cmd.Flags().BoolVar(&o.bare, "no-log-prefix", false, "without the worker's name in front")
	cmd.Flags().Bool("no-color", false, "accepted: NO_COLOR and what is no terminal have none")
	return cmd
}

func (p *program) logs(ctx context.Context, o logsOptions) error {
	tail := -1
	if o.tail != "all" {
		n, err := strconv.Atoi(o.tail)
		if err != nil || n < 0 {
			return usage("--tail: %q is neither a number of lines nor all", o.tail)
		}
		tail = n
	}
	c, err := p.target(ctx)
	if err != nil {
		if k, there := p.ended(ctx, err); there && !o.follow {
			return p.keptLogs(ctx, k, o, tail)
		}
		return err
	}
	defer c.Close()
	ctx, cancel := whileRead(ctx, p.stdout)
	defer cancel()
	project, err := c.Project(ctx)
	if err != nil {
		return err
	}
	show := p.lineWriter(project.WorkerNames(), o)
	return c.Logs(ctx, client.LogOptions{Tail: tail, Follow: o.follow, Names: o.names}, show)
}

// lineWriter prints lines with the worker's name in front.
func (p *program) lineWriter(workers []string, o logsOptions) func(api.LogLine) error {
	prefix := newPrefixer(workers, hasColor(p.stdout))
	return func(l api.LogLine) error {
		if l.At.Before(o.since.Time) || !o.until.IsZero() && l.At.After(o.until.Time) {
			return nil
		}
		at, front := "", ""
		if !o.bare {
			front = prefix.of(l.Worker)
		}
		if o.timestamps {
			at = l.At.Format("2006-01-02T15:04:05.000Z07:00") + " "
		}
		_, err := fmt.Fprintf(p.stdout, "%s%s%s\n", front, at, l.Text)
		return err
	}
}

// keptLogs prints what is kept of a project that does not run.
func (p *program) keptLogs(ctx context.Context, k daemon.Kept, o logsOptions, tail int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := k.Workers()
	for _, name := range o.names {
		if !slices.ContainsFunc(workers, func(w string) bool { return w == name || strings.HasPrefix(w, name+".") }) {
			return errors.New(k.NoSuch(name))
		}
	}
	lines, err := k.Logs(ctx, tail, o.names)
	if err != nil {
		return err
	}
	p.sayKept(k)
	show := p.lineWriter(workers, o)
	for l := range lines {
		if err := show(l); err != nil {
			return err
		}
	}
	return nil
}
