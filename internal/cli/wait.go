package cli

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
	"bulsa/internal/spec"
)

const (
	waitLook  = 500 * time.Millisecond // between two looks at what is waited for
	waitQuiet = 5 * time.Second        // after which a wait says what it waits for,
	waitAgain = 15 * time.Second       // and how often it does then
	waitLimit = 2 * time.Minute        // without progress, beside what a start or stop may take
	// crashes is how many deaths after the question tell that what is waited for never comes.
	crashes   = 3
	lastLines = 5 // of a worker that is not there when a wait ends
)

// wait is what a command that has asked for something knows while it waits. It decides;
// who looks and prints is await.
type wait struct {
	what   string // "restart"
	names  []string
	limit  time.Duration // without progress; 0: the usual one; negative: none
	stops  bool          // it waits for an end, not for workers that are ready
	asked  time.Time
	moved  time.Time // of the last progress
	spoken time.Time
	mark   string         // of the progress
	deaths map[string]int // restarts of workers when it was asked
}

// look takes one look at the project: what to say, if anything, and why not to wait any longer.
func (w *wait) look(now time.Time, p api.Project) (line string, over error) {
	p = p.Named(w.names)
	if w.deaths == nil {
		w.deaths = map[string]int{}
		for _, s := range p.Services {
			for _, worker := range s.Workers {
				w.deaths[worker.Name] = worker.Restarts
			}
		}
	}
	if mark := p.Mark(); mark != w.mark {
		w.mark, w.moved = mark, now
	}
	r := w.readiness(now, p)
	line = strings.Join(r.Waiting, "; ")
	limit := w.patience(p)
	switch {
	case r.Ready:
		return "", nil
	case !w.stops && (w.hopeless(p) || w.stuck(now, p)):
		return line, errors.New(line)
	case limit > 0 && now.Sub(w.moved) >= limit:
		return line, fmt.Errorf("nothing moved for %s: %s", limit.Round(time.Second), line)
	case now.Sub(w.asked) < waitQuiet, now.Sub(w.spoken) < waitAgain:
		return "", nil
	}
	w.spoken = now
	return line, nil
}

func (w *wait) readiness(now time.Time, p api.Project) api.Readiness {
	if w.stops {
		return p.Stopped(now)
	}
	return p.Settled(now)
}

// patience is how long nothing may move; 0: for ever.
func (w *wait) patience(p api.Project) time.Duration {
	if w.limit != 0 {
		return max(w.limit, 0)
	}
	longest := 0.0
	for _, s := range p.Services {
		if w.stops {
			longest = max(longest, s.StopSeconds)
		} else {
			longest = max(longest, s.StartSeconds)
		}
	}
	return waitLimit + time.Duration(longest*float64(time.Second))
}

// hopeless reports a worker that dies again and again since the question.
func (w *wait) hopeless(p api.Project) bool {
	for _, s := range p.Services {
		for _, worker := range s.Workers {
			down := worker.State == "backoff" || worker.State == "failed"
			if down && worker.Restarts-w.deaths[worker.Name] >= crashes {
				return true
			}
		}
	}
	return false
}

// stuck reports a worker that was started since the question and has failed for good,
// with nothing that moves beside it: it is not started again by itself.
func (w *wait) stuck(now time.Time, p api.Project) bool {
	if now.Sub(w.moved) < waitQuiet { // what was asked for may have an answer of its own
		return false
	}
	for _, s := range p.Services {
		for _, worker := range s.Workers {
			if s.Ready < s.Desired && gaveIn(worker) && worker.Release == s.Release && worker.StartedAt != nil && worker.StartedAt.After(w.asked) {
				return true
			}
		}
	}
	return false
}

// gaveIn reports a worker that bulsa does not start again by itself.
func gaveIn(w api.Worker) bool { return w.State == "failed" && w.Failing }

