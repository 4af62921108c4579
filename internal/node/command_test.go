package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// project is a folder with programs on a PATH of its own.
func project(t *testing.T, files map[string]string) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	bin := filepath.Join(dir, "bin")
	for _, name := range []string{"node", "npm", "yarn", "bash", "python3", "bun", "deno"} {
		write(t, bin, name, "#!/nothing\n")
	}
	write(t, bin, "node", "#!/bin/sh\necho v20.20.2\n")
	write(t, bin, "vite-like", "#!/usr/bin/env node\n")
	for name, content := range files {
		write(t, dir, name, content)
	}
	return dir, []string{"PATH=" + bin}
}

const tsxManifest = "node_modules/tsx/package.json"

func TestCommandsBecomeProcesses(t *testing.T) {
	start := func(line string) map[string]string {
		return map[string]string{"package.json": `{"name":"a","version":"1.2.3","scripts":{"start":"` + line + `","pre":"x"}}`, "x.js": "", "x.ts": "", tsxManifest: "{}"}
	}
	cases := []struct {
		name  string
		files map[string]string
		args  string
		want  string // words of argv, with the PATH's folder left out
		kind  Kind
	}{
		{"script", map[string]string{"app.js": ""}, "app.js --port 1", "node app.js --port 1", KindNode},
		{"module", map[string]string{"a/app.mjs": ""}, "a/app.mjs", "node a/app.mjs", KindNode},
		{"TypeScript", map[string]string{"app.ts": "", tsxManifest: "{}"}, "app.ts", "node --import tsx app.ts", KindNode},
		{"node", map[string]string{"app.js": ""}, "node -r ./x --no-warnings app.js -e", "node -r ./x --no-warnings app.js -e", KindNode},
		{"node without ending", map[string]string{"app.js": ""}, "node app", "node app", KindNode},
		{"node -e", nil, "node -e 1", "node -e 1", KindOther},
		{"node --test", nil, "node --test", "node --test", KindOther},
		{"node --watch", map[string]string{"app.js": ""}, "node --watch app.js", "node --watch app.js", KindOther},
		{"node alone", nil, "node", "node", KindOther},
		{"a wrapper by node", map[string]string{"node_modules/tsx/cli.js": ""}, "node node_modules/tsx/cli.js x.ts", "node node_modules/tsx/cli.js x.ts", KindWrapper},
		{"shell", nil, "bash -c true", "bash -c true", KindWrapper},
		{"a program for Node", nil, "vite-like", "vite-like", KindWrapper},
		{"another program", nil, "python3 -m http.server", "python3 -m http.server", KindOther},
		{"Bun", nil, "bun run x.ts", "bun run x.ts", KindOther},
		{"Deno", map[string]string{"x.ts": ""}, "deno run -A --no-check x.ts --watch", "deno run -A --no-check x.ts --watch", KindNode},
		{"Deno without run", map[string]string{"x.js": ""}, "deno x.js", "deno x.js", KindNode},
		{"Deno that watches", map[string]string{"x.js": ""}, "deno run --watch x.js", "deno run --watch x.js", KindOther},
		{"a task of Deno", nil, "deno task start", "deno task start", KindOther},
		{"folder", start("NODE_ENV=production node --no-warnings x.js 'a b'"), ".", "node --no-warnings x.js a b", KindNode},
		{"npm start", start("cross-env A=1 node x.js"), "npm start", "node x.js", KindNode},
		{"npm run with arguments", start("node x.js"), "npm run start -- --port 1", "node x.js --port 1", KindNode},
		{"tsx script", start("tsx x.ts"), "yarn start", "node --import tsx x.ts", KindNode},
		{"tsx watch", start("tsx watch x.ts"), "npm start", "/bin/sh -c tsx watch x.ts", KindWrapper},
		{"shell script", start("node x.js $PORT"), "npm start it's", `/bin/sh -c node x.js $PORT 'it'\''s'`, KindWrapper},
		{"npm with options", start("node x.js"), "npm --silent start", "npm --silent start", KindWrapper},
		{"npm install", start("node x.js"), "npm install", "npm install", KindWrapper},
		{"pre script", map[string]string{"package.json": `{"scripts":{"prestart":"true","start":"node x.js"}}`}, "npm start", "npm start", KindWrapper},
		{"server.js", map[string]string{"package.json": `{"main":"x.js"}`, "server.js": "", "x.js": ""}, ".", "node server.js", KindNode},
		{"main", map[string]string{"package.json": `{"main":"x.js"}`, "x.js": ""}, ".", "node x.js", KindNode},
		{"index.js", map[string]string{"web/index.js": ""}, "web", "node index.js", KindNode},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, env := project(t, c.files)
			got, err := Resolve(strings.Fields(c.args), dir, env)
			if err != nil {
				t.Fatal(err)
			}
			words := strings.TrimPrefix(strings.Join(got.Args, " "), filepath.Join(dir, "bin")+"/")
			if words != c.want || got.Kind != c.kind {
				t.Errorf("%q of kind %d, want %q of kind %d", words, got.Kind, c.want, c.kind)
			}
		})
	}
}

