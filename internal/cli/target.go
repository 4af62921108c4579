package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"bulsa/internal/api/client"
	"bulsa/internal/compose"
	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// target connects to the running project that the command line means: the one
// named by -p; else the one of the configuration file, given by -f or found from this
// folder on; else the one that was started in this folder; else the only one that runs.
func (p *program) target(ctx context.Context) (*client.Client, error) {
	if p.global.project != "" {
		return client.Dial(p.global.project)
	}
	running := client.Running()
	name, err := p.fileProject(ctx)
	if err != nil && len(p.global.files) > 0 {
		return nil, err
	}
	if slices.Contains(running, name) || len(p.global.files) > 0 {
		return client.Dial(name)
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("cannot tell the present folder: %w", err)
	}
	here, err := client.InDir(ctx, running, dir)
	switch {
	case err != nil:
		return nil, err
	case here != "":
		return client.Dial(here)
	case name != "":
		return nil, &client.NotRunning{Project: name, Running: running}
	case len(running) == 1:
		return client.Dial(running[0])
	case len(running) > 1:
		return nil, &severalRun{names: running}
	}
	return nil, &client.NotRunning{}
}

// severalRun is the mistake of a command line by which no project is meant, of several.
type severalRun struct{ names []string }

func (e *severalRun) Error() string {
	return "several projects run: name one with -p: " + strings.Join(e.names, ", ")
}

// kept is what is on disk of the project that the command line means, which does not run.
func (p *program) kept(ctx context.Context) (daemon.Kept, bool) {
	name := p.global.project
	if name == "" {
		name, _ = p.fileProject(ctx) // without a file it is the folder that tells
	}
	if name != "" {
		return daemon.KeptOf(name)
	}
	dir, err := os.Getwd()
	if err != nil {
		return daemon.Kept{}, false
	}
	return daemon.KeptIn(dir)
}

// ended is what is kept of the project for a command that found that it does not run.
func (p *program) ended(ctx context.Context, err error) (daemon.Kept, bool) {
	if !errors.Is(err, client.ErrNotRunning) {
		return daemon.Kept{}, false
	}
	return p.kept(ctx)
}

// sayKept says on standard error that what comes is not of a project that runs.
func (p *program) sayKept(k daemon.Kept) {
	fmt.Fprintf(p.stderr, "bulsa: project %s does not run; this was kept of it\n", k.Name)
}

// fileProject is the project name of the configuration file; "" and an error
// when there is none that can be read.
func (p *program) fileProject(ctx context.Context) (string, error) {
	project, _, err := p.load(ctx, nil)
	return project.Name, err
}

// load reads the configuration files that the command line means.
func (p *program) load(ctx context.Context, services []string) (spec.Project, []spec.Warning, error) {
	o, err := p.loadOptions()
	if err != nil {
		return spec.Project{}, nil, err
	}
	o.Services = services
	return compose.Load(ctx, o)
}

// loadOwn is load without the environment of this command: it is neither part of the
// configuration nor that of the workers of a project that runs.
func (p *program) loadOwn(ctx context.Context, services []string) (spec.Project, []spec.Warning, error) {
	o, err := p.loadOptions()
	if err != nil {
		return spec.Project{}, nil, err
	}
	o.Services, o.NoInherit = services, true
	return compose.Load(ctx, o)
}

func (p *program) loadOptions() (compose.Options, error) {
	dir, err := os.Getwd()
	if err != nil {
		return compose.Options{}, fmt.Errorf("cannot tell the present folder: %w", err)
	}
	if err := p.keepStdin(); err != nil {
		return compose.Options{}, err
	}
	return compose.Options{
		Files:       p.global.files,
		EnvFiles:    p.global.envFiles,
		ProjectDir:  p.global.dir,
		Dir:         dir,
		ProjectName: p.global.project,
		Profiles:    p.global.profiles,
		Environ:     os.Environ(),
		Stdin:       p.stdin,
	}, nil
}

// keepStdin reads a configuration from standard input into memory, since a
// command may load it more than once.
func (p *program) keepStdin() error {
	if !slices.Contains(p.global.files, "-") {
		return nil
	}
	content, err := io.ReadAll(p.stdin)
	if err != nil {
		return &spec.Problem{Where: "standard input", What: reason(err)}
	}
	p.stdin = &rereader{content: content}
	return nil
}

// rereader begins again after its end.
type rereader struct {
	content []byte
	read    int
}

func (r *rereader) Read(b []byte) (int, error) {
	if r.read == len(r.content) {
		r.read = 0
		return 0, io.EOF
	}
	n := copy(b, r.content[r.read:])
	r.read += n
	return n, nil
}

// warn prints what was understood and has no effect.
func (p *program) warn(warnings []spec.Warning) {
	for _, w := range warnings {
		if w.Where == "" {
			fmt.Fprintf(p.stderr, "bulsa: warning: %s\n", w.Message)
			continue
		}
		fmt.Fprintf(p.stderr, "bulsa: warning: %s: %s\n", w.Where, w.Message)
	}
}
