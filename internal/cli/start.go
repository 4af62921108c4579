package cli

import (
	"os"

	"github.com/spf13/cobra"

	"bulsa/internal/api/client"
)

func (p *program) startCommand() *cobra.Command {
	return p.namesCommand(&cobra.Command{
		Use:   "start [flags] [SERVICE...]",
		Short: "Start services that were stopped; workers that failed are tried at once",
		Args: func(_ *cobra.Command, args []string) error {
			for _, arg := range args {
				if isPM2File(arg) {
					return usage("start is for services that were stopped, and %s is a configuration of PM2: write it as a Compose file for bulsa up -d; docs/coming-from-pm2.md has bulsa's word for each of its fields", arg)
				}
				if _, err := os.Stat(arg); err == nil && isScript(arg) { // pm2 start app.js
					return usage("start is for services that were stopped; a program is run by bulsa run %s", arg)
				}
			}
			return nil
		},
	}, namesVerb{do: (*client.Client).Start, noun: "start", done: "started"})
}
