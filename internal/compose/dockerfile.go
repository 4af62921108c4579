package compose

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"bulsa/internal/spec"
)

// dockerfileHealth takes the HEALTHCHECK of a service's Dockerfile where the
// service runs as processes: a container of it would be checked so, too. The
// file's own healthcheck is laid over it.
func (c *converter) dockerfileHealth(path string, from types.ServiceConfig, s *spec.Service) error {
	b := from.Build
	if s.Engine != spec.EngineProcess || b == nil || isRemote(b.Context) {
		return nil
	}
	content := []byte(b.DockerfileInline)
	if b.DockerfileInline == "" {
		var err error
		if content, err = os.ReadFile(absolute(b.Context, filepath.FromSlash(b.Dockerfile))); err != nil {
			c.warn(path+".build", "build of service %s is ignored: its Dockerfile cannot be read: %v", from.Name, err)
			return nil
		}
	}
	check, err := healthcheckOf(content, b.Target)
	if err != nil {
		c.warn(path+".build", "build of service %s is ignored: its Dockerfile cannot be read: %v", from.Name, err)
		return nil
	}
	if check == nil {
		return nil
	}
	given := check.Health
	s.Health.Disabled = len(given.Test) > 0 && given.Test[0] == "NONE"
	if !s.Health.Disabled {
		s.Health.Test = given.Test
	}
	override(&s.Health.Interval, given.Interval)
	override(&s.Health.Timeout, given.Timeout)
	override(&s.Health.StartPeriod, given.StartPeriod)
	override(&s.Health.StartInterval, given.StartInterval)
	override(&s.Health.Retries, given.Retries)
	return nil
}

// healthcheckOf is the last HEALTHCHECK of a build's target, or of the stages
// that it starts from; nil where there is none.
func healthcheckOf(dockerfile []byte, target string) (*instructions.HealthCheckCommand, error) {
	parsed, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	named := func(name string) int {
		for i, stage := range stages {
			if name != "" && strings.EqualFold(stage.Name, name) {
				return i
			}
		}
		return -1
	}
	at := len(stages) - 1
	if i := named(target); i >= 0 {
		at = i
	}
	for at >= 0 {
		var last *instructions.HealthCheckCommand
		for _, command := range stages[at].Commands {
			if check, ok := command.(*instructions.HealthCheckCommand); ok {
				last = check
			}
		}
		if last != nil {
			return last, nil
		}
		if next := named(stages[at].BaseName); next < at { // a stage starts from an earlier one
			at = next
		} else {
			break
		}
	}
	return nil, nil
}
