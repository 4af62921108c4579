package cli

import (
	"github.com/spf13/cobra"

	"bulsa/internal/spec"
)

func (p *program) killCommand() *cobra.Command {
	signal := "SIGKILL"
	cmd := &cobra.Command{
		Use:               "kill [flags] WORKER...",
		Short:             "Send a signal to workers; those that die of it come back",
		Example:           "  bulsa kill app.1\n  bulsa kill -s HUP app.1 app.2",
		Args:              someArgs("a worker, as in bulsa kill app.1"),
		ValidArgsFunction: p.completeWorkers,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := spec.ParseSignal(signal)
			if err != nil {
				return spec.At("--signal", err)
			}
			c, err := p.target(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			for _, worker := range args {
				if err := c.Kill(cmd.Context(), worker, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().StringVarP(&signal, "signal", "s", signal, "`SIGNAL` to send")
	return cmd
}
