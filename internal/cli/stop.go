package cli

import (
	"github.com/spf13/cobra"

	"bulsa/internal/api/client"
)

func (p *program) stopCommand() *cobra.Command {
	return p.namesCommand(&cobra.Command{
		Use:   "stop [flags] [SERVICE...]",
		Short: "Stop services gracefully; they stay stopped and known",
	}, namesVerb{do: (*client.Client).Stop, noun: "stop", done: "stopped", stops: true})
}
