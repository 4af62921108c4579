package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// execOptions are the flags of exec, which are those of docker compose exec.
type execOptions struct {
	daemon.ExecOptions
	index int
	noTTY bool
}

func (p *program) execCommand() *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec [flags] SERVICE|WORKER COMMAND [ARG...]",
		Short: "Run a command where a worker runs: in its container, or in its environment",
		Long: "Run a command in the container of a worker, or, where the worker is a process, in its\n" +
			"environment, its working directory and as its user. The exit status is the command's.",
		Example:           "  bulsa exec app sh\n  bulsa exec -T db.1 psql -U app",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: p.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Args = args[1:]
			return p.exec(cmd.Context(), args[0], o)
		},
	}
	p.addProjectFlags(cmd, "f")
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&o.noTTY, "no-tty", "T", false, "no terminal, also where this command has one")
	f.BoolP("interactive", "i", true, "pass the input on")
	f.BoolP("tty", "t", true, "give the command a terminal where this one has one")
	f.BoolVarP(&o.Detach, "detach", "d", false, "do not wait for the command")
	f.StringArrayVarP(&o.Env, "env", "e", nil, "set an environment variable, `KEY=VALUE`")
	f.StringVarP(&o.User, "user", "u", "", "`USER[:GROUP]` that the command runs as")
	f.StringVarP(&o.Dir, "workdir", "w", "", "working `FOLDER` of the command")
	f.IntVar(&o.index, "index", 0, "the worker `N` of the service (default: the first that runs)")
	f.BoolVar(&o.Privileged, "privileged", false, "with all rights, in a container")
	for _, name := range []string{"interactive", "tty"} {
		if err := f.MarkHidden(name); err != nil {
			panic(err) // they are there
		}
	}
	return cmd
}

func (p *program) exec(ctx context.Context, name string, o execOptions) error {
	c, err := p.target(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := runningWorker(ctx, c, name, o.index)
	if err != nil {
		return err
	}
	switch w.Engine {
	case string(spec.EngineDocker):
		operator, err := daemon.NewOperator(ctx, c.Name())
		if err != nil {
			return err
		}
		defer operator.Close()
		return p.inTerminal(!o.noTTY && !o.Detach, func(s daemon.Streams) error {
			status, err := operator.Exec(ctx, w.Name, o.ExecOptions, s)
			return ended(status, err)
		})
	case string(spec.EngineProcess):
		cmd, err := besideProcess(w.PID, w.EventLoop != nil, o.ExecOptions)
		if err != nil {
			return fmt.Errorf("cannot run a command beside %s: %w", w.Name, err)
		}
		return p.runLocally(cmd, o.Detach)
	}
	return usage("%s is run by somebody else: no command can run there", w.Name)
}

// runningWorker is the worker that a name means: itself, or the first of a service
// that runs, or the one with a number.
func runningWorker(ctx context.Context, c *client.Client, name string, index int) (api.Worker, error) {
	workers, err := c.Workers(ctx, true)
	if err != nil {
		return api.Worker{}, err
	}
	known := false
	for _, w := range workers {
		if w.Name != name && (w.Service != name || index != 0 && w.Number != index) {
			continue
		}
		known = true
		if w.PID > 0 || w.Engine == string(spec.EngineDocker) && w.ID != "" && w.StartedAt != nil {
			return w, nil
		}
	}
	if known {
		return api.Worker{}, fmt.Errorf("%s does not run: see bulsa ps -a", name)
	}
	project, err := c.Project(ctx)
	if err != nil {
		return api.Worker{}, err
	}
	if slices.Contains(project.ServiceNames(), name) {
		if index != 0 {
			return api.Worker{}, usage("--index: %s has no worker %d", name, index)
		}
		return api.Worker{}, fmt.Errorf("%s has no workers: see bulsa ps -a", name)
	}
	return api.Worker{}, usage("%s", project.NoSuch("worker or service", name))
}

// runLocally runs a command of this machine in place of bulsa: it has the terminal,
// the signals and the exit status.
func (p *program) runLocally(cmd *exec.Cmd, detach bool) error {
	if detach {
		cmd.SysProcAttr.Setsid = true
		return cmd.Start()
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.stdout, p.stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return startError(cmd.Args[0], err)
	}
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGTERM || s == syscall.SIGHUP { // those of the keyboard reach it by themselves
				_ = cmd.Process.Signal(s)
			}
		case err := <-over:
			exit, failed := errors.AsType[*exec.ExitError](err)
			if !failed {
				return err
			}
			status := exit.ExitCode()
			if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
				status = 128 + int(ws.Signal())
			}
			return ended(status, nil)
		}
	}
}

func startError(program string, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return &statusError{127, fmt.Sprintf("command not found: %s", program)}
	}
	return &statusError{126, fmt.Sprintf("cannot run %s: %s", program, reason(err))}
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// ended turns an exit status into this command's own.
func ended(status int, err error) error {
	if err != nil || status == 0 {
		return err
	}
	return &statusError{status: status}
}

// inTerminal runs work with this command's streams: with the terminal in raw mode where
// one is wanted and there.
func (p *program) inTerminal(wanted bool, work func(daemon.Streams) error) error {
	s := daemon.Streams{In: p.stdin, Out: p.stdout, Err: p.stderr}
	in, isFile := p.stdin.(*os.File)
	out, toFile := p.stdout.(*os.File)
	if !wanted || !isFile || !toFile || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return work(s)
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("cannot use the terminal: %w", err)
	}
	defer func() { _ = term.Restore(int(in.Fd()), before) }()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	defer signal.Stop(signals)
	resized, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case <-signals:
				select {
				case resized <- struct{}{}:
				case <-over:
					return
				}
			case <-over:
				return
			}
		}
	}()
	s.Terminal, s.Resized = true, resized
	s.Size = func() (rows, cols int) {
		cols, rows, err := term.GetSize(int(out.Fd()))
		if err != nil {
			return 0, 0
		}
		return rows, cols
	}
	return work(s)
}

// environmentOf reads KEY=VALUE flags; KEY alone is passed on.
func environmentOf(flags []string) ([]string, error) {
	var out []string
	for _, text := range flags {
		name, _, given := strings.Cut(text, "=")
		if name == "" {
			return nil, usage("--env: %q is not a variable; write KEY=VALUE, or KEY to pass on bulsa's own", text)
		}
		if !given {
			value, known := os.LookupEnv(name)
			if !known {
				continue
			}
			text = name + "=" + value
		}
		out = append(out, text)
	}
	return out, nil
}
