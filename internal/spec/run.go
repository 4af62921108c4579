package spec

import (
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
)

// RunFlags is the command line of `bulsa run`, as typed. An empty or zero
// field means that the flag was not given.
type RunFlags struct {
	Args        []string // the command and its arguments; Args[0] may be a script or a folder
	Dir         string   // absolute working directory
	Folder      string   // absolute path, when Args[0] names a folder
	PackageJSON []byte   // the folder's package.json
	Name        string
	Engine      string // process | docker; empty: process
	Workers     string // N or auto
	CPUs        int    // what auto stands for
	Publish     []string
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
}

// FromRun is the project of one service that a command line asks for. Errors
// are *Problem and name the flag.
func FromRun(f RunFlags) (Project, []Warning, error) {
	if len(f.Args) == 0 || f.Args[0] == "" {
		return Project{}, nil, &Problem{Where: "bulsa run", What: "no command", Fix: "give one, as in bulsa run app.js"}
	}
	name := f.Name
	if name == "" {
		name = serviceName(f)
	}
	if !validName(name) {
		return Project{}, nil, &Problem{Where: "--name", What: fmt.Sprintf("%q is not a service name", name), Fix: "use letters, digits, dots, - and _"}
	}
	s := NewService(name)
	for _, step := range []func(*RunFlags, *Service) error{
		runEngine, runCommand, runEnvironment, runWorkers, runPorts, runHealth, runLife, runContainer,
	} {
		if err := step(&f, &s); err != nil {
			return Project{}, nil, err
		}
	}
	p := Project{Name: projectName(name), Dir: f.Dir, Services: []Service{s}}
	if err := Validate(p); err != nil {
		return Project{}, nil, asFlag(err)
	}
	return p, runWarnings(f), nil
}

// serviceName derives a name from what is run: app for app.js, the folder's
// name for a folder, else the command's base name. With an interpreter in
// front, the script counts: app for `node app.js`.
func serviceName(f RunFlags) string {
	base := filepath.Base(f.Args[0])
	if f.Folder != "" {
		base = filepath.Base(f.Folder)
	}
	if f.Engine == string(EngineDocker) {
		base, _, _ = strings.Cut(base, "@") // NAME:TAG or NAME@DIGEST
		base, _, _ = strings.Cut(base, ":")
		return sanitize(base)
	}
	if base == "node" {
		for _, arg := range f.Args[1:] {
			if isScript(arg) {
				base = filepath.Base(arg)
				break
			}
		}
	}
	if isScript(base) {
		base = strings.TrimSuffix(base, path.Ext(base))
	}
	return sanitize(base)
}

