package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"bulsa/internal/api/client"
	"bulsa/internal/compose"
	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// oneOff are the flags of `bulsa run SERVICE`, which are those of docker compose run.
type oneOff struct {
	remove     bool
	noDeps     bool
	noTTY      bool
	ports      bool // --service-ports
	entrypoint string
	build      bool
}

func addOneOffFlags(cmd *cobra.Command, o *oneOff) {
	f := cmd.Flags()
	f.BoolVar(&o.remove, "rm", false, "of SERVICE: remove its container when it has ended")
	f.BoolVar(&o.noDeps, "no-deps", false, "of SERVICE: do not start what it depends on")
	f.BoolVarP(&o.noTTY, "no-TTY", "T", false, "of SERVICE: no terminal, also where this command has one")
	f.BoolVarP(&o.ports, "service-ports", "P", false, "of SERVICE: publish its ports; its workers must not run")
	f.StringVar(&o.entrypoint, "entrypoint", "", "of SERVICE: `COMMAND` in place of its entrypoint")
	f.BoolVar(&o.build, "build", false, "of SERVICE: build its image again")
}

// meansService reports whether `bulsa run WORD` means a service of the Compose file: it
// does where the file has a service of that name and no file, folder or program is called
// so, or where --rm says that the file is meant.
func (p *program) meansService(ctx context.Context, word string, o oneOff) (bool, error) {
	if strings.ContainsAny(word, `/\`) {
		return false, nil
	}
	_, noFile := os.Lstat(word)
	_, noProgram := exec.LookPath(word)
	if (noFile == nil || noProgram == nil) && !o.remove {
		return false, nil
	}
	options, err := p.loadOptions()
	if err != nil {
		return false, err
	}
	names, err := compose.ServiceNames(ctx, options)
	if err != nil && (o.remove || len(p.global.files) > 0) {
		return false, err
	}
	if slices.Contains(names, word) {
		return true, nil
	}
	if o.remove {
		return false, &spec.Problem{Where: "bulsa run --rm", What: fmt.Sprintf("there is no service %q", word), Fix: "the file has " + strings.Join(names, ", ")}
	}
	return false, nil
}

// runOnce runs a service once, beside its workers, in the foreground.
func (p *program) runOnce(ctx context.Context, o runOptions) error {
	name, args := o.flags.Args[0], o.flags.Args[1:]
	project, warnings, err := p.load(ctx, []string{name})
	if err != nil {
		return err
	}
	p.warn(warnings)
	i := slices.IndexFunc(project.Services, func(s spec.Service) bool { return s.Name == name })
	s := project.Services[i]
	if s.Engine == spec.EngineExternal {
		return usage("the servers of %s are run by somebody else: there is nothing to run", name)
	}
	if !o.once.noDeps {
		if err := p.startDependencies(ctx, project.Name, s); err != nil {
			return err
		}
	}
	env, err := environmentOf(o.flags.Env)
	if err != nil {
		return err
	}
	s.Command.Env = spec.Inherit(env, s.Command.Env)
	if o.flags.User != "" {
		s.Command.User = o.flags.User
	}
	if s.Engine == spec.EngineProcess {
		return p.processOnce(s, args, o)
	}
	return p.containerOnce(ctx, project, s, args, o)
}

// startDependencies brings up what the service depends on and does not run yet.
func (p *program) startDependencies(ctx context.Context, project string, s spec.Service) error {
	var missing []string
	running := map[string]bool{}
	c, err := client.Dial(project)
	if err == nil {
		defer c.Close()
		now, err := c.Project(ctx)
		if err != nil {
			return err
		}
		for _, service := range now.Services {
			running[service.Name] = service.State != "stopped"
		}
	} else if !errors.Is(err, client.ErrNotRunning) {
		return err
	}
	for _, d := range s.DependsOn {
		if !running[d.Service] {
			missing = append(missing, d.Service)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return p.up(ctx, upOptions{services: missing, detach: true})
}

// processOnce runs a process of the service in place of this one.
func (p *program) processOnce(s spec.Service, args []string, o runOptions) error {
	command := s.Command.Args
	if len(args) > 0 {
		command = args // entrypoint and command of a process are one
	}
	if o.once.entrypoint != "" {
		command = append(strings.Fields(o.once.entrypoint), args...)
	}
	env := append(daemon.Outside(s.Command.Env, false), "BULSA_SERVICE="+s.Name)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Args, cmd.Env, cmd.Dir = command, env, s.Command.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if o.flags.Workers != "" { // -w, as docker compose run has it
		cmd.Dir = filepath.Join(s.Command.Dir, o.flags.Workers)
		if filepath.IsAbs(o.flags.Workers) {
			cmd.Dir = o.flags.Workers
		}
		if !isFolder(cmd.Dir) {
			return usage("-w: there is no folder %s", cmd.Dir)
		}
	}
	if err := asUser(cmd, s.Command.User); err != nil {
		return err
	}
	if path, err := exec.LookPath(command[0]); err == nil && !strings.Contains(command[0], "/") {
		cmd.Path, cmd.Err = path, nil
	}
	return p.runLocally(cmd, o.detach)
}

// containerOnce runs a container of the service beside its others.
func (p *program) containerOnce(ctx context.Context, project spec.Project, s spec.Service, args []string, o runOptions) error {
	project.Services = []spec.Service{s}
	project, err := daemon.Prepare(ctx, project, o.once.build, p.stderr)
	if err != nil {
		return err
	}
	s = project.Services[0]
	c := *s.Container
	if len(args) > 0 {
		s.Command.Args = args
	}
	if o.once.entrypoint != "" {
		c.Entrypoint = strings.Fields(o.once.entrypoint)
		s.Command.Args = args // as docker run: the image's command is another program's
	}
	if o.flags.Workers != "" {
		s.Command.Dir = o.flags.Workers
	}
	for _, text := range o.flags.Publish {
		port, err := spec.ParsePublish(text)
		if err != nil {
			return spec.At("--publish", err)
		}
		c.HostPorts = append(slices.Clone(c.HostPorts), spec.HostPort{Host: port.Host, Published: port.Published, Target: port.Target, Protocol: "tcp"})
	}
	s.Container = &c
	operator, err := daemon.NewOperator(ctx, project.Name)
	if err != nil {
		return err
	}
	defer operator.Close()
	options := daemon.RunOptions{Name: o.flags.Name, Keep: !o.once.remove, Ports: o.once.ports, Publish: len(o.flags.Publish) > 0, Detach: o.detach}
	return p.inTerminal(!o.once.noTTY && !o.detach, func(streams daemon.Streams) error {
		name, status, err := operator.Run(ctx, s, options, streams)
		if err == nil && o.detach {
			_, err = fmt.Fprintln(p.stdout, name)
		}
		return ended(status, err)
	})
}
