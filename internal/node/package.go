package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// manifest is a package.json, as far as it says how the program is started.
type manifest struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Main    string            `json:"main"`
	Scripts map[string]string `json:"scripts"`
	Config  map[string]any    `json:"config"`
	Engines map[string]any    `json:"engines"`
	Bin     any               `json:"bin"`
}

func (r resolver) manifest() (manifest, error) {
	var m manifest
	path := filepath.Join(r.dir, "package.json")
	content, err := r.read(path)
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
	if _, err := r.read(filepath.Join(r.dir, "package.json")); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(r.dir, "index.js")); err == nil {
			return r.script(append([]string{"index.js"}, args...))
		}
		return Command{}, fmt.Errorf("%s is a folder without a package.json: name the script or the command", name)
	}
	m, err := r.manifest()
	if err != nil {
		return Command{}, err
	}
	line, ok := m.Scripts["start"]
	if npm := r.needsNPM(m, line); npm != nil {
		return r.program(slices.Concat(npm, args))
	}
	file := m.startFile(r)
	switch {
	case !ok && file == "":
		return Command{}, fmt.Errorf(`%s has no start script: add "scripts": {"start": "node app.js"}, or name the script`, filepath.Join(r.dir, "package.json"))
	case m.surrounded("start"):
		return r.surroundings(m, cmp.Or(line, "node "+file), args)
	case ok:
		return r.run(m, "start", line, args)
	}
	r.add = r.scriptEnv(m, "start", "node "+file)
	return r.script(append([]string{file}, args...))
}

// startFile is what a package without a start script is started by.
func (m manifest) startFile(r resolver) string {
	for _, file := range []string{"server.js", m.Main} {
		if info, err := os.Stat(r.path(file)); file != "" && err == nil && !info.IsDir() {
			return file
		}
	}
	return ""
}

// needsNPM is npm start with its own settings, where these change how the script
// runs; nil where they do not, or there is no npm.
func (r resolver) needsNPM(m manifest, line string) []string {
	asks := strings.Contains(m.Scripts["prestart"]+line+m.Scripts["poststart"], "npm_config_")
	if _, err := r.find("npm"); err != nil || !asks && !r.configured("npm") {
		return nil
	}
	return []string{"npm", "start", "--"}
}

// surrounded reports whether npm runs more than the script itself.
func (m manifest) surrounded(script string) bool {
	return m.Scripts["pre"+script] != "" || m.Scripts["post"+script] != ""
}

// surroundings runs prestart, start and poststart as npm does: each only when the
// one before has succeeded, and knows by npm_lifecycle_event which one it is. The
// arguments are the script's own.
func (r resolver) surroundings(m manifest, line string, args []string) (Command, error) {
	var all []string
	for _, name := range []string{"prestart", "start", "poststart"} {
		l, own := m.Scripts[name], ""
		if name == "start" {
			l, own = line, quoted(args)
		}
		if l != "" {
			all = append(all, fmt.Sprintf("{ export npm_lifecycle_event=%s npm_lifecycle_script=%s\n%s\n}", name, quote(l), l+own))
		}
	}
	return r.shell(m, "start", strings.Join(all, " && "), nil)
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
	m, err := r.manifest()
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
	npmrc, err := r.read(filepath.Join(r.dir, ".npmrc"))
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
	return Command{Args: []string{"/bin/sh", "-c", line + quoted(args)}, Dir: r.dir, Env: r.add, Kind: KindWrapper}, nil
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
	command := "run-script"
	if name == "start" {
		command = name
	}
	env := []string{
		"PATH=" + strings.Join(append(path, r.lookPath()), string(filepath.ListSeparator)),
		"INIT_CWD=" + r.dir,
		"npm_lifecycle_event=" + name,
		"npm_lifecycle_script=" + line,
		"npm_package_json=" + filepath.Join(r.dir, "package.json"),
		"npm_package_name=" + m.Name,
		"npm_package_version=" + m.Version,
		"npm_command=" + command,
	}
	if node, err := r.find("node"); err == nil {
		env = append(env, "NODE="+node, "npm_node_execpath="+node)
	}
	if npm, err := r.find("npm"); err == nil {
		if real, err := filepath.EvalSymlinks(npm); err == nil {
			env = append(env, "npm_execpath="+real)
		}
	}
	env = append(env, flat("npm_package_config", m.Config)...)
	env = append(env, flat("npm_package_engines", m.Engines)...)
	return append(env, flat("npm_package_bin", m.programs())...)
}

// programs are the package's commands; one without a name has the package's.
func (m manifest) programs() map[string]any {
	all := map[string]any{}
	if file, ok := m.Bin.(string); ok {
		all[m.Name[strings.LastIndexByte(m.Name, '/')+1:]] = filepath.Clean(file)
	}
	named, _ := m.Bin.(map[string]any)
	for name, file := range named {
		all[name] = filepath.Clean(fmt.Sprint(file))
	}
	return all
}

// flat writes nested values as npm does: config.db.host is npm_package_config_db_host.
func flat(name string, value any) []string {
	switch v := value.(type) {
	case map[string]any:
		var all []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			all = append(all, flat(name+"_"+key, v[key])...)
		}
		return all
	case []any:
		var all []string
		for i, item := range v {
			all = append(all, flat(fmt.Sprintf("%s_%d", name, i), item)...)
		}
		return all
	case nil:
		return []string{name + "="}
	case bool:
		if !v {
			return []string{name + "="}
		}
	case float64:
		return []string{name + "=" + strconv.FormatFloat(v, 'f', -1, 64)}
	}
	return []string{fmt.Sprintf("%s=%v", name, value)}
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
