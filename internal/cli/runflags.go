package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bulsa/internal/spec"
)

// runFlags is the command line of `bulsa run`, as typed. An empty or zero
// field means that the flag was not given.
type runFlags struct {
	Args        []string // the command and its arguments; Args[0] may be a script or a folder
	Dir         string   // absolute working directory
	Folder      string   // absolute path, when Args[0] names a folder
	PackageJSON []byte   // the folder's package.json
	Name        string
	Project     string // of the project; "": from Name
	Engine      string // process | docker; empty: process
	Workers     string // N or auto
	CPUs        int    // what auto stands for
	Publish     []string
	Protocol    string   // auto | http | tcp: of all published ports; empty: auto
	Env         []string // KEY=VALUE, or KEY to take it from Environ
	EnvFiles    []string // contents of the files, in order; KEY=VALUE lines
	Environ     []string // bulsa's own environment, passed on as a shell does
	User        string

	HealthCmd           string // a shell line, as in docker run
	HealthHTTP          string // a path
	HealthTCP           bool
	HealthLoop          bool
	HealthInterval      string
	HealthTimeout       string
	HealthRetries       int
	HealthStartPeriod   string
	HealthStartInterval string
	NoHealthcheck       bool

	Restart     string // no, on-failure[:N], always, unless-stopped
	StopSignal  string
	StopTimeout string // a duration, or seconds as in docker run
	Balance     string
	NodeMode    string
	Hold        string

	AnswerTimeout string
}

// fromRun is the project of one service that a command line asks for. Errors
// are *spec.Problem and name the flag.
func fromRun(f runFlags) (spec.Project, []spec.Warning, error) {
	if len(f.Args) == 0 || f.Args[0] == "" {
		return spec.Project{}, nil, &spec.Problem{Where: "bulsa run", What: "no command", Fix: "give one, as in bulsa run app.js"}
	}
	name := f.Name
	if name == "" {
		name = serviceName(f)
	}
	if !spec.ValidName(name) {
		return spec.Project{}, nil, &spec.Problem{Where: "--name", What: fmt.Sprintf("%q is not a service name", name), Fix: "use letters, digits, dots, - and _"}
	}
	s := spec.NewService(name)
	for _, step := range []func(*runFlags, *spec.Service) error{
		runEngine, runCommand, runEnvironment, runWorkers, runPorts, runHealth, runLife, runContainer,
	} {
		if err := step(&f, &s); err != nil {
			return spec.Project{}, nil, err
		}
	}
	p := spec.Project{Name: cmp.Or(f.Project, projectName(name)), Dir: f.Dir, Services: []spec.Service{s}}
	if err := spec.Validate(p); err != nil {
		return spec.Project{}, nil, asFlag(err)
	}
	return p, runWarnings(f), nil
}

// serviceName derives a name from what is run: app for app.js, the folder's
// name for a folder, else the command's base name. With an interpreter in
// front, the script counts: app for `node app.js`.
func serviceName(f runFlags) string {
	base := filepath.Base(f.Args[0])
	if f.Folder != "" {
		base = filepath.Base(f.Folder)
	}
	if f.Engine == string(spec.EngineDocker) {
		base, _, _ = strings.Cut(base, "@") // NAME:TAG or NAME@DIGEST
		base, _, _ = strings.Cut(base, ":")
		return sanitize(base)
	}
	switch {
	case slices.Contains([]string{"node", "tsx", "ts-node", "bun", "deno"}, base):
		for _, arg := range f.Args[1:] {
			if isScript(arg) {
				base = filepath.Base(arg)
				break
			}
		}
	case slices.Contains(packageManagers(), base):
		base = cmp.Or(packageName(f.PackageJSON), base)
	}
	if isScript(base) {
		base = strings.TrimSuffix(base, path.Ext(base))
	}
	return sanitize(base)
}

// packageName is the name in a package.json, without its scope; "" where there is none.
func packageName(content []byte) string {
	var p struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(content, &p) != nil {
		return "" // what is wrong with it, npm says
	}
	_, name, scoped := strings.Cut(p.Name, "/")
	if !scoped {
		return p.Name
	}
	return name
}

// sanitize turns any text into a valid service name.
func sanitize(text string) string {
	name := strings.Map(func(r rune) rune {
		if spec.ValidName(string(r)) || r == '.' {
			return r
		}
		return '-'
	}, text)
	name = strings.Trim(name, "-._")
	if name == "" {
		return "app"
	}
	return name
}

// projectName turns a service's name into a project's.
func projectName(service string) string {
	name := strings.Map(func(r rune) rune {
		if r == '.' {
			return '-'
		}
		return r
	}, strings.ToLower(service))
	name = strings.TrimLeft(name, "-_")
	if name == "" {
		return "app"
	}
	return name
}

// isScript reports whether Node runs the file by itself (TypeScript since 22.18).
func isScript(file string) bool {
	return slices.Contains([]string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}, path.Ext(file))
}

