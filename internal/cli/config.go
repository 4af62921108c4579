package cli

import (
	"context"

	"github.com/spf13/cobra"

	"bulsa/internal/compose"
)

func (p *program) configCommand() *cobra.Command {
	format := "yaml"
	cmd := &cobra.Command{
		Use:   "config [flags] [SERVICE...]",
		Short: "Show the configuration as it is understood, with warnings",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.config(cmd.Context(), format, args)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().StringVar(&format, "format", format, "`FORMAT`: yaml or json")
	return cmd
}

func (p *program) config(ctx context.Context, format string, services []string) error {
	if err := checkFormat(format, "yaml", "json"); err != nil {
		return err
	}
	project, warnings, err := p.loadOwn(ctx, services)
	if err != nil {
		return err
	}
	p.warn(warnings)
	text, err := compose.Render(project, format)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(text)
	return err
}