// What surrounds a script runs as npm runs it.
func TestAFolderStartsAsNpmStartDoes(t *testing.T) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not on PATH")
	}
	dir := t.TempDir()
	show := "env | grep -E '^(npm_(package|lifecycle|command|node|execpath)|INIT_CWD|NODE=)' | sort >"
	write(t, dir, "package.json", `{"name":"@x/shop","version":"1.2.3","config":{"port":"80","deep":{"a-b":[1,true]}},"bin":"./b.js","engines":{"node":">=18"},
"scripts":{"prestart":"`+show+`$OUT.pre","start":"`+show+`$OUT; node -e 'console.log(process.argv.slice(1).join())'","poststart":"`+show+`$OUT.post; echo after"}}`)
	env := append(os.Environ(), "npm_config_update_notifier=false", "npm_config_cache="+t.TempDir())
	run := func(name string, c *exec.Cmd) string {
		c.Dir, c.Env = dir, append(c.Env, "OUT="+name)
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	theirs := exec.Command(npm, "--silent", "start", "--", "a b", "it's")
	theirs.Env = env
	wanted := run("npm", theirs)
	command, err := Resolve([]string{".", "a b", "it's"}, dir, env)
	if err != nil {
		t.Fatal(err)
	}
	ours := exec.Command(command.Args[0], command.Args[1:]...)
	ours.Env = append(env, command.Env...)
	if got := run("bulsa", ours); got != wanted {
		t.Errorf("prints %q; npm %q", got, wanted)
	}
	for _, phase := range []string{".pre", "", ".post"} {
		got, _ := os.ReadFile(filepath.Join(dir, "bulsa"+phase))
		want, _ := os.ReadFile(filepath.Join(dir, "npm"+phase))
		if string(got) != string(want) || len(want) == 0 {
			t.Errorf("environment %s:\n%s\nnpm:\n%s", phase, got, want)
		}
	}
}

func TestACommandNamesWhatItWasMadeOf(t *testing.T) {
	dir, env := project(t, map[string]string{"web/package.json": `{"scripts":{"start":"node x.js"}}`, "web/x.js": ""})
	got, err := Resolve([]string{"web"}, dir, env)
	if err != nil || !slices.Contains(got.Sources, filepath.Join(dir, "web", "package.json")) {
		t.Errorf("%v, %q", err, got.Sources)
	}
}

func TestScriptsHaveNpmsEnvironment(t *testing.T) {
	dir, env := project(t, map[string]string{"x.js": "", "package.json": `{"name":"shop","version":"1.2.3","scripts":{"start":"A='b c' node x.js"}}`})
	got, err := Resolve([]string{"npm", "start"}, dir, env)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A=b c", "npm_lifecycle_event=start", "npm_package_name=shop", "npm_package_version=1.2.3"} {
		if !slices.Contains(got.Env, want) {
			t.Errorf("%s is not in %q", want, got.Env)
		}
	}
	path := lookup(got.Env, "PATH")
	if !strings.HasPrefix(path, filepath.Join(dir, "node_modules", ".bin")+":") || !strings.HasSuffix(path, filepath.Join(dir, "bin")) {
		t.Errorf("PATH %q", path)
	}
}