// await asks for something, and looks now and then until it is done, until there is no
// sense in waiting any longer, or until the user does not want to. do returns when it is done.
func (p *program) await(ctx context.Context, c *client.Client, w wait, do func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(asking) }()
	w.asked = time.Now()
	w.moved = w.asked
	shown := p.newProgress(w.asked, w.stops)
	tick := time.NewTicker(waitLook)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil && ctx.Err() != nil {
				return w.left(c.Name())
			}
			if project, gone := c.Project(ctx); gone == nil && shown.drawn > 0 {
				shown.draw(time.Now(), project.Named(w.names))
			}
			return err
		case <-ctx.Done():
			return w.left(c.Name())
		case <-tick.C:
		}
		project, err := c.Project(ctx)
		if _, still := errors.AsType[*client.StandsStill](err); still {
			return err
		}
		if err != nil {
			continue // do will tell, or it answers later
		}
		shown.draw(time.Now(), project.Named(w.names))
		line, over := w.look(time.Now(), project)
		if over != nil {
			return p.gaveUp(ctx, c, w, project, over)
		}
		if line != "" && shown.drawn == 0 {
			fmt.Fprintf(p.stderr, "bulsa: still waiting: %s\n", oneLine(line))
		}
	}
}

// left is the error of a wait that the user has ended.
func (w *wait) left(project string) error {
	return fmt.Errorf("not waiting any longer; %s goes on in the background: see bulsa ps -a -p %s, bulsa events -p %s", w.what, project, project)
}

// gaveUp is the error of a wait that has no end, after the last words of who is waited for.
func (p *program) gaveUp(ctx context.Context, c *client.Client, w wait, project api.Project, why error) error {
	project = project.Named(w.names)
	p.lastWords(ctx, c, project)
	serve, goesOn := 0, "bulsa goes on trying: bulsa events -f -p "
	for _, s := range project.Services {
		for _, worker := range s.Workers {
			if worker.State == "ready" {
				serve++
			}
			if gaveIn(worker) && !w.stops {
				goesOn = "see bulsa events -p "
			}
		}
	}
	text := why.Error()
	if serve > 0 && !w.stops {
		text += fmt.Sprintf("; %s meanwhile", serves(serve))
	}
	return fmt.Errorf("%s is not done: %s; %s%s", w.what, text, goesOn, c.Name())
}

func serves(n int) string {
	if n == 1 {
		return "1 worker serves"
	}
	return fmt.Sprintf("%d workers serve", n)
}

// lastWords prints the last lines that the workers wrote which are waited for.
func (p *program) lastWords(ctx context.Context, c *client.Client, project api.Project) {
	for _, s := range project.Services {
		late, there := s.Late()
		if !there || late.StartedAt == nil {
			continue
		}
		prefix := newPrefixer([]string{late.Name}, hasColor(p.stderr))
		_ = c.Logs(ctx, client.LogOptions{Tail: lastLines, Names: []string{late.Name}}, func(l api.LogLine) error {
			if !l.At.Before(*late.StartedAt) || late.State != "starting" {
				fmt.Fprintf(p.stderr, "%s%s\n", prefix.of(l.Worker), l.Text)
			}
			return nil
		})
	}
}

// addWaitFlag adds the flag that bounds a wait.
func addWaitFlag(cmd *cobra.Command, limit *waitFlag) {
	cmd.Flags().Var(limit, "wait-timeout", "`TIME` without progress, a duration or seconds, after which the command ends with 1 (default 2m, and what the configured times of checks or stops need; 0: never)")
}

// waitFlag is wait.limit as a flag.
type waitFlag time.Duration

func (f *waitFlag) String() string { return "" }
func (f *waitFlag) Type() string   { return "TIME" }

func (f *waitFlag) Set(text string) error {
	if _, err := strconv.Atoi(text); err == nil {
		text += "s"
	}
	d, err := spec.ParseDuration(text)
	if err != nil {
		return err
	}
	if *f = waitFlag(d); d == 0 {
		*f = -1
	}
	return nil
}
