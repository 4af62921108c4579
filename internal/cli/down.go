package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) downCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "down [flags]",
		Short: "Stop the project gracefully; returns when nothing of it runs any more",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.target(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.Down(cmd.Context()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "%s: stopped\n", c.Name())
			return err
		},
	}
	p.addGlobals(cmd)
	return cmd
}
