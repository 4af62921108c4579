package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api/client"
	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

type upOptions struct {
	services []string
	scale    []string
	admin    string
	detach   bool
	build    bool
	limit    waitFlag // of the wait of a detached start
	renew    bool     // anonymous volumes
	compose  composeUp
}

func (p *program) upCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up [flags] [SERVICE...]",
		Short: "Start the services of the Compose file, or apply what changed in it",
		Long: "Start the services of the Compose file: bulsa.yaml, compose.yaml, compose.yml or\n" +
			"docker-compose.yml. When the project runs already, apply what changed.",
		Args: func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			o.services = args
			return p.up(cmd.Context(), o)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().BoolVarP(&o.detach, "detach", "d", false, "run in the background; return when all is ready")
	cmd.Flags().BoolVar(&o.build, "build", false, "build the images of containers again, even if they are there")
	cmd.Flags().BoolVarP(&o.renew, "renew-anon-volumes", "V", false, "give containers that are made anew empty anonymous volumes, instead of their predecessors'")
	cmd.Flags().StringArrayVar(&o.scale, "scale", nil, "number of workers of a service, `SERVICE=N`")
	addAdminFlag(cmd, &o.admin)
	addWaitFlag(cmd, &o.limit)
	addComposeUpFlags(cmd, &o.compose)
	return cmd
}

func (p *program) up(ctx context.Context, o upOptions) error {
	var err error
	if o.detach, err = o.compose.detached(o.detach); err != nil {
		return err
	}
	project, warnings, err := p.load(ctx, o.services)
	if err != nil {
		return err
	}
	running, _, err := reach(ctx, project.Name)
	if errors.Is(err, client.ErrNotRunning) {
		if err := rescale(&project, o.scale); err != nil {
			return err
		}
		renewVolumes(project, o.renew)
		if err := o.compose.apply(&project, o.services); err != nil {
			return err
		}
		p.warn(warnings)
		if project, err = daemon.Prepare(ctx, project, o.build, p.stderr); err != nil {
			return err
		}
		l := launch{Project: project, Warnings: warnings, Admin: o.admin}
		if o.compose.abort || o.compose.exitFrom != "" {
			return p.launchUntilAnEnd(ctx, l, o.compose.exitFrom)
		}
		return p.launch(ctx, l, o.detach, time.Duration(o.limit))
	}
	if err != nil {
		return err
	}
	defer running.Close()
	return p.applyTo(ctx, running, o)
}

// applyTo brings the file to a project that runs. Services that were not named
// and run go on running.
func (p *program) applyTo(ctx context.Context, running *client.Client, o upOptions) error {
	services := o.services
	if len(services) > 0 {
		now, err := running.Project(ctx)
		if err != nil {
			return err
		}
		services = append(slices.Clone(services), now.ServiceNames()...)
	}
	project, warnings, err := p.loadKnown(ctx, services, o.services)
	if err != nil {
		return err
	}
	if err := rescale(&project, o.scale); err != nil {
		return err
	}
	renewVolumes(project, o.renew)
	if err := o.compose.applyChange(ctx, &project, o.services, running); err != nil {
		return err
	}
	p.warn(warnings)
	if project, err = daemon.Prepare(ctx, project, o.build, p.stderr); err != nil {
		return err
	}
	raw, err := json.Marshal(project)
	if err != nil {
		return err
	}
	message, err := running.Apply(ctx, raw)
	if err != nil {
		return err
	}
	if message != "" {
		fmt.Fprintln(p.stdout, strings.TrimRight(message, "\n"))
	}
	if o.compose.recreate {
		if err := running.Restart(ctx, o.services, false); err != nil {
			return err
		}
	}
	if !o.detach {
		return nil
	}
	w := wait{what: "the change of " + running.Name(), limit: time.Duration(o.limit)}
	return p.await(ctx, running, w, func(ctx context.Context) error { return settled(ctx, running) })
}

// settled waits until a change is carried out.
func settled(ctx context.Context, c *client.Client) error {
	for {
		switch r, err := c.Ready(ctx, slowStart, true); {
		case err != nil:
			return err
		case r.Ready:
			return nil
		case r.Failing:
			return errors.New(strings.Join(r.Waiting, "; "))
		}
	}
}

// loadKnown loads the wanted services for a project that runs; of those that
// merely run, only the ones that are still in the file.
func (p *program) loadKnown(ctx context.Context, services, named []string) (spec.Project, []spec.Warning, error) {
	if len(services) == 0 {
		return p.loadOwn(ctx, nil)
	}
	all, _, err := p.loadOwn(ctx, nil)
	if err != nil {
		return spec.Project{}, nil, err
	}
	kept := slices.DeleteFunc(services, func(name string) bool {
		return !slices.Contains(named, name) && !hasService(all, name)
	})
	slices.Sort(kept)
	return p.loadOwn(ctx, slices.Compact(kept))
}

func hasService(p spec.Project, name string) bool {
	return slices.ContainsFunc(p.Services, func(s spec.Service) bool { return s.Name == name })
}

// rescale sets the numbers of workers that --scale asks for.
func rescale(project *spec.Project, scale []string) error {
	for _, text := range scale {
		one, err := parseScale(text)
		if err != nil {
			return &spec.Problem{Where: "--scale", What: err.Error()}
		}
		i := slices.IndexFunc(project.Services, func(s spec.Service) bool { return s.Name == one.Service })
		if i < 0 {
			return &spec.Problem{Where: "--scale " + text, What: fmt.Sprintf("there is no service %q", one.Service)}
		}
		if one.By != nil {
			return &spec.Problem{Where: "--scale " + text, What: "up takes a number of workers", Fix: "bulsa scale takes a difference"}
		}
		project.Services[i].Replicas = *one.Replicas
	}
	return nil
}

// renewVolumes is --renew-anon-volumes.
func renewVolumes(project spec.Project, asked bool) {
	for _, s := range project.Services {
		if s.Container != nil {
			s.Container.RenewVolumes = asked
		}
	}
}
