package node

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// manifest is a package.json, as far as it says how the program is started.
type manifest struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Main    string            `json:"main"`
	Scripts map[string]string `json:"scripts"`
}

func readManifest(dir string) (manifest, error) {
	var m manifest
	path := filepath.Join(dir, "package.json")
	content, err := os.ReadFile(path)
	if err != nil {
		return m, fmt.Errorf("cannot read package.json: %w", err)
	}
	if err := json.Unmarshal(content, &m); err != nil {
		return m, fmt.Errorf("%s is not valid: %w", path, err)
	}
	return m, nil
}

// folder starts the program of a folder as `npm start` does.
func (r resolver) folder(name string, args []string) (Command, error) {
	r.dir = r.path(name)
	if _, err := os.Stat(filepath.Join(r.dir, "package.json")); err != nil {
		if _, err := os.Stat(filepath.Join(r.dir, "index.js")); err == nil {
			return r.script(append([]string{"index.js"}, args...))
		}
		return Command{}, fmt.Errorf("%s is a folder without a package.json: name the script or the command", name)
	}
	m, err := readManifest(r.dir)
	if err != nil {
		return Command{}, err
	}
	if line, ok := m.Scripts["start"]; ok {
		if m.surrounded("start") {
			return r.shell(m, "start", surroundings(m, "start", line), args)
		}
		return r.run(m, "start", line, args)
	}
	for _, file := range []string{"server.js", m.Main} {
		if info, err := os.Stat(r.path(file)); file != "" && err == nil && !info.IsDir() {
			r.add = r.scriptEnv(m, "start", "node "+file)
			return r.script(append([]string{file}, args...))
		}
	}
	return Command{}, fmt.Errorf(`%s has no start script: add "scripts": {"start": "node app.js"}, or name the script`, filepath.Join(r.dir, "package.json"))
}

// surrounded reports whether npm runs more than the script itself.
func (m manifest) surrounded(script string) bool {
	return m.Scripts["pre"+script] != "" || m.Scripts["post"+script] != ""
}

// surroundings runs pre, script and post in npm's order.
func surroundings(m manifest, script, line string) string {
	var all []string
	for _, l := range []string{m.Scripts["pre"+script], line, m.Scripts["post"+script]} {
		if l != "" {
			all = append(all, "{ "+l+"\n}")
		}
	}
	return strings.Join(all, " && ")
}

// isRunner reports whether a command runs scripts of a package.json.
func isRunner(name string) bool { return slices.Contains([]string{"npm", "yarn", "pnpm"}, name) }

// runner runs the script of `npm start`, `npm run X`, `yarn X` or `pnpm X`
// without the runner in between (a process less, signals arrive, it starts
// faster) where that makes no difference.
func (r resolver) runner(args []string) (Command, error) {
	name, rest, ok := scriptOf(args)
	if !ok || r.configured(args[0]) {
		return r.program(args)
	}
	m, err := readManifest(r.dir)
	if err != nil {
		return r.program(args) // it may look in a folder above, and explains itself
	}
	line, ok := m.Scripts[name]
	if !ok || m.surrounded(name) || strings.Contains(line, "npm_config_") {
		return r.program(args)
	}
	return r.run(m, name, line, rest)
}

// scriptOf reads the runner's arguments: the script's name and the arguments
// for it. ok is false for all that is not plainly the run of a script.
func scriptOf(args []string) (name string, rest []string, ok bool) {
	const commands = "add audit autoclean bin bugs cache check config create dedupe deploy dlx exec explain fetch global help import info init install " +
		"licenses link list login logout node npm outdated owner pack patch plugin policies prune publish rebuild remove root search set " +
		"setup stage store tag team unlink unplug up update upgrade version versions why workspace workspaces"
	words := args[1:]
	if len(words) > 1 && (words[0] == "run" || words[0] == "run-script" && args[0] == "npm") {
		words = words[1:]
	} else if len(words) == 0 || args[0] == "npm" && words[0] != "start" || slices.Contains(strings.Fields(commands), words[0]) {
		return "", nil, false
	}
	name, rest = words[0], words[1:]
	if strings.HasPrefix(name, "-") {
		return "", nil, false
	}
	if args[0] != "npm" {
		return name, rest, !slices.Contains(rest, "--") // versions differ in what they make of it
	}
	for i, a := range rest {
		if a == "--" {
			return name, slices.Concat(rest[:i], rest[i+1:]), true
		}
		if strings.HasPrefix(a, "-") {
			return "", nil, false // npm's own option
		}
	}
	return name, rest, true
}

// configured reports whether the project's settings change how scripts run.
func (r resolver) configured(runner string) bool {
	if runner == "yarn" && upward(r.dir, ".pnp.cjs") != "" {
		return true
	}
	npmrc, err := os.ReadFile(filepath.Join(r.dir, ".npmrc"))
	return err == nil && (strings.Contains(string(npmrc), "script-shell") || strings.Contains(string(npmrc), "node-options"))
}

// run runs a script: as node itself where it is that simple, else by the shell.
func (r resolver) run(m manifest, name, line string, args []string) (Command, error) {
	assignments, words, simple := splitSimple(line)
	if !simple {
		return r.shell(m, name, line, args)
	}
	direct := r
	direct.add = append(r.scriptEnv(m, name, line), assignments...)
	words = slices.Concat(words, args)
	switch {
	case isNode(words[0]):
		return direct.program(words)
	case words[0] == "tsx" && len(words) > 1 && isScript(words[1]) && upward(r.dir, filepath.Join("node_modules", "tsx", "package.json")) != "":
		return direct.program(slices.Concat([]string{"node", "--import", "tsx"}, words[1:]))
	}
	return r.shell(m, name, line, args)
}

func (r resolver) shell(m manifest, name, line string, args []string) (Command, error) {
	r.add = r.scriptEnv(m, name, line)
	for _, a := range args {
		line += " " + quote(a)
	}
	return Command{Args: []string{"/bin/sh", "-c", line}, Dir: r.dir, Env: r.add, Kind: KindWrapper}, nil
}

// scriptEnv is the environment of a script (npm-run-script(1), "scripts").
func (r resolver) scriptEnv(m manifest, name, line string) []string {
	var path []string
	for dir := r.dir; ; dir = filepath.Dir(dir) {
		path = append(path, filepath.Join(dir, "node_modules", ".bin"))
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return []string{
		"PATH=" + strings.Join(append(path, r.lookPath()), string(filepath.ListSeparator)),
		"INIT_CWD=" + r.dir,
		"npm_lifecycle_event=" + name,
		"npm_lifecycle_script=" + line,
		"npm_package_json=" + filepath.Join(r.dir, "package.json"),
		"npm_package_name=" + m.Name,
		"npm_package_version=" + m.Version,
	}
}

// packageIsWrapper reports whether a file belongs to a package that runs
// another Node process; the preload knows the same list.
func packageIsWrapper(path string) bool {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	parts := strings.Split(path, string(filepath.Separator))
	at := len(parts) - 1
	for ; at >= 0 && parts[at] != "node_modules"; at-- {
	}
	if at < 0 || at+2 >= len(parts) {
		return false
	}
	name := parts[at+1]
	if strings.HasPrefix(name, "@") {
		name += "/" + parts[at+2]
	}
	content, err := preloadFiles.ReadFile("preload/wrappers.json")
	if err != nil {
		return false
	}
	var list struct {
		Packages []string `json:"packages"`
	}
	return json.Unmarshal(content, &list) == nil && slices.Contains(list.Packages, name)
}
