// Package compose reads Compose files into a spec.Project. It is the one
// room that opens configuration files: spec stays pure.
package compose

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"

	"bulsa/internal/spec"
)

// Options says what to load.
type Options struct {
	Files       []string  // configuration files, merged in order; empty: found from Dir upwards; "-" is Stdin
	Dir         string    // absolute folder in which the search begins and from which Files are named
	ProjectName string    // overrides COMPOSE_PROJECT_NAME, the file's name: and the folder's name
	Profiles    []string  // active profiles; empty: COMPOSE_PROFILES
	Environ     []string  // KEY=VALUE: for interpolation, and passed on to the workers below `environment`
	Services    []string  // only these and all they depend on; empty: all
	CPUs        int       // what workers: auto stands for; 0: CPUs()
	NoInherit   bool      // leave Environ out of the workers' environment: for `bulsa config`, and for a project that runs
	Stdin       io.Reader // read for the file name "-"
}

// Load reads the files of a project and resolves everything in them:
// interpolation, merging, defaults, start order. The project is valid. Every
// error is a *spec.Problem of one line that names file:line where there is one.
func Load(ctx context.Context, o Options) (spec.Project, []spec.Warning, error) {
	project, warnings, err := load(ctx, o)
	if err != nil {
		return spec.Project{}, nil, spec.At("", err)
	}
	return project, warnings, nil
}

func load(ctx context.Context, o Options) (spec.Project, []spec.Warning, error) {
	found, err := find(o)
	if err != nil {
		return spec.Project{}, nil, err
	}
	src, err := readSource(o.Dir, found.dir, found.files)
	if err != nil {
		return spec.Project{}, nil, err
	}
	env, err := interpolationEnvironment(o.Environ, found.dir)
	if err != nil {
		return spec.Project{}, nil, err
	}
	model, err := parse(ctx, o, found, env)
	if err != nil {
		return spec.Project{}, nil, src.explain(err)
	}
	if model, err = selectServices(model, o.Services); err != nil {
		return spec.Project{}, nil, src.place(err)
	}
	if model, err = model.WithServicesEnvironmentResolved(true); err != nil {
		return spec.Project{}, nil, src.explain(err)
	}
	c := converter{options: o, source: src, dir: found.dir}
	project, err := c.convert(model, found.names())
	if err != nil {
		return spec.Project{}, nil, src.place(err)
	}
	warnings := append(src.unsetVariables(env), c.warnings...)
	warnings = append(warnings, src.ignored(project)...)
	for _, w := range append(c.advice, spec.Advise(project)...) {
		warnings = append(warnings, spec.Warning{Where: src.where(w.Where), Message: w.Message})
	}
	slices.SortStableFunc(warnings, inFileOrder)
	return project, warnings, nil
}

// inFileOrder compares two warnings by file, then line.
func inFileOrder(a, b spec.Warning) int {
	fileA, lineA, _ := strings.Cut(a.Where, ":")
	fileB, lineB, _ := strings.Cut(b.Where, ":")
	if fileA != fileB {
		return strings.Compare(fileA, fileB)
	}
	numberA, _ := strconv.Atoi(lineA)
	numberB, _ := strconv.Atoi(lineB)
	return numberA - numberB
}

// parse runs compose-go without its checks for images: a process has none.
// compose-go logs to logrus's global logger; all it says is said again, with
// its line, by this package.
func parse(ctx context.Context, o Options, found files, env types.Mapping) (model *types.Project, err error) {
	logrus.SetOutput(io.Discard)
	defer func() {
		// compose-go asserts types after a schema that does not cover them all.
		if r := recover(); r != nil {
			model, err = nil, fmt.Errorf("the Compose loader cannot read this project: %v", r)
		}
	}()
	details := types.ConfigDetails{WorkingDir: found.dir, ConfigFiles: found.files, Environment: env}
	return loader.LoadWithContext(ctx, details, func(l *loader.Options) {
		name, explicit := projectName(o, env, found.dir)
		l.SetProjectName(name, explicit)
		l.SkipConsistencyCheck = true
		l.SkipResolveEnvironment = true
		l.SkipResolveLabels = true
		l.Profiles = profiles(o, env)
	})
}

func profiles(o Options, env types.Mapping) []string {
	if len(o.Profiles) > 0 {
		return o.Profiles
	}
	var active []string
	for _, p := range strings.Split(env["COMPOSE_PROFILES"], ",") {
		if p = strings.TrimSpace(p); p != "" {
			active = append(active, p)
		}
	}
	return active
}

// selectServices keeps the named services and all that they depend on. A
// named service is active whatever its profiles say, as in Compose.
func selectServices(model *types.Project, names []string) (*types.Project, error) {
	if len(names) == 0 {
		return model, nil
	}
	known := slices.Sorted(maps.Keys(model.Services))
	known = append(known, slices.Sorted(maps.Keys(model.DisabledServices))...)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, unknownService(name, known)
		}
	}
	model, err := model.WithServicesEnabled(names...)
	if err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	for queue := slices.Clone(names); len(queue) > 0; queue = queue[1:] {
		if keep[queue[0]] {
			continue
		}
		keep[queue[0]] = true
		queue = append(queue, model.Services[queue[0]].GetDependencies()...)
	}
	maps.DeleteFunc(model.Services, func(name string, _ types.ServiceConfig) bool { return !keep[name] })
	return model, nil
}

func unknownService(name string, known []string) error {
	fix := "the file has " + strings.Join(known, ", ")
	if near := spec.Nearest(name, known); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return &spec.Problem{What: fmt.Sprintf("there is no service %q", name), Fix: fix}
}
