package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/daemon"
)

// topCommand lists processes, as docker compose top does. What is alive on a screen is
// bulsa stats, and the status page.
func (p *program) topCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "top [flags] [NAME...]",
		Short:             "List the processes of workers",
		ValidArgsFunction: p.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return p.top(cmd.Context(), args) },
	}
	p.addGlobals(cmd)
	return cmd
}

func (p *program) top(ctx context.Context, names []string) error {
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	workers, err := workersOf(ctx, c, names)
	if err != nil {
		return err
	}
	var operator *daemon.Operator
	for _, w := range workers {
		var titles []string
		var rows [][]string
		switch {
		case isContainer(w) && w.StartedAt != nil:
			if operator == nil {
				if operator, err = daemon.NewOperator(ctx, c.Name()); err != nil {
					return err
				}
				defer operator.Close()
			}
			if titles, rows, err = operator.Top(ctx, w.Name); err != nil {
				return err
			}
		case w.PID > 0 && !isContainer(w):
			if titles, rows, err = groupOf(w.PID); err != nil {
				return fmt.Errorf("cannot list the processes of %s: %w", w.Name, err)
			}
		default:
			continue
		}
		fmt.Fprintf(p.stdout, "%s\n%s\n", w.Name, tableOf(append([][]string{titles}, rows...)))
	}
	return nil
}

func (p *program) statsCommand() *cobra.Command {
	once, all := false, false
	cmd := &cobra.Command{
		Use:               "stats [flags] [NAME...]",
		Short:             "Show what workers take and do, again and again",
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.stats(cmd.Context(), args, once || terminalWidth(p.stdout) == 0)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().BoolVar(&once, "no-stream", false, "once; so it is where this is no terminal")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "accepted; all workers are shown")
	return cmd
}

// statsEvery is how often the figures are shown; bulsa samples them once a second.
const statsEvery = time.Second

func (p *program) stats(ctx context.Context, names []string, once bool) error {
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		workers, err := workersOf(ctx, c, names)
		if err != nil {
			return err
		}
		rows := [][]string{{"NAME", "CPU", "MEM", "REQ/S", "P99", "IN FLIGHT", "LOOP"}}
		for _, w := range workers {
			rows = append(rows, []string{w.Name, known(w.CPUPercent, percent), known(w.MemoryBytes, size), known(w.RequestsPerSecond, rate),
				known(w.P99Seconds, seconds), fmt.Sprint(w.InFlight), loopText(w.EventLoop)})
		}
		text := tableOf(rows)
		if !once {
			text = "\x1b[H\x1b[J" + strings.ReplaceAll(text, "\n", "\r\n")
		}
		if _, err := fmt.Fprint(p.stdout, text); err != nil || once {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(statsEvery):
		}
	}
}