func TestWhatCannotRunIsSaidInOneLine(t *testing.T) {
	cases := []struct {
		name  string
		files map[string]string
		args  []string
		want  string
	}{
		{"nothing", nil, nil, "no command"},
		{"unknown command", nil, []string{"foo"}, "command not found: foo (looked in PATH of the service)"},
		{"unknown path", nil, []string{"./foo"}, "command not found: ./foo (no such file: "},
		{"missing script", nil, []string{"app.js"}, "cannot find the script app.js"},
		{"missing script of node", nil, []string{"node", "app.js"}, "cannot find the script app.js"},
		{"no start script", map[string]string{"package.json": "{}"}, []string{"."}, "has no start script"},
		{"broken package.json", map[string]string{"package.json": "{"}, []string{"."}, "package.json is not valid"},
		{"empty folder", map[string]string{"web/readme": ""}, []string{"web"}, "without a package.json"},
		{"TypeScript without tsx", map[string]string{"app.ts": ""}, []string{"app.ts"}, "npm install tsx, or use Node 22.18"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, env := project(t, c.files)
			_, err := Resolve(c.args, dir, env)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestNodesOwnTypeStrippingByVersion(t *testing.T) {
	for version, want := range map[string]string{
		"v22.18.0": "node app.ts", "v24.1.0": "node app.ts", "v23.6.0": "node app.ts",
		"v22.6.0": "node --experimental-strip-types app.ts", "v23.0.0": "node --experimental-strip-types app.ts",
	} {
		dir, env := project(t, map[string]string{"app.ts": "", "bin/node": "#!/bin/sh\necho " + version + "\n"})
		got, err := Resolve([]string{"app.ts"}, dir, env)
		if err != nil {
			t.Fatal(err)
		}
		if words := strings.TrimPrefix(strings.Join(got.Args, " "), filepath.Join(dir, "bin")+"/"); words != want {
			t.Errorf("%s: %q, want %q", version, words, want)
		}
	}
}

func TestPrepareByModeAndKind(t *testing.T) {
	o := PrepareOptions{ID: 5, Instance: 2, Preload: "/a b/bulsa.cjs", Gate: "/gate", Port: 3000, Socket: "/s", Env: []string{"NODE_CHANNEL_FD=9", "NODE_OPTIONS=--no-warnings"}}
	cases := []struct {
		kind Kind
		mode string
		fd   int // 0: no channel
		want []string
	}{
		{KindNode, "auto", 3, []string{"NODE_CHANNEL_FD=3", "NODE_UNIQUE_ID=5", "NODE_APP_INSTANCE=2", `NODE_OPTIONS=--require "/a b/bulsa.cjs" --no-warnings`}},
		{KindWrapper, "rr", 0, []string{"BULSA_JOIN=/gate", "BULSA_ID=5", "BULSA_PORT=3000", "NODE_CHANNEL_FD="}},
		{KindNode, "listen", 3, []string{"BULSA_SOCK=/s"}},
		{KindNode, "port", 0, []string{"NODE_APP_INSTANCE=2", "NODE_CHANNEL_FD="}},
		{KindNode, "off", 0, []string{"NODE_CHANNEL_FD="}},
		{KindOther, "auto", 0, []string{"BULSA_JOIN=/gate", "NODE_CHANNEL_FD="}},
	}
	for _, c := range cases {
		s, conn, err := Prepare(Command{Args: []string{"x"}, Kind: c.kind}, c.mode, o)
		if err != nil {
			t.Fatal(err)
		}
		if (conn != nil) != (c.fd != 0) || (c.fd != 0) != (s.FDs[c.fd] != nil) {
			t.Errorf("kind %d, mode %s: connection %v, descriptors %v", c.kind, c.mode, conn, s.FDs)
		}
		for _, kv := range c.want {
			if !slices.Contains(s.Env, kv) {
				t.Errorf("kind %d, mode %s: %s is not in %q", c.kind, c.mode, kv, s.Env)
			}
		}
		for _, f := range s.FDs {
			f.Close()
		}
		if conn != nil {
			conn.Close()
		}
	}
}

func TestPreloadIsWrittenOnceAndReplaced(t *testing.T) {
	dir := t.TempDir()
	first, err := WritePreload(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := WritePreload(dir)
	if err != nil || first != second {
		t.Fatalf("%s, %v", second, err)
	}
	if content, _ := os.ReadFile(second); string(content) == "old" {
		t.Error("an old preload stays")
	}
	if _, err := WritePreload(filepath.Join(dir, "missing")); err == nil {
		t.Error("no error for a missing folder")
	}
}
