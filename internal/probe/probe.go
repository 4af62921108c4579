// Package probe runs one health check once and says whether it passed, with its
// output and its cost. When to check, and what a result means, is worker's
// business.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// MaxOutput is how much of a check's output is kept, in bytes, as Docker does.
const MaxOutput = 4096

// Exit codes of a check that are not those of a command.
const (
	exitPassed   = 0
	exitFailed   = 1
	exitTimedOut = -1 // also a check that could not be started, or was called off
)

// defaultTimeout stands for a timeout of zero, as in Docker.
const defaultTimeout = 30 * time.Second

// Target is the worker to check.
type Target struct {
	Engine   engine.Engine
	Instance engine.InstanceID
	Connect  func(ctx context.Context) (net.Conn, error) // opens a connection to the worker; nil while it does not listen
	Host     string                                      // for the Host header of an http check
	Loop     func() (silent time.Duration, known bool)   // how long its event loop has not turned; known: it is watched
}

// Run runs the service's check once against t, within h.Timeout. It returns
// when the check and everything it started have ended. Where several kinds of
// check are configured, the command is followed by http, by tcp and by loop, within
// the same timeout, and the first that fails decides.
func Run(ctx context.Context, h spec.Health, t Target) worker.CheckResult {
	if h.Timeout <= 0 {
		h.Timeout = defaultTimeout
	}
	result := worker.CheckResult{Start: time.Now()}
	a := attempt{health: h, target: t, deadline: result.Start.Add(h.Timeout)}
	for _, check := range a.checks() {
		verdict := check(ctx)
		result.CPU += verdict.CPU
		result.ExitCode, result.Output = verdict.ExitCode, verdict.Output
		if !result.Passed() {
			break
		}
	}
	result.Output = cut(result.Output)
	result.End = time.Now()
	return result
}

// attempt is one run of all the checks of a service against one worker.
type attempt struct {
	health   spec.Health
	target   Target
	deadline time.Time
}

func (a attempt) checks() []func(context.Context) worker.CheckResult {
	var all []func(context.Context) worker.CheckResult
	if len(a.health.Test) > 0 {
		all = append(all, a.command)
	}
	if a.health.HTTP != "" {
		all = append(all, a.http)
	}
	if a.health.TCP {
		all = append(all, a.tcp)
	}
	if a.health.Loop {
		all = append(all, a.loop)
	}
	return all
}

// command runs the test where the worker runs. The engine measures its cost and
// kills its whole process group at the deadline.
func (a attempt) command(ctx context.Context) worker.CheckResult {
	args, err := argv(a.health.Test)
	if err != nil {
		return failed(exitTimedOut, err.Error())
	}
	r, err := a.target.Engine.Exec(ctx, a.target.Instance, engine.Command{
		Args:      args,
		Timeout:   time.Until(a.deadline),
		MaxOutput: MaxOutput,
	})
	result := worker.CheckResult{ExitCode: r.ExitCode, Output: r.Output, CPU: r.CPU}
	switch {
	case r.TimedOut:
		result.ExitCode, result.Output = exitTimedOut, a.exceeded(r.Output)
	case err != nil:
		result.ExitCode, result.Output = exitTimedOut, cannotRun(args[0], err)
	}
	return result
}

// argv turns Docker's form of a test into a command line.
func argv(test []string) ([]string, error) {
	switch {
	case len(test) > 1 && test[0] == "CMD":
		return test[1:], nil
	case len(test) > 1 && test[0] == "CMD-SHELL":
		return append([]string{"/bin/sh", "-c"}, test[1:]...), nil
	}
	return nil, fmt.Errorf("healthcheck.test is %q: write [CMD, program, argument...] or [CMD-SHELL, line]", test)
}

// cannotRun says why a check's command did not run.
func cannotRun(program string, err error) string {
	if errors.Is(err, engine.ErrNoInstance) {
		return "the worker does not run"
	}
	if errors.Is(err, context.Canceled) {
		return "the check was called off"
	}
	return fmt.Sprintf("cannot run the health check %q: %v", program, err)
}

// exceeded is what Docker writes for a check that took too long: the words of
// moby's daemon/health.go, with the output up to then.
func (a attempt) exceeded(output string) string {
	text := fmt.Sprintf("Health check exceeded timeout (%v)", a.health.Timeout)
	if output != "" {
		text += ": " + output
	}
	return text
}

func failed(code int, output string) worker.CheckResult {
	return worker.CheckResult{ExitCode: code, Output: output}
}

// cut makes output valid UTF-8, as it is shown and sent as JSON, and at most
// MaxOutput bytes long.
func cut(output string) string {
	output = strings.ToValidUTF8(output, "?")
	if len(output) > MaxOutput {
		output = strings.ToValidUTF8(output[:MaxOutput], "")
	}
	return output
}
