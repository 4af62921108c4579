package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// progressOf is where progress goes.
func (p *program) progressOf(quiet bool) io.Writer {
	if quiet {
		return io.Discard
	}
	return p.stderr
}

// workersOf are the workers of the named services, or the named ones; all where none is named.
func workersOf(ctx context.Context, c *client.Client, names []string) ([]api.Worker, error) {
	workers, err := c.Workers(ctx, true)
	if err != nil {
		return nil, err
	}
	project, err := c.Project(ctx)
	if err != nil {
		return nil, err
	}
	return namedWorkers(project, workers, names)
}

// namedWorkers are those of workers that names mean; all where none is named.
func namedWorkers(project api.Project, workers []api.Worker, names []string) ([]api.Worker, error) {
	for _, name := range names {
		if !project.HasWorker(name) && !slices.Contains(project.ServiceNames(), name) {
			return nil, usage("%s", project.NoSuch("worker or service", name))
		}
	}
	return slices.DeleteFunc(workers, func(w api.Worker) bool {
		return len(names) > 0 && !slices.Contains(names, w.Name) && !slices.Contains(names, w.Service)
	}), nil
}

func isContainer(w api.Worker) bool { return w.Engine == string(spec.EngineDocker) }

// pauseCommand is pause and unpause: a container is frozen and takes no requests.
func (p *program) pauseCommand(use, short, done string, do func(*daemon.Operator, context.Context, string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:               use + " [flags] [NAME...]",
		Short:             short,
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := p.target(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			workers, err := workersOf(ctx, c, args)
			if err != nil {
				return err
			}
			operator, err := daemon.NewOperator(ctx, c.Name())
			if err != nil {
				return err
			}
			defer operator.Close()
			for _, w := range workers {
				switch {
				case isContainer(w):
					if err := do(operator, ctx, w.Name); err != nil {
						return err
					}
					fmt.Fprintf(p.stdout, "%s: %s\n", w.Name, done)
				case len(args) > 0:
					return usage("%s is no container: only containers are paused; bulsa stop %s ends it, bulsa scale takes workers away", w.Name, w.Service)
				}
			}
			return nil
		},
	}
	p.addGlobals(cmd)
	return cmd
}

func (p *program) cpCommand() *cobra.Command {
	index := 0
	cmd := &cobra.Command{
		Use:     "cp [flags] NAME:PATH TARGET|-  or  cp [flags] SOURCE|- NAME:PATH",
		Short:   "Copy files into a container or out of it",
		Example: "  bulsa cp db:/var/lib/dump.sql .\n  bulsa cp settings.json app.1:/etc/app/",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.cp(cmd.Context(), args[0], args[1], index)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().IntVar(&index, "index", 0, "the worker `N` of the service (default: the first that runs)")
	return cmd
}

func (p *program) cp(ctx context.Context, from, to string, index int) error {
	source, inside, isFrom := inContainer(from)
	target, folder, isTo := inContainer(to)
	if isFrom == isTo {
		return usage("cp needs one side in a container, as in bulsa cp app:/etc/hosts .")
	}
	if isTo {
		source, inside = target, folder
	}
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := runningWorker(ctx, c, source, index)
	if err != nil {
		return err
	}
	if !isContainer(w) {
		return usage("%s is no container: its files are those of this machine, which cp copies", w.Name)
	}
	operator, err := daemon.NewOperator(ctx, c.Name())
	if err != nil {
		return err
	}
	defer operator.Close()
	if isTo {
		return operator.CopyTo(ctx, w.Name, from, inside, p.stdin)
	}
	return operator.CopyFrom(ctx, w.Name, inside, to, p.stdout)
}

// inContainer reads NAME:PATH, as docker cp does: a path of this machine with a colon is
// written with ./ or / in front.
func inContainer(text string) (name, path string, is bool) {
	if text == "-" || strings.HasPrefix(text, ".") || strings.HasPrefix(text, "/") {
		return "", text, false
	}
	name, path, is = strings.Cut(text, ":")
	return name, path, is
}

func (p *program) portCommand() *cobra.Command {
	protocol, index := "tcp", 1
	cmd := &cobra.Command{
		Use:               "port [flags] SERVICE [TARGET]",
		Short:             "Show where a port of a service is published",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.port(cmd.Context(), args)
		},
	}
	p.addGlobals(cmd)
	cmd.Flags().StringVar(&protocol, "protocol", protocol, "accepted; bulsa publishes tcp")
	cmd.Flags().IntVar(&index, "index", index, "accepted; all workers share the published port")
	return cmd
}

func (p *program) port(ctx context.Context, args []string) error {
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	project, err := c.Project(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(project.Services, func(s api.Service) bool { return s.Name == args[0] })
	if i < 0 {
		return usage("%s", project.NoSuch("service", args[0]))
	}
	var found []string
	for _, text := range project.Services[i].Ports {
		published, target, _ := strings.Cut(text, "->")
		if target == "" {
			target = published[strings.LastIndexByte(published, ':')+1:]
		}
		target, _, _ = strings.Cut(target, " ")
		if len(args) == 1 {
			found = append(found, fmt.Sprintf("%s/tcp -> %s", target, published))
		} else if target == strings.TrimSuffix(args[1], "/tcp") {
			found = append(found, published)
		}
	}
	if len(found) == 0 {
		if len(args) == 1 {
			return fmt.Errorf("%s publishes no port", args[0])
		}
		return fmt.Errorf("%s publishes no port %s; it has %s", args[0], args[1], strings.Join(project.Services[i].Ports, ", "))
	}
	_, err = fmt.Fprintln(p.stdout, strings.Join(found, "\n"))
	return err
}
