package compose

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// converter turns compose-go's model into a spec.Project. Its problems carry
// paths (services.app.ports.0), which source turns into lines.
type converter struct {
	options Options
	source  *source
	dir     string
	env     types.Mapping // for interpolation, the env files included
	model   *types.Project
	project spec.Project   // as far as it is converted
	advice  []spec.Warning // with a path in place of a line
}

func (c *converter) convert(model *types.Project, files []string) (spec.Project, error) {
	p := spec.Project{Name: model.Name, Dir: c.dir, Files: files, Places: map[string]string{}}
	c.model, c.project = model, p
	if err := c.extensionPlaces(model); err != nil {
		return p, err
	}
	for _, name := range slices.Sorted(maps.Keys(model.Services)) {
		s, err := c.service(model.Services[name])
		if err != nil {
			return p, err
		}
		p.Services = append(p.Services, s)
		c.places(p.Places, model.Services[name])
	}
	if len(p.Services) == 0 {
		return p, &spec.Problem{Where: "services", What: "no service to run", Fix: "add one under services, or activate a profile"}
	}
	sorted, err := spec.SortServices(p.Services)
	if err != nil {
		return p, err
	}
	p.Services = sorted
	if err := spec.JoinPools(p.Services); err != nil {
		return p, err
	}
	spec.SettleRestarts(p.Services)
	return p, spec.Validate(p)
}

// places notes where a service says what only its start can find wrong.
func (c *converter) places(places map[string]string, from types.ServiceConfig) {
	path := "services." + from.Name
	for _, key := range []string{"", ".entrypoint", ".command", ".working_dir", ".user", ".image", ".build"} {
		if at, known := c.source.values[path+key]; known {
			places[path+key] = at.String()
		}
	}
	tls := path + "." + extensionKey + ".tls"
	for key, at := range c.source.values {
		if key == tls || strings.HasPrefix(key, tls+".") { // files that cannot be used
			places[key] = at.String()
		}
	}
	if at := places[path+".entrypoint"]; at != "" {
		places[path+".command"] = at // it is what is executed
	}
	n := 0
	for i, p := range from.Ports {
		if !balanced(p) || p.Mode == "host" && engineOf(from) == spec.EngineDocker {
			continue
		}
		first, last, _ := publishedRange(p) // an error has been told
		for range last - first + 1 {
			places[fmt.Sprintf("%s.ports.%d", path, n)] = c.source.where(fmt.Sprintf("%s.ports.%d", path, i))
			n++
		}
	}
}

func (c *converter) warn(path, format string, args ...any) {
	c.advice = append(c.advice, spec.Warning{Where: path, Message: fmt.Sprintf(format, args...)})
}

