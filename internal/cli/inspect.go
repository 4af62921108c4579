package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"
)

func (p *program) inspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "inspect [flags] NAME",
		Short:             "Show all about a service or worker as JSON",
		Args:              oneArg("one service or worker"),
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.target(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			inspection, err := c.Inspect(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.printJSON(inspection)
		},
	}
	p.addGlobals(cmd)
	return cmd
}

// printJSON writes an indented value for people and programs.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
