package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/lab"
)

func (p *program) labCommand() *cobra.Command {
	output, measure := "", 3*time.Second
	cmd := &cobra.Command{
		Use:   "lab [flags] [NAME...]",
		Short: "Show on small apps what the figures of an event loop mean",
		Long: "lab starts small apps of its own, gives them one kind of work at a time, over\nloopback, and shows what their event loops do.\n\nExperiments: " +
			strings.Join(lab.Names(), ", ") + ". A minute or two for all of them.",
		Example:   "  bulsa lab\n  bulsa lab fib -o report.html",
		ValidArgs: lab.Names(),
		RunE: func(cmd *cobra.Command, names []string) error {
			if measure < time.Second {
				return usage("--measure %v: give at least 1s, the time over which a loop's figures are taken", measure)
			}
			return p.lab(cmd.Context(), lab.Options{Names: names, Measure: measure}, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "also write the report to `FILE`, a page that needs nothing beside it")
	cmd.Flags().DurationVar(&measure, "measure", measure, "`TIME` for each row, after a warm-up")
	return cmd
}

func (p *program) lab(ctx context.Context, o lab.Options, output string) (err error) {
	for _, name := range o.Names {
		if !slices.Contains(lab.Names(), name) {
			return usage("there is no experiment %q; choose from %s", name, strings.Join(lab.Names(), ", "))
		}
	}
	if o.Bulsa, err = os.Executable(); err != nil {
		return fmt.Errorf("cannot find bulsa's own file: %w", err)
	}
	if o.Folder, err = os.Getwd(); err != nil {
		return fmt.Errorf("cannot tell the present folder: %w", err)
	}
	var file *os.File
	if output != "" { // before the work: a path that cannot be written is told at once
		if file, err = os.Create(output); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
		defer file.Close()
	}
	o.Log = p.stderr
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	report, err := lab.Run(ctx, o)
	if err != nil {
		return err
	}
	if err := report.WriteText(p.stdout); err != nil {
		return err
	}
	if file != nil {
		if err := report.WritePage(file); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
	}
	if unmet := report.Unmet(); len(unmet) > 0 {
		return fmt.Errorf("not as expected (is the machine busy?): %s", strings.Join(unmet, "; "))
	}
	return nil
}
