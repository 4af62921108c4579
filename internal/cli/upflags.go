package cli

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
	"bulsa/internal/spec"
)

// composeUp are the flags of up that docker compose's users have in their fingers.
type composeUp struct {
	wait     bool
	recreate bool
	noDeps   bool
	pull     string
	noBuild  bool
	abort    bool   // --abort-on-container-exit
	exitFrom string // --exit-code-from
}

func addComposeUpFlags(cmd *cobra.Command, o *composeUp) {
	f := cmd.Flags()
	f.BoolVar(&o.wait, "wait", false, "as -d: return when all is ready")
	f.BoolVar(&o.recreate, "force-recreate", false, "replace all workers, also where nothing has changed")
	f.BoolVar(&o.noDeps, "no-deps", false, "only the services that are named, without those that they depend on")
	f.StringVar(&o.pull, "pull", "", "`POLICY` for images that are not built: always, missing or never")
	f.BoolVar(&o.noBuild, "no-build", false, "build no image, also where it is missing")
	f.BoolVar(&o.abort, "abort-on-container-exit", false, "stop the project when a worker has ended, also by its own will")
	f.StringVar(&o.exitFrom, "exit-code-from", "", "as --abort-on-container-exit; the exit status is that of the first worker of `SERVICE` that ended")
	for _, name := range []string{"remove-orphans", "quiet-pull", "yes", "no-color", "no-log-prefix", "menu"} {
		f.Bool(name, false, "accepted; it is so anyway, or has no meaning here")
		if err := f.MarkHidden(name); err != nil {
			panic(err) // it is there
		}
	}
}

// detached reports whether a start goes on in the background, and checks the flags
// against each other.
func (o composeUp) detached(detach bool) (bool, error) {
	ends := o.abort || o.exitFrom != ""
	if ends && (detach || o.wait) {
		return false, usage("--abort-on-container-exit has no meaning with -d or --wait: nobody stays to see it")
	}
	return detach || o.wait, nil
}

// apply changes a project as the flags ask.
func (o composeUp) apply(p *spec.Project, named []string) error {
	if o.noDeps && len(named) > 0 {
		p.Services = slices.DeleteFunc(p.Services, func(s spec.Service) bool { return !slices.Contains(named, s.Name) })
		for i := range p.Services {
			s := &p.Services[i]
			s.DependsOn = slices.DeleteFunc(slices.Clone(s.DependsOn), func(d spec.Dependency) bool {
				return !slices.ContainsFunc(p.Services, func(other spec.Service) bool { return other.Name == d.Service })
			})
		}
	}
	switch o.pull {
	case "", spec.PullAlways, spec.PullMissing, spec.PullNever:
	default:
		return usage("--pull: %q is none of always, missing, never", o.pull)
	}
	for _, s := range p.Services {
		if s.Container == nil {
			continue
		}
		if o.pull != "" && s.Container.Build == nil {
			s.Container.Pull = o.pull
		}
		if o.noBuild && s.Container.Build != nil {
			s.Container.Pull = spec.PullNever
		}
	}
	if o.exitFrom != "" && !hasService(*p, o.exitFrom) {
		return usage("--exit-code-from: there is no service %q to run", o.exitFrom)
	}
	return nil
}

// applyChange is apply for a project that runs: what it runs is not taken away.
func (o composeUp) applyChange(ctx context.Context, p *spec.Project, named []string, running *client.Client) error {
	if o.abort || o.exitFrom != "" {
		return usage("project %s runs already: --abort-on-container-exit and --exit-code-from are for the bulsa up that starts it", running.Name())
	}
	if o.noDeps && len(named) > 0 {
		now, err := running.Project(ctx)
		if err != nil {
			return err
		}
		named = append(slices.Clone(named), now.ServiceNames()...)
	}
	return o.apply(p, named)
}

// launchUntilAnEnd runs a project in the foreground until a worker has ended.
func (p *program) launchUntilAnEnd(ctx context.Context, l launch, from string) error {
	watching, done := context.WithCancel(ctx)
	defer done()
	if err := notRunning(ctx, l.Project.Name); err != nil {
		return err
	}
	how := watchForAnEnd(watching, l.Project.Name, from, time.Now())
	err := p.foreground(ctx, l, nil)
	done()
	if told := <-how; told != nil {
		return told
	}
	return err
}

// watchForAnEnd ends the project when a worker has ended since then, and says how: events
// of earlier runs are kept. The result comes when the project has been asked to end, or
// ctx ends.
func watchForAnEnd(ctx context.Context, project, from string, since time.Time) <-chan error {
	result := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err, over := followToAnEnd(ctx, project, from, since); over {
				result <- err
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(readyPoll): // the project does not answer yet
			}
		}
		result <- nil
	}()
	return result
}

// deaths are the kinds of events that tell that a worker's process has ended.
func deaths() []string { return []string{"backoff", "failed", "completed", "pending"} }

func followToAnEnd(ctx context.Context, project, from string, since time.Time) (err error, over bool) {
	c, err := client.Dial(project)
	if err != nil {
		return nil, false
	}
	defer c.Close()
	var first api.Event
	follow, done := context.WithCancel(ctx)
	defer done()
	_ = c.Events(follow, true, func(e api.Event) error { // its end is the project's
		if e.Worker != "" && first.Worker == "" && !e.At.Before(since) && slices.Contains(deaths(), e.Kind) {
			first = e
			done()
		}
		return nil
	})
	if first.Worker == "" {
		return nil, false
	}
	status := statusIn(first.Message + " " + first.Cause)
	if from != "" && first.Service != from {
		if status, err = statusOf(ctx, c, from); err != nil {
			return err, true
		}
	}
	// What ends is this process: the wait for that is over when the project is.
	if err := c.Down(ctx, -1); err != nil && ctx.Err() == nil {
		return err, true
	}
	return ended(status, nil), true
}

// killedStatus is the exit status of what was stopped because another one ended.
const killedStatus = 128 + int(syscall.SIGTERM)

// statusOf is how the first worker of a service has ended before others did.
func statusOf(ctx context.Context, c *client.Client, service string) (int, error) {
	workers, err := c.Workers(ctx, true)
	for _, w := range workers {
		if w.Service == service && w.StartedAt != nil && w.State != "pending" && w.State != "failed" {
			return killedStatus, nil
		}
		if w.Service == service {
			return exitOf(w), nil
		}
	}
	return 0, err
}

// statusIn reads an exit status out of a cause: "exit 3 after 4 s", "killed by SIGKILL".
func statusIn(cause string) int {
	if m := regexp.MustCompile(`\bexit (\d+) after`).FindStringSubmatch(cause); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	if m := regexp.MustCompile(`killed by (SIG[A-Z0-9]+)`).FindStringSubmatch(cause); m != nil {
		return 128 + int(unix.SignalNum(m[1]))
	}
	return 0
}
