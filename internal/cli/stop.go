package cli

import (
	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

func (p *program) stopCommand() *cobra.Command {
	return p.namesCommand(&cobra.Command{
		Use:   "stop [flags] [NAME...]",
		Short: "Stop services or workers gracefully; they stay stopped",
	}, (*api.Client).Stop, "stopped")
}
