package cli

import (
	"github.com/spf13/cobra"
)

func (p *program) scaleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "scale [flags] SERVICE=N...",
		Short:             "Set the number of workers of services",
		Example:           "  bulsa scale app=4",
		Args:              someArgs("SERVICE=N, as in bulsa scale app=4"),
		ValidArgsFunction: p.completeScale,
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers := make(map[string]int, len(args))
			for _, arg := range args {
				service, n, err := parseScale(arg)
				if err != nil {
					return usage("%w", err)
				}
				numbers[service] = n
			}
			c, err := p.target(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			for service, n := range numbers {
				if err := c.Scale(cmd.Context(), service, n); err != nil {
					return err
				}
			}
			return nil
		},
	}
	p.addGlobals(cmd)
	return cmd
}
