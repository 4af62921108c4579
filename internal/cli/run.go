package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"bulsa/internal/compose"
	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// runOptions are the flags of run that are not about the service.
type runOptions struct {
	flags    runFlags
	envFiles []string
	admin    string
	detach   bool
	limit    waitFlag // of the wait of a detached start
	once     oneOff
}

func (p *program) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [flags] [--] COMMAND|IMAGE|SERVICE [ARG...]",
		Short: "Run a service from a command line; no file needed",
		Long: "Run a service from a command line; no file needed.\n\n" +
			"COMMAND may be a program, a script for Node, or a folder with a package.json.\n" +
			"Flags for bulsa stand before it, all behind it belongs to it.\n\n" +
			"SERVICE is one of the Compose file: it runs once, in the foreground, beside its\n" +
			"workers, with ARG in place of its command. A file, folder or program of the same\n" +
			"name is meant first, unless --rm is given.",
		Example: "  bulsa run app.js\n  bulsa run -w 4 -p 3333 app.js\n  bulsa run -p 8080:8000 -w 1 python3 -m http.server 8000\n  bulsa run --engine docker -w 2 -p 8080:80 nginx",
		Args:    someArgs("a command, as in bulsa run app.js"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.flags.Args = args
			once, err := p.meansService(cmd.Context(), args[0], o.once)
			if err != nil {
				return err
			}
			if once {
				return p.runOnce(cmd.Context(), o)
			}
			return p.run(cmd.Context(), o)
		},
	}
	addRunFlags(cmd, &o)
	addHealthFlags(cmd, &o.flags)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func addRunFlags(cmd *cobra.Command, o *runOptions) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.flags.Workers, "workers", "w", "", "number `N` of workers, or auto: one per CPU (default: auto for Node, else 1)")
	f.StringArrayVarP(&o.flags.Publish, "publish", "p", nil, "publish a port, `[HOST:]PORT[:TARGET]` (default: the port that the app listens on)")
	f.StringVar(&o.flags.Protocol, "protocol", "", "`PROTOCOL` of the published ports: auto, http or tcp (default auto)")
	f.StringArrayVarP(&o.flags.Env, "env", "e", nil, "set an environment variable, `KEY=VALUE`, or KEY to pass it on")
	f.StringArrayVar(&o.envFiles, "env-file", nil, "read environment variables from a `FILE`")
	f.StringVar(&o.flags.Engine, "engine", "", "`ENGINE` that runs it: process, or docker, for which COMMAND is an image and its arguments (default process)")
	f.StringVar(&o.flags.Name, "name", "", "`NAME` of the service and the project (default: from the command)")
	f.BoolVarP(&o.detach, "detach", "d", false, "run in the background; return when the service is ready")
	f.StringVar(&o.flags.Restart, "restart", "", "`POLICY`: no, on-failure[:N], always or unless-stopped (default always)")
	f.StringVar(&o.flags.StopSignal, "stop-signal", "", "`SIGNAL` that asks a worker to end (default SIGTERM)")
	f.StringVar(&o.flags.StopTimeout, "stop-timeout", "", "`TIME` from the stop signal to SIGKILL, a duration or seconds (default 10s)")
	f.StringVar(&o.flags.Balance, "balance", "", "`POLICY`: least_latency, round_robin, least_conn or ip_hash (default least_latency)")
	f.StringVar(&o.flags.NodeMode, "node", "", "`MODE` in which a Node app's listen() is served: auto, proxyfd, rr, shared, listen, port or off")
	f.StringVar(&o.flags.Hold, "hold", "", "`TIME` that a request waits while no worker is ready (default 10s)")
	f.StringVar(&o.flags.AnswerTimeout, "answer-timeout", "", "`TIME` that a worker may take for the head of an answer (default 5m, longer while its event loop turns)")
	f.StringVarP(&o.flags.User, "user", "u", "", "`USER[:GROUP]` that workers run as")
	addOneOffFlags(cmd, &o.once)
	addAdminFlag(cmd, &o.admin)
	addWaitFlag(cmd, &o.limit)
}

func addAdminFlag(cmd *cobra.Command, admin *string) {
	cmd.Flags().StringVar(admin, "admin", "", "`ADDRESS` of the admin server, or off (default 127.0.0.1:9900, or the next free port)")
}

