package compose

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The COMPOSE_ variables count wherever Compose reads them: from the environment and
// from the env files of the folder in which the search begins.
func TestThePredefinedVariablesAreComposes(t *testing.T) {
	const one, two = "services: {one: {command: x}}\n", "services: {two: {command: \"${WORD:-none}\"}}\n"
	for _, c := range []struct {
		name    string
		files   map[string]string
		options Options
		want    []string // services
	}{
		{"COMPOSE_FILE of .env", map[string]string{".env": "COMPOSE_FILE=a.yaml:b.yaml\n", "a.yaml": one, "b.yaml": two, "compose.yaml": "services: {other: {command: x}}"}, Options{}, []string{"one", "two"}},
		{"separator of .env", map[string]string{".env": "COMPOSE_FILE=a.yaml,b.yaml\nCOMPOSE_PATH_SEPARATOR=,\n", "a.yaml": one, "b.yaml": two}, Options{}, []string{"one", "two"}},
		{"the environment is above .env", map[string]string{".env": "COMPOSE_FILE=a.yaml\n", "a.yaml": one, "b.yaml": two}, Options{Environ: []string{"COMPOSE_FILE=b.yaml"}}, []string{"two"}},
		{"-f is above both", map[string]string{".env": "COMPOSE_FILE=a.yaml\n", "a.yaml": one, "b.yaml": two}, Options{Files: []string{"b.yaml"}}, []string{"two"}},
		{"COMPOSE_ENV_FILES", map[string]string{"x.env": "COMPOSE_FILE=a.yaml\n", ".env": "COMPOSE_FILE=b.yaml\n", "a.yaml": one, "b.yaml": two}, Options{Environ: []string{"COMPOSE_ENV_FILES=x.env"}}, []string{"one"}},
		{"--env-file", map[string]string{"x.env": "COMPOSE_FILE=a.yaml\n", "a.yaml": one, "b.yaml": two}, Options{EnvFiles: []string{"x.env"}, Environ: []string{"COMPOSE_ENV_FILES=none.env"}}, []string{"one"}},
		{"COMPOSE_DISABLE_ENV_FILE", map[string]string{".env": "COMPOSE_FILE=a.yaml\n", "a.yaml": one, "compose.yaml": two}, Options{Environ: []string{"COMPOSE_DISABLE_ENV_FILE=1"}}, []string{"two"}},
		{"COMPOSE_PROFILES of .env", map[string]string{".env": "COMPOSE_PROFILES=dev\n", "compose.yaml": "services: {one: {command: x}, two: {command: x, profiles: [dev]}}"}, Options{}, []string{"one", "two"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.Dir = folder(t, c.files)
			if got := serviceNames(mustLoad(t, c.options)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestTheProjectsFolderIsTheFirstFilesOrTheOneNamed(t *testing.T) {
	dir := folder(t, map[string]string{
		".env":             "COMPOSE_FILE=deploy/app.yaml\nFROM=outer\n",
		"deploy/app.yaml":  "services: {app: {command: \"echo ${FROM} ${INNER:-unset}\"}}",
		"deploy/.env":      "FROM=inner\nINNER=yes\n",
		"elsewhere/.env":   "FROM=elsewhere\n",
		"elsewhere/app.js": "",
	})
	p := mustLoad(t, Options{Dir: dir})
	if app := service(t, p, "app"); p.Dir != filepath.Join(dir, "deploy") || !slices.Equal(app.Command.Args, []string{"echo", "outer", "yes"}) {
		t.Errorf("%s: %q", p.Dir, app.Command.Args)
	}
	p = mustLoad(t, Options{Dir: dir, ProjectDir: "elsewhere", Files: []string{"deploy/app.yaml"}})
	if app := service(t, p, "app"); p.Dir != filepath.Join(dir, "elsewhere") || p.Name != "elsewhere" || !slices.Equal(app.Command.Args, []string{"echo", "elsewhere", "unset"}) {
		t.Errorf("%s, %s: %q", p.Name, p.Dir, app.Command.Args)
	}
}

func TestASecretMayComeFromDotEnv(t *testing.T) {
	dir := folder(t, map[string]string{
		".env":         "TOKEN=abc\n",
		"compose.yaml": "services: {app: {image: x, build: {context: ., args: [TOKEN], secrets: [s]}, secrets: [s]}}\nsecrets: {s: {environment: TOKEN}}\n",
	})
	app := service(t, mustLoad(t, Options{Dir: dir}), "app")
	if app.Container.Files[0].Content != "abc" || app.Container.Build.Secrets[0].Content != "abc" || app.Container.Build.Args["TOKEN"] != "abc" {
		t.Errorf("%+v, %+v", app.Container.Files, app.Container.Build)
	}
}

func TestWhatComposeGoSaysIsPassedOn(t *testing.T) {
	dir := folder(t, map[string]string{
		".env":         "DATABASE=postgres://app:a$wrd@db\n",
		"app.env":      "# note $nothing\nGOOD=1\nPASSWORD=sec$ret\nQUOTED='sec$ret'\nESCAPED=sec$$ret\n",
		"raw.env":      "PASSWORD2=sec$ret\"\n",
		"compose.yaml": "version: '3'\nservices:\n  app:\n    command: x\n    init: !!str yes\n    env_file:\n      - app.env\n      - {path: raw.env, format: raw}\n",
	})
	p, warnings, err := Load(context.Background(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.Where+": "+w.Message)
	}
	want := []string{
		".env:1: the variable wrd is not set and becomes empty in the value of DATABASE; put the value in single quotes if the $ is a part of it",
		"app.env:3: the variable ret is not set and becomes empty in the value of PASSWORD; put the value in single quotes if the $ is a part of it",
		"compose.yaml:1: version is ignored: Compose files have no version any more; remove it",
		`compose.yaml:5: write true instead of "yes"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	env := service(t, p, "app").Command.Env
	for _, line := range []string{"PASSWORD=sec", "QUOTED=sec$ret", "ESCAPED=sec$ret", `PASSWORD2=sec$ret"`} {
		if !slices.Contains(env, line) {
			t.Errorf("%s is not in %q", line, env)
		}
	}
}

func TestAVariableMayNotBringAShellOperator(t *testing.T) {
	for _, value := range []string{"a && b", "a; b", "a | b", "a > b", "a & b"} {
		for _, image := range []string{"", "image: x, "} {
			dir := folder(t, map[string]string{"compose.yaml": "services: {app: {" + image + "command: \"${RUN}\"}}"})
			_, _, err := Load(context.Background(), Options{Dir: dir, Environ: []string{"RUN=" + value}})
			if err == nil || !strings.Contains(err.Error(), "would end the command: no shell is run") {
				t.Errorf("%q: %v", value, err)
			}
		}
	}
	dir := folder(t, map[string]string{"compose.yaml": "services: {app: {command: [sh, -c, \"${RUN}\"]}}"})
	if got := service(t, mustLoad(t, Options{Dir: dir, Environ: []string{"RUN=a && b"}}), "app").Command.Args; !slices.Equal(got, []string{"sh", "-c", "a && b"}) {
		t.Errorf("%q", got)
	}
}

func TestAnEnvFileThatIsMissingIsNamed(t *testing.T) {
	dir := folder(t, map[string]string{"compose.yaml": "services: {app: {command: x}}"})
	_, _, err := Load(context.Background(), Options{Dir: dir, EnvFiles: []string{"none.env"}})
	if want := filepath.Join(dir, "none.env") + ": there is no such env file; check --env-file or COMPOSE_ENV_FILES"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, _, err = Load(context.Background(), Options{Dir: dir, Environ: []string{"COMPOSE_FILE=gone.yaml"}})
	if want := "gone.yaml: cannot read the file: no such file or directory; check COMPOSE_FILE"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
