package compose

import (
	"fmt"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// engineOf is what x-bulsa says, else a container where the service has an
// image. A wrong x-bulsa is reported when it is decoded.
func engineOf(from types.ServiceConfig) spec.Engine {
	x, _ := from.Extensions[extensionKey].(map[string]any)
	if name, given := x["engine"].(string); given {
		return spec.Engine(name)
	}
	if (from.Build != nil || from.Image != "") && !hasKey(x, "servers") {
		return spec.EngineDocker
	}
	return spec.EngineProcess
}

// container fills in the container group. Everything that is not understood
// here is warned of by ignoredByContainer.
func (c *converter) container(path string, from types.ServiceConfig, s *spec.Service) error {
	s.Container = &spec.Container{Entrypoint: from.Entrypoint}
	for _, key := range plainKeys() {
		key.read(&from, s.Container)
	}
	for _, step := range []func(string, types.ServiceConfig, *spec.Service) error{
		c.consistent, c.containerCommand, c.pull, c.build, c.containerHealth, c.resources, c.securityOptions, c.exposed, c.networks, c.borrowed, c.volumes, c.files, c.containerLog,
	} {
		if err := step(path, from, s); err != nil {
			return err
		}
	}
	if s.Stop.Signal != "" && from.StopSignal != "" {
		s.Container.StopSignal = s.Stop.Signal
	}
	return nil
}

// pull reads pull_policy: daily, weekly and every_AGE are refresh with an age.
func (c *converter) pull(path string, from types.ServiceConfig, s *spec.Service) error {
	policy, age, err := from.GetPullPolicy()
	if err != nil {
		return &spec.Problem{Where: path + ".pull_policy", What: fmt.Sprintf("%q is not a pull policy", from.PullPolicy), Fix: "use missing, always, never, build, daily, weekly or every_12h"}
	}
	if from.PullRefreshAfter != "" {
		if age, err = spec.ParseDuration(from.PullRefreshAfter); err != nil {
			return spec.At(path+".pull_refresh_after", err)
		}
	}
	switch {
	case from.PullPolicy == "":
		policy = ""
	case policy == types.PullPolicyIfNotPresent:
		policy = spec.PullMissing
	}
	s.Container.Pull, s.Container.Refresh = policy, age
	return nil
}

func renderPull(c *spec.Container, out section) {
	put(out, "pull_policy", c.Pull)
	if c.Pull == spec.PullRefresh {
		out["pull_policy"] = "every_" + c.Refresh.String()
	}
}

// containerCommand: what is not given is the image's, and nothing is inherited
// from bulsa's own environment.
func (c *converter) containerCommand(path string, from types.ServiceConfig, s *spec.Service) error {
	if err := c.noShell(path); err != nil {
		return err
	}
	s.Command = spec.Command{Args: from.Command, Dir: from.WorkingDir, User: from.User, Init: from.Init != nil && *from.Init}
	env := map[string]string{}
	for name, value := range from.Environment {
		if value != nil {
			env[name] = *value
		}
	}
	s.Command.Env = spec.SortEnvironment(env)
	return nil
}

// containerHealth keeps what the file gives: Docker lays it over the image's
// own check and runs the result. bulsa's check from outside uses the same times.
func (c *converter) containerHealth(_ string, from types.ServiceConfig, s *spec.Service) error {
	s.Health.Test = nil
	h := from.HealthCheck
	if h == nil {
		return nil
	}
	out := &s.Container.Healthcheck
	if s.Health.Disabled {
		out.Test = []string{"NONE"}
		s.Health.Disabled = h.Disable
		return nil
	}
	out.Test = h.Test
	for _, field := range []struct {
		to   *time.Duration
		from *types.Duration
	}{{&out.Interval, h.Interval}, {&out.Timeout, h.Timeout}, {&out.StartPeriod, h.StartPeriod}, {&out.StartInterval, h.StartInterval}} {
		set(field.to, field.from)
	}
	if h.Retries != nil {
		out.Retries = int(min(*h.Retries, 1<<30))
	}
	return nil
}

func (c *converter) containerLog(_ string, from types.ServiceConfig, s *spec.Service) error {
	if from.Logging != nil {
		s.Container.Log = spec.ContainerLog{Driver: from.Logging.Driver, Options: from.Logging.Options}
	}
	return nil
}

func override[T int | int64 | float64 | time.Duration](field *T, given T) {
	if given != 0 {
		*field = given
	}
}
