package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
)

// namesVerb is a command that does one thing to services or workers.
type namesVerb struct {
	do    func(*client.Client, context.Context, []string, bool) error
	noun  string // "restart"
	done  string // "restarted"
	stops bool   // it is over when nothing runs
}

// namesCommand completes a command that does one thing to the named services or
// workers, to all services when none is named, and returns when it is done.
func (p *program) namesCommand(cmd *cobra.Command, verb namesVerb) *cobra.Command {
	var limit waitFlag
	seconds := -1
	cmd.Long = cmd.Short + ".\n\nNAME is a service or a worker (app, app.1); without one all services are meant."
	cmd.ValidArgsFunction = p.completeNames
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		c, err := p.target(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		project, err := c.Project(ctx)
		if err != nil {
			return err
		}
		if err := saysAll(verb.noun, args, project); err != nil {
			return err
		}
		named := args
		if len(named) == 0 {
			named = []string{c.Name()}
		}
		w := wait{what: "the " + verb.noun + " of " + strings.Join(named, ", "), names: args, limit: time.Duration(limit), stops: verb.stops}
		defer hurry(ctx, c, args, seconds)()
		if err := p.await(ctx, c, w, func(ctx context.Context) error { return verb.do(c, ctx, args, true) }); err != nil {
			return err
		}
		for _, name := range named {
			done := verb.done
			if i := slices.IndexFunc(project.Services, func(s api.Service) bool { return s.Name == name }); i >= 0 && !verb.stops && project.Services[i].Desired == 0 && project.Services[i].State != "stopped" {
				done = "has no workers: bulsa scale " + name + "=1 starts one"
			}
			if _, err := fmt.Fprintf(p.stdout, "%s: %s\n", name, done); err != nil {
				return err
			}
		}
		return nil
	}
	p.addGlobals(cmd)
	addWaitFlag(cmd, &limit)
	if verb.stops {
		addTimeoutFlag(cmd, &seconds)
	}
	return cmd
}
