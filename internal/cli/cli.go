// Package cli is the command line: one file per command. Commands talk to a
// running project through api; up and run become that project themselves.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"bulsa/internal/api/client"
	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// Exit statuses.
const (
	exitFailed = 1 // the thing failed
	exitUsage  = 2 // the command line or the file is wrong
)

// Main runs one command line, without the program's name, and returns the exit status.
func Main(args []string) int {
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	return p.main(context.Background(), args)
}

// program is one run of the command line.
type program struct {
	stdin  io.Reader // read once, for -f -
	stdout io.Writer
	stderr io.Writer
	global globals
}

// globals are the flags that every command about a project has.
type globals struct {
	files    []string
	envFiles []string
	dir      string // the project's folder
	project  string
	profiles []string
}

func (p *program) main(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil || errors.Is(err, syscall.EPIPE) { // the reader has seen enough
		return 0
	}
	if text := oneLine(err.Error()); text != "" { // a command that ran has said it itself
		fmt.Fprintf(p.stderr, "bulsa: %s\n", text)
	}
	return exitCode(err)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// statusError is an error that brings its exit status from another process.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string { return e.message }

// exitCode is 2 for what the user has to correct, 1 for what went wrong.
func exitCode(err error) int {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*severalRun](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*spec.Problem](err); ok {
		return exitUsage
	}
	if r, ok := errors.AsType[*client.Refused](err); ok && r.Status == 400 {
		return exitUsage
	}
	if f, ok := errors.AsType[*daemon.Failure](err); ok && daemon.Inside().First {
		return f.Status // whoever runs the container wants to know how its program ended
	}
	return exitFailed
}

// root is the whole command line.
func (p *program) root() *cobra.Command {
	showVersion := false
	root := &cobra.Command{
		Use:           "bulsa",
		Short:         "Keeps services alive and balances requests over their workers",
		Long:          "bulsa runs N workers of a service behind one port, checks their health,\nreplaces those that die and loses no request while they do.",
		Example:       "  bulsa run -w 4 -p 3333 app.js\n  bulsa up -d\n  bulsa ps",
		SilenceErrors: true,
		SilenceUsage:  true,
		// Flags in front of the command's name, as in docker compose -f FILE up.
		TraverseChildren:  true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              p.unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return p.version()
			}
			return cmd.Help()
		},
	}
	p.addGlobals(root)
	root.Flags().BoolVarP(&showVersion, "version", "v", false, "show the version of bulsa")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		p.runCommand(), p.upCommand(), p.downCommand(), p.startCommand(), p.stopCommand(),
		p.restartCommand(), p.killCommand(), p.psCommand(), p.inspectCommand(), p.logsCommand(),
		p.eventsCommand(), p.scaleCommand(), p.labCommand(), p.profileCommand(), p.doctorCommand(), p.configCommand(), p.versionCommand(),
		p.completionCommand(), p.detachedCommand(),
	)
	root.AddCommand(
		p.execCommand(), p.pullCommand(), p.buildCommand(), p.imagesCommand(), p.portCommand(), p.topCommand(), p.statsCommand(),
		p.cpCommand(), p.waitCommand(),
		p.pauseCommand("pause", "Freeze containers: they take no requests", "paused", (*daemon.Operator).Pause),
		p.pauseCommand("unpause", "Let frozen containers go on", "goes on", (*daemon.Operator).Unpause),
	)
	root.SetHelpCommand(p.helpCommand(root))
	for _, c := range root.Commands() {
		c.DisableFlagsInUseLine = true
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error { return asUsage(cmd, check(cmd, args)) }
		}
	}
	return root
}

// addGlobals gives a command the flags that say which project is meant.
func (p *program) addGlobals(cmd *cobra.Command) { p.addProjectFlags(cmd, "f") }

// addProjectFlags is addGlobals for a command whose -f means something else.
func (p *program) addProjectFlags(cmd *cobra.Command, fileShorthand string) {
	f := cmd.Flags()
	f.StringArrayVarP(&p.global.files, "file", fileShorthand, nil, "configuration `FILE`; may be given several times")
	f.StringVarP(&p.global.project, "project-name", "p", "", "project `NAME`")
	f.StringArrayVar(&p.global.envFiles, "env-file", nil, "read variables from this `FILE` and not from .env; may be given several times")
	f.StringVar(&p.global.dir, "project-directory", "", "`FOLDER` that the file's relative paths start from (default: the folder of the first file)")
	f.StringArrayVar(&p.global.profiles, "profile", nil, "also the services of this `PROFILE`")
}

func (p *program) unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if answer := foreign(args[0]); answer != "" {
		return usage("there is no bulsa %s: %s", args[0], answer)
	}
	if near := nearest(args[0], names); near != "" {
		return usage("unknown command %q; did you mean bulsa %s?", args[0], near)
	}
	return usage("unknown command %q; see bulsa help", args[0])
}

// asUsage marks an error about the number of arguments.
func asUsage(cmd *cobra.Command, err error) error {
	if _, whole := errors.AsType[*usageError](err); err == nil || whole {
		return err
	}
	return usage("%s %w; see %s --help", cmd.Name(), err, cmd.CommandPath())
}
