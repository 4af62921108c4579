package cli

import (
	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

func (p *program) startCommand() *cobra.Command {
	return p.namesCommand(&cobra.Command{
		Use:   "start [flags] [NAME...]",
		Short: "Start services or workers that were stopped",
	}, (*api.Client).Start, "started")
}
