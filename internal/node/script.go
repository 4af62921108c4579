package node

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// isScript reports whether a name ends like a file that Node runs.
func isScript(name string) bool { return isJavaScript(name) || isTypeScript(name) }

func isJavaScript(name string) bool {
	return slices.Contains([]string{".js", ".mjs", ".cjs"}, filepath.Ext(name))
}

func isTypeScript(name string) bool {
	return slices.Contains([]string{".ts", ".mts", ".cts"}, filepath.Ext(name))
}

// script runs a file with node: app.js is `node app.js`.
func (r resolver) script(args []string) (Command, error) {
	path := r.path(args[0])
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return Command{}, fmt.Errorf("cannot find the script %s (no such file: %s)", args[0], path)
	}
	node, err := r.find("node")
	if err != nil {
		return Command{}, fmt.Errorf("cannot run %s: %w", args[0], err)
	}
	var flags []string
	if isTypeScript(args[0]) {
		if flags, err = r.typeScriptFlags(node, args[0]); err != nil {
			return Command{}, err
		}
	}
	kind, err := r.nodeScript(args)
	return Command{Args: slices.Concat([]string{node}, flags, args), Dir: r.dir, Env: r.add, Kind: kind}, err
}

// typeScriptFlags prefers tsx, which the project has chosen itself, to Node's
// own type stripping.
func (r resolver) typeScriptFlags(node, script string) ([]string, error) {
	if loader := r.tsx(script); loader != "" {
		return []string{"--import", loader}, nil
	}
	major, minor, err := r.nodeVersion(node)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot run %s: %w", script, err)
	case major >= 24, major == 23 && minor >= 6, major == 22 && minor >= 18:
		return nil, nil
	case major == 23, major == 22 && minor >= 6:
		return []string{"--experimental-strip-types"}, nil
	}
	return nil, fmt.Errorf("cannot run %s: Node %d.%d does not run TypeScript: npm install tsx, or use Node 22.18 or newer", script, major, minor)
}

// tsx returns what --import needs: the name where Node finds it from the
// working directory, else the file. "" when it is not installed.
func (r resolver) tsx(script string) string {
	for _, from := range []string{r.dir, filepath.Dir(r.path(script))} {
		folder := upward(from, filepath.Join("node_modules", "tsx", "package.json"))
		switch {
		case folder == "":
		case from == r.dir:
			return "tsx"
		default:
			loader := filepath.Join(folder, "node_modules", "tsx", "dist", "loader.mjs")
			return (&url.URL{Scheme: "file", Path: loader}).String()
		}
	}
	return ""
}

// upward returns the first folder, from dir to the root, that has file.
func upward(dir, file string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

func (r resolver) nodeVersion(node string) (major, minor int, err error) {
	out, err := Version(node, r.dir, r.env)
	if err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscanf(out, "v%d.%d.", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("node --version printed %q", out)
	}
	return major, minor, nil
}

// Version is what a Node binary says of itself: "v20.20.2".
func Version(node, dir string, env []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--version")
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("node --version failed: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// nodeKind reads the arguments of node as far as the script.
func (r resolver) nodeKind(args []string) (Kind, error) {
	for i := 0; i < len(args); i++ {
		arg, _, joined := strings.Cut(args[i], "=")
		switch {
		case arg == "--":
			return r.nodeScript(args[i+1:])
		case !strings.HasPrefix(arg, "-"):
			return r.nodeScript(args[i:])
		case arg == "-" || hasNoScript(arg):
			return KindOther, nil
		case arg == "--run":
			return KindWrapper, nil
		case !joined && takesValue(arg):
			i++
		}
	}
	return KindOther, nil // reads its program from standard input
}

func (r resolver) nodeScript(args []string) (Kind, error) {
	if len(args) == 0 || args[0] == "inspect" {
		return KindOther, nil
	}
	path := r.path(args[0])
	if packageIsWrapper(path) {
		return KindWrapper, nil
	}
	for _, ending := range []string{"", ".js", ".json", ".node"} {
		if _, err := os.Stat(path + ending); err == nil {
			return KindNode, nil
		}
	}
	return KindNode, fmt.Errorf("cannot find the script %s (no such file: %s)", args[0], path)
}

// denoKind reads the arguments of deno as far as the script: deno run FLAGS FILE,
// or without run. Its other commands start no application, or, like deno task
// and --watch, another process, which finds no channel.
func (r resolver) denoKind(args []string) Kind {
	if len(args) > 0 && args[0] == "run" {
		args = args[1:]
	}
	for _, arg := range args {
		if strings.HasPrefix(arg, "--watch") {
			return KindOther
		}
		if strings.HasPrefix(arg, "-") {
			continue
		}
		if info, err := os.Stat(r.path(arg)); err == nil && !info.IsDir() {
			return KindNode
		}
		return KindOther
	}
	return KindOther
}

// hasNoScript knows the ways to run node without an application (node(1)).
func hasNoScript(flag string) bool {
	const flags = "-e --eval -p --print -pe -i --interactive -c --check --test --test-only --watch --watch-path -v --version -h --help --v8-options --prof-process --build-sea --completion-bash"
	return slices.Contains(strings.Fields(flags), flag)
}

// takesValue knows the options of node whose value may stand in the next
// argument (node(1)).
func takesValue(flag string) bool {
	const flags = "-r --require --import --loader --experimental-loader -C --conditions --env-file --env-file-if-exists " +
		"--inspect-port --debug-port --title --input-type --icu-data-dir --diagnostic-dir --openssl-config --redirect-warnings " +
		"--report-dir --report-directory --report-filename --report-signal --dns-result-order --trace-event-categories " +
		"--trace-event-file-pattern --tls-cipher-list --tls-keylog --unhandled-rejections --disable-warning --heapsnapshot-signal " +
		"--max-http-header-size --secure-heap --secure-heap-min --localstorage-file --cpu-prof-dir --cpu-prof-name --heap-prof-dir " +
		"--heap-prof-name --experimental-default-type --stack-trace-limit --network-family-autoselection-attempt-timeout --experimental-config-file"
	return slices.Contains(strings.Fields(flags), flag)
}
