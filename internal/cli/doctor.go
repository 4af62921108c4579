package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

func (p *program) doctorCommand() *cobra.Command {
	skip, format := false, "text"
	cmd := &cobra.Command{
		Use:   "doctor [flags] [SERVICE]",
		Short: "Say what is slow or ill, why, and what to do",
		Long: "Say what is slow or ill, why, and what to do, from what was measured in the last\n" +
			"five minutes. The busiest Node worker is profiled for a second, if it computes much.\n\n" +
			"The exit status is 0 with and without findings.",
		Example:           "  bulsa doctor\n  bulsa doctor app --no-profile --format json",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.doctor(cmd.Context(), strings.Join(args, ""), !skip, format)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().BoolVar(&skip, "no-profile", false, "look into no worker")
	cmd.Flags().StringVar(&format, "format", format, "`FORMAT`: text or json")
	return cmd
}

func (p *program) doctor(ctx context.Context, service string, profile bool, format string) error {
	if err := checkFormat(format, "text", "json"); err != nil {
		return err
	}
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	report, err := c.Doctor(ctx, service, profile)
	if err != nil {
		return err
	}
	if format == "json" {
		return p.printJSON(report)
	}
	_, err = fmt.Fprint(p.stdout, reportText(report))
	return err
}

// reportText is what the doctor found, for people.
func reportText(r api.Report) string {
	var b strings.Builder
	for i, f := range r.Findings {
		if i > 0 {
			b.WriteString("\n")
		}
		who := f.Worker
		if who == "" {
			who = f.Service
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", who, f.Kind, f.Summary)
		for _, line := range f.Evidence {
			fmt.Fprintf(&b, "    seen  %s\n", line)
		}
		for _, line := range f.Remedy {
			fmt.Fprintf(&b, "    do    %s\n", line)
		}
	}
	if len(r.Findings) == 0 {
		span := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(&b, "nothing to report: %d workers, measured for %s\n", r.Workers, span)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	return b.String()
}
