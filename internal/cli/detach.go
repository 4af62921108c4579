package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
)

const (
	readyPoll  = 200 * time.Millisecond // between looks at a start that has not answered yet
	slowStart  = 10 * time.Second       // that one question may wait for an answer
	lastWord   = time.Second            // in which a project that cannot go on ends by itself
	logExcerpt = 4096                   // bytes of a dead bulsa's last words
)

// outcome is the one line of JSON that a detached bulsa writes when its start is decided.
type outcome struct {
	Ready  bool   `json:"ready"`
	Status int    `json:"status"` // exit status, when it is not ready
	Error  string `json:"error"`
}

// detach starts this program again in a session of its own and waits until the
// project is ready, fails, or the user does not want to wait any more.
func (p *program) detach(ctx context.Context, l launch, limit time.Duration) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	decided, err := spawn(l)
	if err != nil {
		return fmt.Errorf("cannot start bulsa in the background: %w", err)
	}
	name := l.Project.Name
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	now := time.Now()
	w := wait{what: "the start of " + name, limit: limit, asked: now, moved: now}
	shown := p.newProgress(now, false)
	for {
		select {
		case o := <-decided:
			if o.Ready {
				p.showStart(ctx, name, shown)
			}
			return p.report(ctx, name, o)
		case <-ctx.Done():
			return fmt.Errorf("not waiting any longer; project %s goes on starting: see bulsa ps -p %s, end it with bulsa down -p %s", name, name, name)
		case <-tick.C:
		}
		why, err := p.lookAtStart(ctx, name, &w, shown)
		if err != nil && time.Since(w.moved) >= max(waitLimit, limit) && limit >= 0 {
			why = err
		}
		if why == nil {
			continue // its own word on the pipe is about to come
		}
		select {
		case o := <-decided:
			return p.report(ctx, name, o)
		case <-time.After(lastWord):
		}
		return fmt.Errorf("%w; project %s is left running: see bulsa logs -p %s, end it with bulsa down -p %s", why, name, name, name)
	}
}

// lookAtStart looks at a project that starts: why is the reason not to wait for it any longer.
func (p *program) lookAtStart(ctx context.Context, name string, w *wait, shown *progress) (why, err error) {
	c, err := client.Dial(name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	project, err := c.Project(ctx)
	if err != nil {
		return nil, err
	}
	shown.draw(time.Now(), project)
	if r := project.Readiness(time.Now()); r.Failing && !r.Ready {
		return errors.New(strings.Join(r.Waiting, "; ")), nil
	}
	line, over := w.look(time.Now(), project)
	if over != nil {
		p.lastWords(ctx, c, project)
		return over, nil
	}
	if line != "" && shown.drawn == 0 {
		fmt.Fprintf(p.stderr, "bulsa: still waiting: %s\n", oneLine(line))
	}
	return nil, nil
}

// showStart draws once more how a start has ended, where it was shown.
func (p *program) showStart(ctx context.Context, name string, shown *progress) {
	if shown.drawn == 0 {
		return
	}
	c, err := client.Dial(name)
	if err != nil {
		return // it has done its work and ended
	}
	defer c.Close()
	if project, err := c.Project(ctx); err == nil {
		shown.draw(time.Now(), project)
	}
}

// report tells how a start ended.
func (p *program) report(ctx context.Context, name string, o outcome) error {
	if !o.Ready {
		return &statusError{o.Status, o.Error}
	}
	c, err := client.Dial(name)
	if err != nil {
		return nil // it has done its work and ended
	}
	defer c.Close()
	if project, err := c.Project(ctx); err == nil {
		p.printStarted(project)
	}
	return nil
}

// printStarted is what `up -d` and `run -d` say in the end.
func (p *program) printStarted(project api.Project) {
	for _, s := range project.Services {
		line := fmt.Sprintf("%s: %d of %d workers ready", s.Name, s.Ready, s.Desired)
		if s.State == "completed" {
			line = s.Name + ": completed"
		} else if len(s.Ports) > 0 {
			line += " on " + strings.Join(s.Ports, ", ")
		}
		fmt.Fprintln(p.stdout, line)
		if s.AccessLog != "" {
			fmt.Fprintf(p.stdout, "%s: access log in %s\n", s.Name, s.AccessLog)
		}
	}
	if project.Admin != "" {
		fmt.Fprintf(p.stdout, "admin: %s\n", project.Admin)
	}
}

// spawn starts the detached bulsa and returns where its outcome will come.
func spawn(l launch) (<-chan outcome, error) {
	if err := api.CheckRuntime(l.Project.Name); err != nil {
		return nil, err
	}
	dir := api.RuntimeDir(l.Project.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := api.CheckRuntime(l.Project.Name); err != nil {
		return nil, err // it was put there meanwhile
	}
	output, err := api.PlainFile(api.DaemonLog(l.Project.Name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, daemonName)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return begin(cmd, l)
}

// begin starts cmd with two pipes: the launch on descriptor 3, the outcome on 4.
func begin(cmd *exec.Cmd, l launch) (<-chan outcome, error) {
	configRead, configWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer configRead.Close()
	defer configWrite.Close()
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer statusWrite.Close()
	cmd.ExtraFiles = []*os.File{configRead, statusWrite}
	if err := cmd.Start(); err != nil {
		statusRead.Close()
		return nil, err
	}
	configRead.Close()
	err = json.NewEncoder(configWrite).Encode(l)
	decided := make(chan outcome, 1)
	go func() {
		defer statusRead.Close()
		decided <- awaitOutcome(statusRead, cmd, l.Project.Name)
	}()
	if errors.Is(err, syscall.EPIPE) {
		return decided, nil // it died at once; its outcome says more
	}
	return decided, err
}

// awaitOutcome reads the outcome, or makes one from the last words of a bulsa
// that ended without.
func awaitOutcome(status io.Reader, cmd *exec.Cmd, project string) outcome {
	var o outcome
	if err := json.NewDecoder(status).Decode(&o); err == nil {
		if !o.Ready {
			_ = cmd.Wait() // nothing of it runs any more when we say that it failed
		}
		return o
	}
	_ = cmd.Wait()
	o.Status, o.Error = exitFailed, "bulsa ended in the background"
	if words := lastLine(api.DaemonLog(project)); words != "" {
		o.Error += ": " + words
	}
	return o
}

func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > logExcerpt {
		f.Seek(-logExcerpt, io.SeekEnd)
	}
	b, _ := io.ReadAll(f)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.TrimPrefix(lines[len(lines)-1], "bulsa: ")
}
