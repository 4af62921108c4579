package cli

import (
	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

func (p *program) restartCommand() *cobra.Command {
	return p.namesCommand(&cobra.Command{
		Use:   "restart [flags] [NAME...]",
		Short: "Replace services or workers gracefully, without losing requests",
	}, namesVerb{do: (*api.Client).Restart, noun: "restart", done: "restarted"})
}
