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

	"bulsa/internal/spec"
)

// Options says what to load.
type Options struct {
	Files       []string  // configuration files, merged in order; empty: COMPOSE_FILE's, else found from Dir upwards; "-" is Stdin
	EnvFiles    []string  // in place of .env; empty: COMPOSE_ENV_FILES
	Dir         string    // absolute folder in which the search begins and from which files are named
	ProjectDir  string    // from which relative paths in Files start; empty: the folder of the first file
	ProjectName string    // overrides COMPOSE_PROJECT_NAME, the file's name: and the folder's name
	Profiles    []string  // active profiles; empty: COMPOSE_PROFILES
	Environ     []string  // KEY=VALUE: for interpolation, COMPOSE_ variables, and passed on to the workers below `environment`
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
	var found files
	var src *source
	var model *types.Project
	said, err := listening(func() (err error) {
		if found, err = find(o); err != nil {
			return err
		}
		if src, err = readSource(o.Dir, found.dir, found.files); err != nil {
			return err
		}
		model, err = src.model(ctx, o, &found)
		return err
	})
	if err != nil {
		return spec.Project{}, nil, err
	}
	c := converter{options: o, source: src, dir: found.dir, env: found.env}
	project, err := c.convert(model, found.names())
	if err != nil {
		return spec.Project{}, nil, src.place(err)
	}
	warnings := append(found.warnings, src.unsetVariables(found.env)...)
	warnings = append(warnings, src.heard(said, found.envFiles)...)
	warnings = append(warnings, src.ignored(project)...)
	for _, w := range append(c.advice, spec.Advise(project)...) {
		warnings = append(warnings, spec.Warning{Where: src.where(w.Where), Message: w.Message})
	}
	slices.SortStableFunc(warnings, inFileOrder)
	return project, warnings, nil
}

// ServiceNames are the services that the files have, also those of no active profile.
func ServiceNames(ctx context.Context, o Options) ([]string, error) {
	var names []string
	_, err := listening(func() error {
		found, err := find(o)
		if err != nil {
			return err
		}
		src, err := readSource(o.Dir, found.dir, found.files)
		if err != nil {
			return err
		}
		model, err := parse(ctx, o, found)
		if err != nil {
			return src.explain(err)
		}
		names = slices.Concat(slices.Collect(maps.Keys(model.Services)), slices.Collect(maps.Keys(model.DisabledServices)))
		slices.Sort(names)
		return nil
	})
	return names, err
}

// model is compose-go's, of the wanted services. Their env files are added to found's.
func (s *source) model(ctx context.Context, o Options, found *files) (*types.Project, error) {
	model, err := parse(ctx, o, *found)
	if err != nil {
		return nil, s.explain(err)
	}
	if model, err = selectServices(model, o.Services); err != nil {
		return nil, s.place(err)
	}
	found.envFiles = append(found.envFiles, servicesEnvFiles(model)...)
	if model, err = model.WithServicesEnvironmentResolved(true); err != nil {
		return nil, s.explain(err)
	}
	if model, err = model.WithServicesLabelsResolved(true); err != nil {
		return nil, s.explain(err)
	}
	return model, nil
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
func parse(ctx context.Context, o Options, found files) (model *types.Project, err error) {
	defer func() {
		// compose-go asserts types after a schema that does not cover them all.
		if r := recover(); r != nil {
			model, err = nil, fmt.Errorf("the Compose loader cannot read this project: %v", r)
		}
	}()
	details := types.ConfigDetails{WorkingDir: found.dir, ConfigFiles: found.files, Environment: found.env}
	return loader.LoadWithContext(ctx, details, func(l *loader.Options) {
		name, explicit := projectName(o, found.env, found.dir)
		l.SetProjectName(name, explicit)
		l.SkipConsistencyCheck = true
		l.SkipResolveEnvironment = true
		l.SkipResolveLabels = true
		l.ConvertWindowsPaths, _ = strconv.ParseBool(found.env["COMPOSE_CONVERT_WINDOWS_PATHS"])
		l.Profiles = profiles(o, found.env)
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
