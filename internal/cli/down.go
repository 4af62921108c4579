package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api/client"
	"bulsa/internal/daemon"
)

func (p *program) downCommand() *cobra.Command {
	var limit waitFlag
	volumes, seconds := false, -1
	cmd := &cobra.Command{
		Use:   "down [flags]",
		Short: "Stop the project gracefully; returns when nothing of it runs any more",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.target(cmd.Context())
			if volumes && errors.Is(err, client.ErrNotRunning) {
				return p.removeVolumesOfFile(cmd.Context())
			}
			if err != nil {
				return err
			}
			defer c.Close()
			remove := func() error { return nil }
			if volumes {
				if remove, err = p.volumesOf(cmd.Context(), c.Name()); err != nil {
					return err
				}
			}
			before, err := c.Project(cmd.Context())
			if err != nil {
				return err
			}
			w := wait{what: "the end of " + c.Name(), limit: time.Duration(limit), stops: true}
			down := func(ctx context.Context) error { return c.Down(ctx, seconds) }
			if err := p.await(cmd.Context(), c, w, down); err != nil {
				return err
			}
			if before.Away != "" {
				return fmt.Errorf("%s is stopped, but its containers may still run: %s; the next bulsa up takes them over", c.Name(), before.Away)
			}
			fmt.Fprintf(p.stdout, "%s: stopped\n", c.Name())
			return remove()
		},
	}
	p.addGlobals(cmd)
	addWaitFlag(cmd, &limit)
	addTimeoutFlag(cmd, &seconds)
	cmd.Flags().BoolVarP(&volumes, "volumes", "v", false, "remove the volumes, too: what is in them is gone")
	cmd.Flags().Bool("remove-orphans", false, "accepted; nothing of the project is left")
	return cmd
}

// volumesOf notes the volumes without a name while there are containers that have
// them, and returns what removes all of the project's.
func (p *program) volumesOf(ctx context.Context, project string) (remove func() error, err error) {
	operator, err := daemon.NewOperator(ctx, project)
	if err != nil {
		return nil, err
	}
	anonymous, err := operator.AnonymousVolumes(ctx)
	if err != nil {
		operator.Close()
		return nil, err
	}
	return func() error {
		defer operator.Close()
		removed, err := operator.RemoveVolumes(ctx, anonymous)
		for _, name := range removed {
			fmt.Fprintf(p.stdout, "volume %s: removed\n", name)
		}
		return err
	}, nil
}

// removeVolumesOfFile is down -v for a project that does not run.
func (p *program) removeVolumesOfFile(ctx context.Context) error {
	name := p.global.project
	if name == "" {
		var err error
		if name, err = p.fileProject(ctx); err != nil {
			return err
		}
	}
	remove, err := p.volumesOf(ctx, name)
	if err != nil {
		return err
	}
	return remove()
}
