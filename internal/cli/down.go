package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) downCommand() *cobra.Command {
	var limit waitFlag
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
			before, err := c.Project(cmd.Context())
			if err != nil {
				return err
			}
			w := wait{what: "the end of " + c.Name(), limit: time.Duration(limit), stops: true}
			if err := p.await(cmd.Context(), c, w, c.Down); err != nil {
				return err
			}
			if before.Away != "" {
				return fmt.Errorf("%s is stopped, but its containers may still run: %s; the next bulsa up takes them over", c.Name(), before.Away)
			}
			_, err = fmt.Fprintf(p.stdout, "%s: stopped\n", c.Name())
			return err
		},
	}
	p.addGlobals(cmd)
	addWaitFlag(cmd, &limit)
	return cmd
}