// sanitize turns any text into a valid service name.
func sanitize(text string) string {
	name := strings.Map(func(r rune) rune {
		if validName(string(r)) || r == '.' {
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

func runEngine(f *RunFlags, s *Service) error {
	switch Engine(f.Engine) {
	case "", EngineProcess:
		return nil
	case EngineDocker:
		s.Engine = EngineDocker
		return nil
	}
	return &Problem{Where: "--engine", What: fmt.Sprintf("%q is not an engine that runs a command", f.Engine), Fix: "use process or docker"}
}

func runCommand(f *RunFlags, s *Service) error {
	s.Command.Dir, s.Command.User = f.Dir, f.User
	switch {
	case s.Engine == EngineDocker:
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
func startScript(f *RunFlags) ([]string, error) {
	where := filepath.Join(f.Folder, "package.json")
	if f.PackageJSON == nil {
		return nil, &Problem{Where: f.Folder, What: "this folder has no package.json", Fix: "name the script to run, as in bulsa run " + filepath.Join(f.Args[0], "app.js")}
	}
	var p struct {
		Main    string            `json:"main"`
		Scripts map[string]string `json:"scripts"`
	}
	if err := json.Unmarshal(f.PackageJSON, &p); err != nil {
		return nil, &Problem{Where: where, What: "not a valid package.json: " + err.Error()}
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
	return nil, &Problem{Where: where, What: "neither scripts.start nor main is set", Fix: "add a start script, or name the file to run"}
}

// runEnvironment puts bulsa's own environment below, env files above it, and
// --env on top, as docker run does.
func runEnvironment(f *RunFlags, s *Service) error {
	var lines []string
	for _, content := range f.EnvFiles {
		for line := range strings.Lines(content) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	own := Environment(f.Environ)
	env := map[string]string{} // a container inherits nothing
	if s.Engine == EngineProcess {
		maps.Copy(env, own)
	}
	for _, entry := range append(lines, f.Env...) {
		name, value, given := strings.Cut(entry, "=")
		if name == "" || strings.ContainsAny(name, " \t") {
			return &Problem{Where: "--env", What: fmt.Sprintf("%q is not a variable", entry), Fix: "write KEY=VALUE, or KEY to pass on bulsa's own"}
		}
		if inherited, known := own[name]; !given && known {
			env[name] = inherited
		}
		if given {
			env[name] = value
		}
	}
	s.Command.Env = SortEnvironment(env)
	return nil
}

// Environment turns KEY=VALUE lines into a map; the last of equal keys counts.
func Environment(lines []string) map[string]string {
	env := make(map[string]string, len(lines))
	for _, line := range lines {
		if name, value, found := strings.Cut(line, "="); found && name != "" {
			env[name] = value
		}
	}
	return env
}

// Inherit is the environment own on top of what is inherited, sorted by key.
func Inherit(own, inherited []string) []string {
	env := Environment(inherited)
	maps.Copy(env, Environment(own))
	return SortEnvironment(env)
}

// SortEnvironment turns a map into KEY=VALUE lines, sorted by key.
func SortEnvironment(env map[string]string) []string {
	lines := make([]string, 0, len(env))
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	slices.SortFunc(lines, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "=")
		nameB, _, _ := strings.Cut(b, "=")
		return strings.Compare(nameA, nameB)
	})
	return lines
}

func runWorkers(f *RunFlags, s *Service) error {
	n, err := ParseWorkers(f.Workers, f.CPUs)
	if err != nil {
		return At("--workers", err)
	}
	s.Replicas = n
	return nil
}

// ParseWorkers reads a number of workers, or auto for one per CPU; empty is 1.
func ParseWorkers(text string, cpus int) (int, error) {
	switch text {
	case "":
		return 1, nil
	case "auto":
		return max(cpus, 1), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > MaxReplicas {
		return 0, fmt.Errorf("%q is not a number of workers; give 0 to %d, or auto for one per CPU", text, MaxReplicas)
	}
	return n, nil
}

func runPorts(f *RunFlags, s *Service) error {
	for _, text := range f.Publish {
		p, err := ParsePublish(text)
		if err != nil {
			return At("--publish", err)
		}
		s.Ports = append(s.Ports, p)
	}
	return nil
}

func runHealth(f *RunFlags, s *Service) error {
	h := &s.Health
	if f.NoHealthcheck && (f.HealthCmd != "" || f.HealthHTTP != "" || f.HealthTCP || f.HealthLoop) {
		return &Problem{Where: "--no-healthcheck", What: "a health check is given as well", Fix: "remove one of the two"}
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
		d, err := ParseDuration(f.text)
		if err != nil {
			return At(f.flag, err)
		}
		*f.field = d
	}
	return nil
}

// runLife sets how the service ends, comes back and is balanced.
func runLife(f *RunFlags, s *Service) error {
	if f.Restart != "" {
		if err := ParseRestart(f.Restart, &s.Restart); err != nil {
			return At("--restart", err)
		}
	}
	if f.StopSignal != "" {
		name, err := ParseSignal(f.StopSignal)
		if err != nil {
			return At("--stop-signal", err)
		}
		s.Stop.Signal = name
	}
	if f.Balance != "" {
		s.Balance.Policy = f.Balance
	}
	if f.NodeMode != "" {
		s.NodeMode = NodeMode(f.NodeMode)
	}
	grace := f.StopTimeout
	if _, err := strconv.ParseUint(grace, 10, 31); err == nil {
		grace += "s"
	}
	return setDurations([]durationFlag{
		{"--stop-timeout", grace, &s.Stop.Grace},
		{"--hold", f.Hold, &s.Forward.Hold},
	})
}

// runContainer makes the container of an image, on a network of the project's own.
func runContainer(f *RunFlags, s *Service) error {
	if s.Engine != EngineDocker {
		return nil
	}
	s.Container = &Container{
		Image:   f.Args[0],
		Network: Networking{Networks: []Network{{Key: "default", Name: projectName(s.Name) + "_default"}}},
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
	var p *Problem
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
			return &Problem{Where: f.flag, What: p.What, Fix: p.Fix}
		}
	}
	return p
}

func runWarnings(f RunFlags) []Warning {
	if f.HealthStartInterval != "" && f.HealthStartPeriod == "" {
		return []Warning{{Where: "--health-start-interval", Message: "has no effect without --health-start-period"}}
	}
	return nil
}
