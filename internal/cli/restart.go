package cli

import (
	"github.com/spf13/cobra"

	"bulsa/internal/api/client"
)

func (p *program) restartCommand() *cobra.Command {
	return p.namesCommand(&cobra.Command{
		Use:   "restart [flags] [NAME...]",
		Short: "Replace services or workers gracefully, without losing requests",
	}, namesVerb{do: (*client.Client).Restart, noun: "restart", done: "restarted"})
}