// isTypeScript reports whether a script needs flags or a loader that only a look
// at the installed packages and at Node's version can tell (node.Resolve).
func isTypeScript(file string) bool {
	return slices.Contains([]string{".ts", ".mts", ".cts"}, path.Ext(file))
}

func runEngine(f *runFlags, s *spec.Service) error {
	switch spec.Engine(f.Engine) {
	case "", spec.EngineProcess:
		return nil
	case spec.EngineDocker:
		s.Engine = spec.EngineDocker
		return nil
	}
	return &spec.Problem{Where: "--engine", What: fmt.Sprintf("%q is not an engine that runs a command", f.Engine), Fix: "use process or docker"}
}

func runCommand(f *runFlags, s *spec.Service) error {
	s.Command.Dir, s.Command.User = f.Dir, f.User
	switch {
	case s.Engine == spec.EngineDocker:
		s.Command.Dir, s.Command.Args = "", slices.Clone(f.Args[1:])
	case f.Folder != "":
		s.Command.Dir = f.Folder
		args, err := startScript(f)
		s.Command.Args = args
		return err
	case isScript(f.Args[0]) && !isTypeScript(f.Args[0]):
		s.Command.Args = append([]string{"node"}, f.Args...)
	default:
		s.Command.Args = slices.Clone(f.Args)
	}
	return nil
}

// startScript is what a folder's package.json starts. A plain `node ...` is
// run as it stands, so that signals arrive; anything else through npm, which
// brings the package's own programs into the PATH.
func startScript(f *runFlags) ([]string, error) {
	where := filepath.Join(f.Folder, "package.json")
	if f.PackageJSON == nil {
		return nil, &spec.Problem{Where: f.Folder, What: "this folder has no package.json", Fix: "name the script to run, as in bulsa run " + filepath.Join(f.Args[0], "app.js")}
	}
	var p struct {
		Main    string            `json:"main"`
		Scripts map[string]string `json:"scripts"`
	}
	if err := json.Unmarshal(f.PackageJSON, &p); err != nil {
		return nil, &spec.Problem{Where: where, What: "not a valid package.json: " + err.Error()}
	}
	start, main := p.Scripts["start"], p.Main
	plain := regexp.MustCompile(`^node(\s+[\w./=:@,+-]+)+$`)
	switch {
	case plain.MatchString(strings.TrimSpace(start)):
		return append(strings.Fields(start), f.Args[1:]...), nil
	case start != "":
		args := []string{"npm", "start"}
		if len(f.Args) > 1 {
			args = append(append(args, "--"), f.Args[1:]...)
		}
		return args, nil
	case main != "":
		return append([]string{"node", main}, f.Args[1:]...), nil
	}
	return nil, &spec.Problem{Where: where, What: "neither scripts.start nor main is set", Fix: "add a start script, or name the file to run"}
}

