package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
	"bulsa/internal/spec"
)

func (p *program) killCommand() *cobra.Command {
	signal := "SIGKILL"
	cmd := &cobra.Command{
		Use:               "kill [flags] WORKER|SERVICE...",
		Short:             "Send a signal to workers; those that die of it come back",
		Example:           "  bulsa kill app.1\n  bulsa kill -s HUP app",
		Args:              someArgs("a worker, as in bulsa kill app.1"),
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := spec.ParseSignal(signal)
			if err != nil {
				return spec.At("--signal", err)
			}
			c, err := p.target(cmd.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			workers, err := killed(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			for _, worker := range workers {
				if err := c.Kill(cmd.Context(), worker, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().StringVarP(&signal, "signal", "s", signal, "`SIGNAL` to send")
	return cmd
}

// killed are the workers that names mean: themselves, or all of a service that run. An
// unknown name is left to the project, which knows workers inside of containers, too.
func killed(ctx context.Context, c *client.Client, names []string) ([]string, error) {
	project, err := c.Project(ctx)
	if err != nil {
		return nil, err
	}
	var workers []string
	for _, name := range names {
		i := slices.IndexFunc(project.Services, func(s api.Service) bool { return s.Name == name })
		if i < 0 {
			workers = append(workers, name)
			continue
		}
		for _, w := range project.Services[i].Workers {
			if w.PID > 0 || w.StartedAt != nil && w.State != "pending" && w.State != "backoff" && w.State != "failed" {
				workers = append(workers, w.Name)
			}
		}
	}
	if len(workers) == 0 {
		return nil, fmt.Errorf("nothing of %s runs", strings.Join(names, ", "))
	}
	return workers, nil
}
