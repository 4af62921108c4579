package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api/client"
)

// addTimeoutFlag is -t of docker compose stop and down.
func addTimeoutFlag(cmd *cobra.Command, seconds *int) {
	cmd.Flags().IntVarP(seconds, "timeout", "t", -1, "`SECONDS` after which what still runs is killed (default: stop_grace_period of each service)")
}

// hurry kills what still stops after so many seconds, until ctx ends. Negative: never.
// The returned function waits for it.
func hurry(ctx context.Context, c *client.Client, names []string, seconds int) (done func()) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if seconds < 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(seconds) * time.Second):
		}
		workers, err := c.Workers(ctx, true)
		if err != nil {
			return // it is over
		}
		for _, w := range workers {
			named := len(names) == 0 || slices.Contains(names, w.Name) || slices.Contains(names, w.Service)
			if named && (w.State == "draining" || w.State == "stopping") {
				_ = c.Kill(ctx, w.Name, "SIGKILL") // one that has just ended is no error
			}
		}
	}()
	return func() { cancel(); <-over }
}