// runEnvironment puts bulsa's own environment below, env files above it, and
// --env on top, as docker run does.
func runEnvironment(f *runFlags, s *spec.Service) error {
	var lines []string
	for _, content := range f.EnvFiles {
		for line := range strings.Lines(content) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	own := spec.Environment(f.Environ)
	env := map[string]string{} // a container inherits nothing
	if s.Engine == spec.EngineProcess {
		maps.Copy(env, own)
	}
	for _, entry := range append(lines, f.Env...) {
		name, value, given := strings.Cut(entry, "=")
		if name == "" || strings.ContainsAny(name, " \t") {
			return &spec.Problem{Where: "--env", What: fmt.Sprintf("%q is not a variable", entry), Fix: "write KEY=VALUE, or KEY to pass on bulsa's own"}
		}
		if inherited, known := own[name]; !given && known {
			env[name] = inherited
		}
		if given {
			env[name] = value
		}
	}
	s.Command.Env = spec.SortEnvironment(env)
	return nil
}

func runWorkers(f *runFlags, s *spec.Service) error {
	n, err := spec.ParseWorkers(f.Workers, f.CPUs)
	if err != nil {
		return spec.At("--workers", err)
	}
	s.Replicas = n
	return nil
}

func runPorts(f *runFlags, s *spec.Service) error {
	for _, text := range f.Publish {
		p, err := spec.ParsePublish(text)
		if err != nil {
			return spec.At("--publish", err)
		}
		s.Ports = append(s.Ports, p)
	}
	if f.Protocol == "" {
		return nil
	}
	protocol, err := spec.ParseProtocol(f.Protocol)
	if err != nil {
		return spec.At("--protocol", err)
	}
	if len(s.Ports) == 0 {
		return &spec.Problem{Where: "--protocol", What: "no port is published", Fix: "add -p PORT"}
	}
	for i := range s.Ports {
		s.Ports[i].Protocol = protocol
	}
	return nil
}

func runHealth(f *runFlags, s *spec.Service) error {
	h := &s.Health
	if f.NoHealthcheck && (f.HealthCmd != "" || f.HealthHTTP != "" || f.HealthTCP || f.HealthLoop) {
		return &spec.Problem{Where: "--no-healthcheck", What: "a health check is given as well", Fix: "remove one of the two"}
	}
	h.Disabled = f.NoHealthcheck
	if f.HealthCmd != "" {
		h.Test = []string{"CMD-SHELL", f.HealthCmd}
	}
	h.HTTP, h.TCP, h.Loop = f.HealthHTTP, f.HealthTCP, f.HealthLoop
	if f.HealthRetries != 0 {
		h.Retries = f.HealthRetries
	}
	return setDurations([]durationFlag{
		{"--health-interval", f.HealthInterval, &h.Interval},
		{"--health-timeout", f.HealthTimeout, &h.Timeout},
		{"--health-start-period", f.HealthStartPeriod, &h.StartPeriod},
		{"--health-start-interval", f.HealthStartInterval, &h.StartInterval},
	})
}

// durationFlag is a flag with its text and the field it sets.
type durationFlag struct {
	flag  string
	text  string
	field *time.Duration
}

func setDurations(flags []durationFlag) error {
	for _, f := range flags {
		if f.text == "" {
			continue
		}
		d, err := spec.ParseDuration(f.text)
		if err != nil {
			return spec.At(f.flag, err)
		}
		*f.field = d
	}
	return nil
}

// runLife sets how the service ends, comes back and is balanced.
func runLife(f *runFlags, s *spec.Service) error {
	if f.Restart != "" {
		if err := spec.ParseRestart(f.Restart, &s.Restart); err != nil {
			return spec.At("--restart", err)
		}
	}
	if f.StopSignal != "" {
		name, err := spec.ParseSignal(f.StopSignal)
		if err != nil {
			return spec.At("--stop-signal", err)
		}
		s.Stop.Signal = name
	}
	if f.Balance != "" {
		s.Balance.Policy = f.Balance
	}
	if f.NodeMode != "" {
		s.NodeMode = spec.NodeMode(f.NodeMode)
	}
	grace := f.StopTimeout
	if _, err := strconv.ParseUint(grace, 10, 31); err == nil {
		grace += "s"
	}
	return setDurations([]durationFlag{
		{"--stop-timeout", grace, &s.Stop.Grace},
		{"--hold", f.Hold, &s.Forward.Hold},
		{"--answer-timeout", f.AnswerTimeout, &s.Forward.AnswerTimeout},
	})
}

// runContainer makes the container of an image, on a network of the project's own.
func runContainer(f *runFlags, s *spec.Service) error {
	if s.Engine != spec.EngineDocker {
		return nil
	}
	s.Container = &spec.Container{
		Image:   f.Args[0],
		Network: spec.Networking{Networks: []spec.Network{{Key: "default", Name: cmp.Or(f.Project, projectName(s.Name)) + "_default"}}},
	}
	if f.StopSignal != "" {
		s.Container.StopSignal = s.Stop.Signal
	}
	h := &s.Container.Healthcheck
	h.Test, h.Retries = s.Health.Test, f.HealthRetries
	s.Health.Test = nil // Docker's business
	if f.NoHealthcheck {
		h.Test = []string{"NONE"}
	}
	for _, d := range []struct {
		given    string
		from, to *time.Duration
	}{
		{f.HealthInterval, &s.Health.Interval, &h.Interval}, {f.HealthTimeout, &s.Health.Timeout, &h.Timeout},
		{f.HealthStartPeriod, &s.Health.StartPeriod, &h.StartPeriod}, {f.HealthStartInterval, &s.Health.StartInterval, &h.StartInterval},
	} {
		if d.given != "" {
			*d.to = *d.from
		}
	}
	return nil
}

// asFlag renames the place of a problem from the file's words to the flag's.
func asFlag(err error) error {
	var p *spec.Problem
	if !errors.As(err, &p) {
		return err
	}
	flags := []struct{ part, flag string }{
		{".ports", "--publish"}, {".replicas", "--workers"}, {"healthcheck.test", "--health-cmd"},
		{"healthcheck.interval", "--health-interval"}, {"healthcheck.timeout", "--health-timeout"},
		{"healthcheck.retries", "--health-retries"}, {"healthcheck.start_period", "--health-start-period"},
		{"healthcheck.start_interval", "--health-start-interval"}, {"probe.http", "--health-http"},
		{"x-bulsa.probe", "--health-cmd"}, {"x-bulsa.balance", "--balance"}, {"x-bulsa.node", "--node"},
		{".environment", "--env"}, {"stop_signal", "--stop-signal"}, {".command", "bulsa run"},
	}
	for _, f := range flags {
		if strings.Contains(p.Where, f.part) {
			return &spec.Problem{Where: f.flag, What: p.What, Fix: p.Fix}
		}
	}
	return p
}

func runWarnings(f runFlags) []spec.Warning {
	if f.HealthStartInterval != "" && f.HealthStartPeriod == "" {
		return []spec.Warning{{Where: "--health-start-interval", Message: "has no effect without --health-start-period"}}
	}
	return nil
}