func (c *converter) service(from types.ServiceConfig) (spec.Service, error) {
	s := spec.NewService(from.Name)
	path := "services." + from.Name
	if from.Provider != nil {
		return s, &spec.Problem{Where: path + ".provider", What: "provider services are not part of this version", Fix: "remove provider and give a command"}
	}
	c.dependencies(from, &s)
	s.Engine = engineOf(from)
	steps := []func(string, types.ServiceConfig, *spec.Service) error{
		c.command, c.ports, c.dockerfileHealth, c.health, c.restart, c.stop, c.deploy, c.logging, c.extension, c.settle,
	}
	if s.Engine == spec.EngineDocker {
		steps = slices.Replace(steps, 0, 1)
		steps = slices.Insert(steps, len(steps)-2, c.container)
	}
	for _, step := range steps {
		if err := step(path, from, &s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// command is entrypoint and command, as a container would see them. They run in
// the project's folder, or in that of the file that was included or extended for
// them; the working directory is relative to that.
func (c *converter) command(path string, from types.ServiceConfig, s *spec.Service) error {
	if err := c.noShell(path); err != nil {
		return err
	}
	s.Command.Args = append(slices.Clone([]string(from.Entrypoint)), from.Command...)
	s.Command.Dir = absolute(c.dir, c.source.folder(path+".command", path+".entrypoint"))
	if from.WorkingDir != "" {
		base := absolute(c.dir, c.source.folder(path+".working_dir"))
		s.Command.Dir = absolute(base, filepath.FromSlash(from.WorkingDir))
	}
	s.Command.User = from.User
	s.Command.Init = from.Init != nil && *from.Init
	s.Command.Env = c.environment(from)
	return nil
}

// noShell refuses a line that a shell would have to read, also where the operator
// comes out of a variable: the rest of the line would be lost without a word.
func (c *converter) noShell(path string) error {
	for _, key := range []string{"entrypoint", "command"} {
		line := c.source.text(path + "." + key)
		if shellOperator(line) == "" && strings.Contains(line, "$") {
			line, _ = template.Substitute(line, c.env.Resolve) // compose-go has done it without an error
		}
		if operator := shellOperator(line); operator != "" {
			return &spec.Problem{
				Where: path + "." + key,
				What:  fmt.Sprintf("%q would end the %s: no shell is run", operator, key),
				Fix:   `quote it, or write ["sh", "-c", "..."]`,
			}
		}
	}
	return nil
}

// shellOperator is the first shell operator outside quotes. compose-go drops
// it and the rest of the line without a word.
func shellOperator(line string) string {
	quote := rune(0)
	escaped := false
	for _, r := range line {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"' || r == '`':
			quote = r
		case strings.ContainsRune(";&|<>", r):
			return string(r)
		}
	}
	return ""
}

// environment is bulsa's own with the service's on top: unlike a container,
// a process needs PATH, HOME and the like. KEY without a value, and not set
// anywhere, is not passed on.
func (c *converter) environment(from types.ServiceConfig) []string {
	env := map[string]string{}
	if !c.options.NoInherit {
		env = spec.Environment(c.options.Environ)
	}
	for name, value := range from.Environment {
		delete(env, name)
		if value != nil {
			env[name] = *value
		}
	}
	return spec.SortEnvironment(env)
}

func (c *converter) dependencies(from types.ServiceConfig, s *spec.Service) {
	for _, name := range slices.Sorted(maps.Keys(from.DependsOn)) {
		d := from.DependsOn[name]
		s.DependsOn = append(s.DependsOn, spec.Dependency{Service: name, Condition: d.Condition, Restart: d.Restart, Required: d.Required})
	}
}

func (c *converter) ports(path string, from types.ServiceConfig, s *spec.Service) error {
	for i, p := range from.Ports {
		where := fmt.Sprintf("%s.ports.%d", path, i)
		if s.Engine == spec.EngineDocker && p.Mode == "host" {
			continue // Docker's business
		}
		if !balanced(p) {
			if s.Engine == spec.EngineDocker {
				c.warn(where, "port %d/%s is published by Docker: bulsa balances tcp alone, so it leads to one container", p.Target, p.Protocol)
			} else {
				c.warn(where, "port %d/%s is ignored: only tcp is balanced", p.Target, p.Protocol)
			}
			continue
		}
		first, last, err := publishedRange(p)
		if err != nil {
			return spec.At(where, err)
		}
		for published := first; published <= last; published++ {
			s.Ports = append(s.Ports, spec.Port{Host: p.HostIP, Published: published, Target: int(min(p.Target, 1<<17)), Protocol: spec.ParseAppProtocol(p.AppProtocol)})
		}
	}
	return nil
}

// mostPublished bounds a range of ports that lead to one target.
const mostPublished = 100

// publishedRange is the ports that lead to one target. Docker gives each container one
// of a range; bulsa, which balances, listens on all of them.
func publishedRange(p types.ServicePortConfig) (first, last int, err error) {
	if p.Published == "" {
		return 0, 0, nil
	}
	first, last, err = portRange(p.Published)
	if err == nil && last-first >= mostPublished {
		err = &spec.Problem{What: fmt.Sprintf("%d ports lead to one", last-first+1), Fix: fmt.Sprintf("give at most %d, or mode: host", mostPublished)}
	}
	return first, last, err
}

func balanced(p types.ServicePortConfig) bool { return p.Protocol == "" || p.Protocol == "tcp" }

// health is Docker's: a duration of zero means the default (moby
// api/types/container/health.go).
func (c *converter) health(path string, from types.ServiceConfig, s *spec.Service) error {
	h := from.HealthCheck
	if h == nil {
		return nil
	}
	path += ".healthcheck"
	s.Health.Disabled = h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE"
	switch {
	case s.Health.Disabled:
		s.Health.Test = nil
	case len(h.Test) > 0:
		s.Health.Test = h.Test
	}
	set(&s.Health.Interval, h.Interval)
	set(&s.Health.Timeout, h.Timeout)
	set(&s.Health.StartPeriod, h.StartPeriod)
	set(&s.Health.StartInterval, h.StartInterval)
	if h.Retries != nil && *h.Retries > 0 {
		s.Health.Retries = int(min(*h.Retries, 1<<30))
	}
	if h.StartInterval != nil && *h.StartInterval != 0 && s.Health.StartPeriod == 0 {
		c.warn(path+".start_interval", "start_interval has no effect without start_period")
	}
	return nil
}

// set takes a duration that was given and is not zero.
func set(field *time.Duration, given *types.Duration) {
	if given != nil && *given != 0 {
		*field = time.Duration(*given)
	}
}

func (c *converter) restart(path string, from types.ServiceConfig, s *spec.Service) error {
	if from.Restart == "" && (from.Deploy == nil || from.Deploy.RestartPolicy == nil) {
		s.Restart.Condition = spec.RestartServing
		return nil
	}
	if from.Restart != "" {
		if err := spec.ParseRestart(from.Restart, &s.Restart); err != nil {
			return spec.At(path+".restart", err)
		}
	}
	if from.Deploy == nil || from.Deploy.RestartPolicy == nil {
		return nil
	}
	policy := from.Deploy.RestartPolicy
	if from.Restart != "" {
		c.warn(path+".restart", "restart is ignored: deploy.restart_policy is given as well and counts")
		s.Restart.Condition, s.Restart.MaxAttempts = spec.RestartAlways, 0
	}
	if policy.Condition != "" {
		s.Restart.Condition = spec.RestartCondition(policy.Condition)
	}
	if s.Restart.Condition == spec.RestartServing {
		return &spec.Problem{Where: path + ".deploy.restart_policy.condition", What: fmt.Sprintf("%q is not known", policy.Condition), Fix: "use one of any, on-failure, none, or leave restart out"}
	}
	if policy.Delay != nil {
		s.Restart.Delay = time.Duration(*policy.Delay)
	}
	set(&s.Restart.Window, policy.Window)
	if policy.MaxAttempts != nil {
		s.Restart.MaxAttempts = int(min(*policy.MaxAttempts, 1<<30))
	}
	return nil
}

func (c *converter) stop(path string, from types.ServiceConfig, s *spec.Service) error {
	if from.StopGracePeriod != nil {
		s.Stop.Grace = time.Duration(*from.StopGracePeriod)
	}
	if from.StopSignal == "" {
		return nil
	}
	name, err := spec.ParseSignal(from.StopSignal)
	if err != nil {
		return spec.At(path+".stop_signal", err)
	}
	s.Stop.Signal = name
	return nil
}

func (c *converter) deploy(path string, from types.ServiceConfig, s *spec.Service) error {
	if from.Scale != nil {
		s.Replicas = *from.Scale
	}
	d := from.Deploy
	if d == nil {
		return nil
	}
	if d.Replicas != nil {
		if from.Scale != nil && *from.Scale != *d.Replicas {
			return &spec.Problem{Where: path + ".scale", What: fmt.Sprintf("scale is %d, but deploy.replicas is %d", *from.Scale, *d.Replicas), Fix: "keep one of them"}
		}
		s.Replicas = *d.Replicas
	}
	if d.UpdateConfig == nil {
		return nil
	}
	u := d.UpdateConfig
	s.Update.Delay = time.Duration(u.Delay)
	if u.Parallelism != nil {
		s.Update.Parallelism = int(min(*u.Parallelism, 1<<30))
	}
	switch order := spec.UpdateOrder(u.Order); order {
	case "", spec.StartFirst, spec.StopFirst:
		s.Update.Order = order
	default:
		return &spec.Problem{Where: path + ".deploy.update_config.order", What: fmt.Sprintf("%q is not an order", u.Order), Fix: "use start-first or stop-first"}
	}
	return nil
}

// logging understands the options of Docker's json-file driver.
func (c *converter) logging(path string, from types.ServiceConfig, s *spec.Service) error {
	if from.Logging == nil {
		return nil
	}
	path += ".logging"
	if driver := from.Logging.Driver; s.Engine != spec.EngineDocker && driver != "" && driver != "json-file" && driver != "local" {
		c.warn(path+".driver", "the log driver %s is ignored: output goes to rotated files", driver)
	}
	for _, key := range slices.Sorted(maps.Keys(from.Logging.Options)) {
		value := from.Logging.Options[key]
		where := path + ".options." + key
		switch key {
		case "max-size":
			n, err := spec.ParseSize(value)
			if err != nil {
				return spec.At(where, err)
			}
			s.Logs.MaxSize = n
		case "max-file":
			n, err := strconv.Atoi(value)
			if err != nil {
				return &spec.Problem{Where: where, What: fmt.Sprintf("%q is not a number of files", value), Fix: "write a number such as 5"}
			}
			s.Logs.MaxFiles = n
		default:
			if s.Engine == spec.EngineDocker {
				continue
			}
			c.warn(where, "the log option %s is ignored; max-size and max-file are understood", key)
		}
	}
	return nil
}

// settle fills in what depends on several fields.
func (c *converter) settle(_ string, from types.ServiceConfig, s *spec.Service) error {
	if s.Engine == spec.EngineExternal {
		// What has no effect is not part of the digest: changing it changes nothing.
		plain := spec.NewService(s.Name)
		s.Replicas = len(s.Servers)
		s.Command = spec.Command{Args: s.Command.Args}
		s.Restart, s.Update, s.Logs = plain.Restart, plain.Update, plain.Logs
		s.Stop.Signal, s.Stop.Grace = plain.Stop.Signal, plain.Stop.Grace
	}
	x, _ := from.Extensions[extensionKey].(map[string]any)
	if _, given := x["restart"]; given && s.Restart.Condition == spec.RestartServing {
		s.Restart.Condition = spec.RestartAlways // who says how it is restarted wants it to be
	}
	if !hasKey(x["restart"], "max_delay") {
		s.Restart.MaxDelay = max(s.Restart.MaxDelay, s.Restart.Delay)
	}
	if strings.TrimSpace(strings.Join(s.Command.Args, "")) == "" && len(from.Entrypoint) == 0 {
		s.Command.Args = nil
	}
	return nil
}
