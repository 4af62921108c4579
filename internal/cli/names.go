package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

// namesCommand completes a command that does one thing to the named services or
// workers, to all services when none is named, and returns when it is done.
func (p *program) namesCommand(cmd *cobra.Command, do func(*api.Client, context.Context, []string, bool) error, done string) *cobra.Command {
	cmd.Long = cmd.Short + ".\n\nNAME is a service or a worker (app, app.1); without one all services are meant."
	cmd.ValidArgsFunction = p.completeNames
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		c, err := p.target(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := do(c, ctx, args, true); err != nil {
			return err
		}
		if len(args) == 0 {
			args = []string{c.Name()}
		}
		for _, name := range args {
			if _, err := fmt.Fprintf(p.stdout, "%s: %s\n", name, done); err != nil {
				return err
			}
		}
		return nil
	}
	p.addGlobals(cmd)
	return cmd
}
