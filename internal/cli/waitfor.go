package cli

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
)

// waitCommand waits for services that end by themselves: a migration, a job.
func (p *program) waitCommand() *cobra.Command {
	down := false
	cmd := &cobra.Command{
		Use:               "wait [flags] SERVICE...",
		Short:             "Wait until the workers of services have ended for good; the exit status is theirs",
		Args:              someArgs("a service, as in bulsa wait migrate"),
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.waitFor(cmd.Context(), args, down)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().BoolVar(&down, "down-project", false, "stop the project when the first of them has ended")
	return cmd
}

func (p *program) waitFor(ctx context.Context, names []string, down bool) error {
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	left, status := slices.Clone(names), 0
	for len(left) > 0 {
		project, err := c.Project(ctx)
		if err != nil {
			return err
		}
		for _, name := range slices.Clone(left) {
			i := slices.IndexFunc(project.Services, func(s api.Service) bool { return s.Name == name })
			if i < 0 {
				return usage("%s", project.NoSuch("service", name))
			}
			code, over := endedForGood(project.Services[i])
			if !over {
				continue
			}
			status = max(status, code)
			left = slices.DeleteFunc(left, func(n string) bool { return n == name })
			fmt.Fprintf(p.stdout, "%s: %d\n", name, code)
		}
		if down && len(left) < len(names) {
			if err := c.Down(ctx, -1); err != nil {
				return err
			}
			break
		}
		if len(left) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readyPoll):
		}
	}
	return ended(status, nil)
}

// endedForGood reports whether nothing of a service runs and nothing is started again,
// and the highest exit status of its workers.
func endedForGood(s api.Service) (status int, over bool) {
	switch s.State {
	case "completed", "failed", "stopped":
	default:
		return 0, false
	}
	for _, w := range s.Workers {
		if w.PID > 0 {
			return 0, false
		}
		status = max(status, exitOf(w))
	}
	return status, true
}

// exitOf reads the exit status out of Docker's words: "Exited (3) 5 seconds ago".
func exitOf(w api.Worker) int {
	m := regexp.MustCompile(`^(?:Exited|Restarting|Failed) \((\d+)\)`).FindStringSubmatch(w.Status)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