// addHealthFlags adds the health flags of docker run, and bulsa's cheap checks.
func addHealthFlags(cmd *cobra.Command, r *runFlags) {
	f := cmd.Flags()
	f.StringVar(&r.HealthCmd, "health-cmd", "", "shell `COMMAND` that succeeds while a worker is healthy")
	f.StringVar(&r.HealthHTTP, "health-http", "", "`PATH` that answers 200 to 399 while a worker is healthy")
	f.BoolVar(&r.HealthTCP, "health-tcp", false, "a worker is healthy while it takes connections")
	f.BoolVar(&r.HealthLoop, "health-loop", false, "a worker is healthy while its event loop turns (Node)")
	f.StringVar(&r.HealthInterval, "health-interval", "", "`TIME` between two checks (default 30s)")
	f.StringVar(&r.HealthTimeout, "health-timeout", "", "`TIME` that a check may take (default 30s)")
	f.IntVar(&r.HealthRetries, "health-retries", 0, "failures in a row, `N`, that make a worker unhealthy (default 3)")
	f.StringVar(&r.HealthStartPeriod, "health-start-period", "", "`TIME` in which failures do not count (default 0s)")
	f.StringVar(&r.HealthStartInterval, "health-start-interval", "", "`TIME` between two checks in the start period (default 5s)")
	f.BoolVar(&r.NoHealthcheck, "no-healthcheck", false, "no health check")
}

func (p *program) run(ctx context.Context, o runOptions) error {
	if o.flags.HealthRetries < 0 {
		return usage("--health-retries: %d is less than 0", o.flags.HealthRetries)
	}
	if isPM2File(o.flags.Args[0]) {
		return usage("%s is a configuration of PM2, not a program: run its script, as in bulsa run -w N SCRIPT, or write it as a Compose file; docs/coming-from-pm2.md has bulsa's word for each of its fields", o.flags.Args[0])
	}
	if err := surroundings(&o); err != nil {
		return err
	}
	if o.flags.Project = p.global.project; o.flags.Project != "" && !spec.ValidProjectName(o.flags.Project) {
		return usage("-p %s: not a project name: small letters, digits, - and _, a letter or digit first", o.flags.Project)
	}
	inside := daemon.Inside()
	contained(&o, inside)
	project, warnings, err := fromRun(o.flags)
	if err != nil {
		return err
	}
	containerLogs(project, inside)
	p.warn(append(warnings, spec.Advise(project)...))
	if project, err = daemon.Prepare(ctx, project, false, p.stderr); err != nil {
		return err
	}
	return p.launch(ctx, launch{Project: project, Warnings: warnings, Admin: o.admin}, o.detach, time.Duration(o.limit))
}

// surroundings fills in what the command line finds in files and in the system.
func surroundings(o *runOptions) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	o.flags.Dir, o.flags.Environ, o.flags.CPUs = dir, os.Environ(), compose.CPUs()
	for _, name := range o.envFiles {
		content, err := os.ReadFile(name)
		if err != nil {
			return &spec.Problem{Where: "--env-file " + name, What: "cannot read the file: " + reason(err)}
		}
		o.flags.EnvFiles = append(o.flags.EnvFiles, string(content))
	}
	if o.flags.Engine == string(spec.EngineDocker) {
		return nil
	}
	if err := folder(&o.flags, dir); err != nil {
		return err
	}
	return nil
}

// workers is the default of --workers, where nobody outside has said anything.
func workers(f runFlags) string {
	if f.Engine != string(spec.EngineDocker) && (f.Folder != "" || startsNode(f.Args[0])) {
		return "auto"
	}
	return ""
}

// folder reads the package.json when a folder is to be run.
func folder(f *runFlags, dir string) error {
	path := f.Args[0]
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		if slices.Contains(packageManagers(), filepath.Base(f.Args[0])) {
			f.PackageJSON, _ = os.ReadFile(filepath.Join(dir, "package.json")) // for its name alone
		}
		return nil
	}
	f.Folder = path
	content, err := os.ReadFile(filepath.Join(path, "package.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &spec.Problem{Where: filepath.Join(f.Args[0], "package.json"), What: "cannot read the file: " + reason(err)}
	}
	f.PackageJSON = content
	return nil
}

// packageManagers run the scripts of the package.json in their folder.
func packageManagers() []string { return []string{"npm", "yarn", "pnpm"} }

// startsNode reports whether a command starts Node, so that several workers share
// what they listen on. Any other program may bind one fixed port, and gets one worker.
func startsNode(command string) bool {
	programs := []string{"node", "npm", "npx", "yarn", "pnpm", "tsx", "ts-node"}
	scripts := []string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"}
	return slices.Contains(programs, filepath.Base(command)) || slices.Contains(scripts, filepath.Ext(command))
}

// reason is a file error without the path, which is named already.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
