package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kind says how a command can take part in Node's cluster.
type Kind int

const (
	KindOther   Kind = iota // no Node application known to be behind it: it binds $PORT itself
	KindNode                // argv[0] is node itself (or deno) with a script: it joins at once
	KindWrapper             // may lead to a Node process (npm, npx, tsx, a shell): it joins late, or never
)

// Command is a resolved command line.
type Command struct {
	Args []string // Args[0] is the path of the executable
	Dir  string   // where it runs
	Env  []string // additions to the environment, as npm makes them for a script
	Kind Kind

	Sources []string // files that it was made of, or that would change it: one that changes makes another command
}

// Resolve makes a runnable command of what the user wrote: app.js, app.ts, a
// folder with a package.json, npm start, or any command. dir is the service's
// folder, env its whole environment (PATH is looked up in it). It reads files,
// and runs `node --version` for a TypeScript file without tsx. Errors are one
// line that says what to change.
//
// Programs without a script file (node -e, node -p, a script on standard
// input), node --test, node --watch (which needs the child's channel for
// itself) and Bun are KindOther. node --run is a KindWrapper. Deno with a script
// file speaks the protocol, too, and is KindNode.
func Resolve(args []string, dir string, env []string) (Command, error) {
	if len(args) == 0 || args[0] == "" {
		return Command{}, errors.New("no command: name a program, a script or a folder with a package.json")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Command{}, fmt.Errorf("cannot find the service's folder: %w", err)
	}
	r := resolver{dir: dir, env: env, sources: new([]string)}
	c, err := r.resolve(args)
	c.Sources = *r.sources
	return c, err
}

func (r resolver) resolve(args []string) (Command, error) {
	switch name := args[0]; {
	case isScript(name) && !onPath(name, r):
		return r.script(args)
	case r.isFolder(name) && !onPath(name, r):
		return r.folder(name, args[1:])
	case isRunner(name):
		return r.runner(args)
	default:
		return r.program(args)
	}
}

// resolver is one look at a command: where it runs, and with which environment.
type resolver struct {
	dir string
	env []string // the service's own, for PATH
	add []string // what the command adds

	sources *[]string // files that were looked at
}

// read reads a file that the command depends on; it may be missing.
func (r resolver) read(path string) ([]byte, error) {
	*r.sources = append(*r.sources, path)
	return os.ReadFile(path)
}

// onPath reports whether a bare name means a command rather than a file here.
func onPath(name string, r resolver) bool {
	_, err := r.find(name)
	return err == nil && !strings.Contains(name, "/")
}

func (r resolver) isFolder(name string) bool {
	info, err := os.Stat(r.path(name))
	return err == nil && info.IsDir()
}

func (r resolver) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

// program is any command that is no script: node, a wrapper, or something else.
func (r resolver) program(args []string) (Command, error) {
	path, err := r.find(args[0])
	if err != nil {
		return Command{}, err
	}
	c := Command{Args: append([]string{path}, args[1:]...), Dir: r.dir, Env: r.add, Kind: KindOther}
	switch {
	case isNode(args[0]):
		c.Kind, err = r.nodeKind(args[1:])
	case filepath.Base(args[0]) == "deno":
		c.Kind = r.denoKind(args[1:])
	case isWrapper(args[0]) || leadsToNode(path):
		c.Kind = KindWrapper
	}
	return c, err
}

func isNode(name string) bool {
	base := filepath.Base(name)
	return base == "node" || base == "nodejs"
}

// isWrapper knows programs that run another one, with its descriptors and
// environment.
func isWrapper(name string) bool {
	const wrappers = "sh bash dash zsh ksh ash fish busybox env nice ionice nohup time timeout stdbuf setsid " +
		"taskset chrt numactl tini dumb-init gosu su-exec make npm npx pnpm pnpx yarn yarnpkg corepack tsx volta dotenvx doppler"
	return slices.Contains(strings.Fields(wrappers), filepath.Base(name))
}

// leadsToNode reports whether an executable is a script for Node or a shell.
func leadsToNode(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 128)
	n, _ := f.Read(head) // an unreadable file is no script
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	if !strings.HasPrefix(line, "#!") {
		return false
	}
	for _, word := range strings.Fields(line[2:]) {
		base := filepath.Base(word)
		if isNode(base) || base != "env" && isWrapper(base) {
			return true
		}
	}
	return false
}

// find looks a command up as execvp does, in the service's own PATH.
func (r resolver) find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return r.executable(name)
	}
	for _, folder := range filepath.SplitList(r.lookPath()) {
		path := filepath.Join(r.path(folder), name)
		if runnable(path) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("command not found: %s (looked in PATH of the service)", name)
}

func (r resolver) executable(name string) (string, error) {
	path := r.path(name)
	switch err := runnable(path); {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("command not found: %s (no such file: %s)", name, path)
	case errors.Is(err, os.ErrPermission):
		return "", fmt.Errorf("cannot run %s: it is not executable (chmod +x %s)", name, path)
	case err != nil:
		return "", fmt.Errorf("cannot run %s: %w", name, err)
	}
	return path, nil
}

func (r resolver) lookPath() string {
	if path := lookup(append(slices.Clip(r.env), r.add...), "PATH"); path != "" {
		return path
	}
	return "/usr/local/bin:/usr/bin:/bin" // what a shell without PATH searches
}

func runnable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a folder")
	case info.Mode()&0o111 == 0:
		return os.ErrPermission
	}
	return nil
}
