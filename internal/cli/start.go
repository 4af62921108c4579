package cli

import (
	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

func (p *program) startCommand() *cobra.Command {
	return p.namesCommand(&cobra.Command{
		Use:   "start [flags] [SERVICE...]",
		Short: "Start services that were stopped; workers that failed are tried at once",
	}, namesVerb{do: (*api.Client).Start, noun: "start", done: "started"})
}
