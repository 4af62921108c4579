package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"bulsa/internal/api/client"
)

func TestMistakesOnTheCommandLine(t *testing.T) {
	emptyHouse(t)
	write(t, "cli_here.js", "")
	for line, want := range map[string]string{
		"nope":                           `unknown command "nope"; see bulsa help`,
		"strt":                           `unknown command "strt"; did you mean bulsa start?`,
		"rm -f app":                      `there is no bulsa rm: bulsa stop SERVICE ends a service`,
		"attach app":                     `there is no bulsa attach: bulsa logs -f NAME follows`,
		"monit":                          `there is no bulsa monit: bulsa ps shows`,
		"reload all":                     `there is no bulsa reload: bulsa restart is graceful`,
		"delete app":                     `there is no bulsa delete: bulsa stop SERVICE ends a service`,
		"startup":                        `there is no bulsa startup: let systemd run bulsa up`,
		"xtop":                           `unknown command "xtop"; see bulsa help`,
		"run ecosystem.config.js":        `ecosystem.config.js is a configuration of PM2, not a program`,
		"start cli_here.js":              `start is for services that were stopped; a program is run by bulsa run cli_here.js`,
		"help nope":                      `unknown command "nope"; see bulsa help`,
		"--nope":                         `unknown flag: --nope; see bulsa --help`,
		"ps --nope":                      `unknown flag: --nope; see bulsa ps --help`,
		"ps --format xml":                `--format: "xml" is none of table, json`,
		"config --format xml":            `--format: "xml" is none of yaml, json`,
		"events --format xml":            `--format: "xml" is none of text, json`,
		"run":                            `run needs a command, as in bulsa run app.js; see bulsa run --help`,
		"run -w many app.js":             `--workers: "many" is not a number of workers`,
		"run --health-retries x app.js":  `--health-retries: "x" is not a number`,
		"run --health-retries=-1 app.js": `--health-retries: -1 is less than 0`,
		"run --health-interval 5 app.js": `--health-interval: `,
		"run --stop-signal NO app.js":    `--stop-signal: "NO" is not a signal`,
		"run --env-file none app.js":     `--env-file none: cannot read the file: no such file or directory`,
		"run --no-healthcheck --health-tcp app.js": `--no-healthcheck: a health check is given as well`,
		"run .":                           `this folder has no package.json`,
		"up":                              `no configuration file here or in any folder above`,
		"up -f none.yaml":                 `none.yaml: cannot read the file: no such file or directory`,
		"-f none.yaml ps":                 `none.yaml: cannot read the file: no such file or directory`,
		"config":                          `no configuration file here or in any folder above`,
		"kill":                            `kill needs a worker, as in bulsa kill app.1`,
		"kill -s NO app.1":                `--signal: "NO" is not a signal`,
		"scale":                           `scale needs SERVICE=N, as in bulsa scale app=4`,
		"scale app":                       `"app" is not SERVICE=N, as in app=4`,
		"scale app=many":                  `"app=many" is not SERVICE=N: "many" is not a number from 0 to`,
		"scale app=1 app=3":               `service app is named twice`,
		"up --scale app=-1":               `no configuration file here or in any folder above`,
		"inspect":                         `inspect needs one service or worker, got 0 arguments`,
		"logs --tail x":                   `--tail: "x" is neither a number of lines nor all`,
		"completion":                      `completion needs a shell: bash, zsh, fish, powershell`,
		"completion tcsh":                 `completion: no shell "tcsh"; there are: bash, zsh, fish, powershell`,
		"version extra":                   `version takes no argument`,
		"exec app":                        `exec requires at least 2 arg(s), only received 1`,
		"watch":                           `there is no bulsa watch: files are not watched in this version`,
		"create app":                      `there is no bulsa create: bulsa build and bulsa pull make ready what bulsa up -d starts`,
		"logs --since then":               `"then" is not a time; write 2026-11-30T10:00:00Z, or 10m for ten minutes ago`,
		"run --rm nothing":                `no configuration file here or in any folder above`,
		"up -d --abort-on-container-exit": `--abort-on-container-exit has no meaning with -d or --wait: nobody stays to see it`,
		"down --signal TERM":              `unknown flag: --signal`,
	} {
		r := bulsa(t, strings.Fields(line)...)
		if r.status != 2 || r.stdout != "" {
			t.Errorf("bulsa %s: exit status %d, output %q", line, r.status, r.stdout)
		}
		if !strings.HasPrefix(r.stderr, "bulsa: ") || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("bulsa %s: %q, want one line with %q", line, r.stderr, want)
		}
	}
}

func TestAnErrorInTheFileNamesItsLine(t *testing.T) {
	emptyHouse(t)
	write(t, "compose.yaml", "services:\n  app:\n    command: sleep 9\n    x-bulsa: {balanse: round_robin}\n")
	for _, command := range []string{"up", "config"} {
		r := bulsa(t, command)
		if r.status != 2 || !strings.HasPrefix(r.stderr, "bulsa: compose.yaml:4: ") {
			t.Errorf("%s: exit status %d, %q", command, r.status, r.stderr)
		}
	}
}

func TestWithoutAProjectEveryCommandSaysSo(t *testing.T) {
	emptyHouse(t)
	for _, line := range []string{"ps", "logs", "events", "down", "stop", "start app", "restart", "inspect app", "kill app.1", "scale app=2"} {
		r := bulsa(t, strings.Fields(line)...)
		if want := "bulsa: no running project: start it with bulsa up or bulsa run\n"; r.status != 1 || r.stderr != want {
			t.Errorf("%s: exit status %d, %q, want %q", line, r.status, r.stderr, want)
		}
		r = bulsa(t, append(strings.Fields(line), "-p", "shop")...)
		if want := "bulsa: no running project \"shop\": start it with bulsa up or bulsa run\n"; r.status != 1 || r.stderr != want {
			t.Errorf("%s -p shop: exit status %d, %q, want %q", line, r.status, r.stderr, want)
		}
	}
}

func TestWhichProjectIsMeant(t *testing.T) {
	emptyHouse(t)
	running(t, "shop")
	elsewhere := t.TempDir()

	t.Run("the only one that runs, from anywhere", func(t *testing.T) {
		t.Chdir(elsewhere)
		expectProject(t, "shop", "ps")
	})
	t.Run("the one of the file here, not another one", func(t *testing.T) {
		t.Chdir(elsewhere)
		write(t, "compose.yaml", "name: blog\nservices: {app: {command: sleep 9}}\n")
		defer os.Remove("compose.yaml")
		r := bulsa(t, "down")
		if want := "bulsa: no running project \"blog\": start it with bulsa up or bulsa run; running: shop\n"; r.stderr != want {
			t.Errorf("%q, want %q", r.stderr, want)
		}
	})
	t.Run("the one of a file that is named", func(t *testing.T) {
		t.Chdir(elsewhere)
		write(t, "shop.yaml", "name: shop\nservices: {app: {command: sleep 9}}\n")
		expectProject(t, "shop", "-f", "shop.yaml", "ps")
		expectProject(t, "shop", "ps", "-f", "shop.yaml")
	})
	t.Run("of several the one of this folder", func(t *testing.T) {
		here, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		t.Chdir(elsewhere)
		running(t, "other")
		r := bulsa(t, "stop", "-p", "shop")
		if r.status != 0 || r.stdout != "shop: stopped\n" {
			t.Errorf("by name: %+v", r)
		}
		r = bulsa(t, "stop")
		if r.status != 0 || r.stdout != "other: stopped\n" {
			t.Errorf("there: %+v", r)
		}
		t.Chdir(here)
		if r = bulsa(t, "stop"); r.stdout != "shop: stopped\n" {
			t.Errorf("here: %+v", r)
		}
		t.Chdir(t.TempDir())
		r = bulsa(t, "stop")
		if r.status != 2 || r.stderr != "bulsa: several projects run: name one with -p: other, shop\n" {
			t.Errorf("in a third folder: %+v", r)
		}
	})
}

func expectProject(t *testing.T, name string, args ...string) {
	t.Helper()
	if r := bulsa(t, args...); r.status != 0 || !strings.Contains(r.stdout, "app.1") {
		t.Errorf("%v: %+v, want project %s", args, r, name)
	}
}

func TestCommandsReachTheProject(t *testing.T) {
	emptyHouse(t)
	p := running(t, "shop")
	for _, c := range []struct{ line, asked, stdout string }{
		{"stop", `stop [[],true]`, "shop: stopped\n"},
		{"start app db", `start [["app","db"],true]`, "app: started\ndb: started\n"},
		{"restart app.2", `restart [["app.2"],true]`, "app.2: restarted\n"},
		{"kill app.1", `kill ["app.1","SIGKILL"]`, ""},
		{"kill -s hup app.1 app.2", `kill ["app.1","SIGHUP"]; kill ["app.2","SIGHUP"]`, ""},
		{"scale app=4 db=-1", `scale [[{"service":"app","replicas":4},{"service":"db","by":-1}],true]`, "scaled\n"},
		{"logs", `logs [-1,false,null]`, "app.1 | hello\ndb.1  | world\n"},
		{"logs -f --tail 5 app", `logs [5,true,["app"]]`, "app.1 | hello\ndb.1  | world\n"},
		{"events", ``, "2026-01-02T03:04:05.006Z  app.1  exit: exit 1 after 4 s (Error: boom)\n2026-01-02T03:04:05.006Z  app  scale: 2 -> 4 workers\n"},
	} {
		r := bulsa(t, strings.Fields(c.line)...)
		if asked := p.takeAsked(); r.status != 0 || r.stdout != c.stdout || asked != c.asked || r.stderr != "" {
			t.Errorf("bulsa %s: %+v, asked %s, want %s and %q", c.line, r, asked, c.asked, c.stdout)
		}
	}
}

func TestANameThatDoesNotExist(t *testing.T) {
	emptyHouse(t)
	running(t, "shop")
	for _, line := range []string{"restart app.9", "logs app.9", "inspect app.9", "stop app app.9"} {
		r := bulsa(t, strings.Fields(line)...)
		want := "bulsa: no worker or service \"app.9\" in project shop; there are: app.1, app.2, db.1\n"
		if r.status != 1 || r.stderr != want {
			t.Errorf("bulsa %s: exit status %d, %q, want %q", line, r.status, r.stderr, want)
		}
	}
}

func TestDownReturnsWhenTheProjectIsGone(t *testing.T) {
	emptyHouse(t)
	running(t, "shop")
	if r := bulsa(t, "down"); r.status != 0 || r.stdout != "shop: stopped\n" {
		t.Errorf("%+v", r)
	}
	if names := client.Running(); len(names) != 0 {
		t.Errorf("still running: %v", names)
	}
}

func TestUpOnARunningProjectAppliesTheFile(t *testing.T) {
	emptyHouse(t)
	p := running(t, "shop")
	write(t, "compose.yaml", "name: shop\nservices:\n  app: {command: sleep 9}\n  db: {command: sleep 9}\n  mail: {command: sleep 9}\n")
	for line, want := range map[string]string{
		"up":                            `apply [[{"Name":"app","Replicas":1},{"Name":"db","Replicas":1},{"Name":"mail","Replicas":1}]]`,
		"up --scale app=5 app":          `apply [[{"Name":"app","Replicas":5},{"Name":"db","Replicas":1}]]`,
		"up --profile x --scale mail=2": `apply [[{"Name":"app","Replicas":1},{"Name":"db","Replicas":1},{"Name":"mail","Replicas":2}]]`,
	} {
		r := bulsa(t, strings.Fields(line)...)
		if asked := p.takeAsked(); r.status != 0 || asked != want || r.stdout != "app: 2 -> 5 workers\n" {
			t.Errorf("bulsa %s: %+v, asked %s, want %s", line, r, asked, want)
		}
	}
	if r := bulsa(t, "up", "--scale", "nope=2"); r.status != 2 || !strings.Contains(r.stderr, `--scale nope=2: there is no service "nope"`) {
		t.Errorf("an unknown service: %+v", r)
	}
}

func TestRunRefusesAProjectThatRuns(t *testing.T) {
	emptyHouse(t)
	running(t, "sleep")
	r := bulsa(t, "run", "sleep", "9")
	if r.status != 1 || !strings.Contains(r.stderr, `project "sleep" already runs (pid `) || !strings.Contains(r.stderr, "--name") {
		t.Errorf("%+v", r)
	}
}

func TestPsAsJSONIsAnArrayOfTheContract(t *testing.T) {
	emptyHouse(t)
	running(t, "shop")
	r := bulsa(t, "ls", "-a", "--format", "json")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &rows); err != nil || len(rows) != 3 {
		t.Fatalf("%v in %s", err, r.stdout)
	}
	for _, key := range strings.Fields("name service worker engine pid id state health restarts started_at address release cause") {
		if _, ok := rows[1][key]; !ok {
			t.Errorf("no %s in %v", key, rows[1])
		}
	}
	if rows[0]["requests_per_second"] != 1234.5 || rows[0]["p99_seconds"] != 0.0032 {
		t.Errorf("figures of %v", rows[0])
	}
}

func TestConfigShowsWhatWasUnderstood(t *testing.T) {
	emptyHouse(t)
	write(t, "compose.yaml", "name: shop\nservices:\n  app:\n    command: sleep 9\n    healthcheck: {test: \"true\", start_interval: 3s}\n")
	r := bulsa(t, "config")
	if r.status != 0 || !strings.Contains(r.stdout, "name: shop") || !strings.HasPrefix(r.stderr, "bulsa: warning: compose.yaml:5: ") {
		t.Errorf("%+v", r)
	}
	if r = bulsa(t, "config", "--format", "json"); !json.Valid([]byte(r.stdout)) {
		t.Errorf("not JSON: %s", r.stdout)
	}
}

func TestCompletionOffersNames(t *testing.T) {
	emptyHouse(t)
	running(t, "shop")
	for line, want := range map[string]string{
		"__complete restart ":     "app\ndb\napp.1\napp.2\ndb.1\n",
		"__complete stop app ":    "db\napp.1\napp.2\ndb.1\n",
		"__complete kill ":        "app\ndb\napp.1\napp.2\ndb.1\n",
		"__complete scale ":       "app=\ndb=\n",
		"__complete logs -f app.": "app\ndb\napp.1\napp.2\ndb.1\n", // the shell filters
	} {
		r := bulsa(t, strings.Split(line, " ")...)
		if !strings.HasPrefix(r.stdout, want+":") {
			t.Errorf("%s: %q, want %q", line, r.stdout, want)
		}
	}
}

func TestTheVersionIsAskedForInAnyWay(t *testing.T) {
	for _, line := range []string{"version", "--version", "-v"} {
		if r := bulsa(t, line); r.status != 0 || !strings.HasPrefix(r.stdout, "bulsa "+version) {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

func TestPM2sFilesAreKnownByTheirName(t *testing.T) {
	for name, want := range map[string]bool{
		"ecosystem.config.js": true, "a/ecosystem.config.cjs": true, "pm2.config.js": true, "ecosystem.json": true, "process.yml": true, "app.config.json": true,
		"app.js": false, "next.config.js": false, "config.js": false, "package.json": false, "ecosystem.js": false, "ecosystem": false,
	} {
		if got := isPM2File(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestHelpNamesEveryCommandOfTheContract(t *testing.T) {
	r := bulsa(t, "help")
	for _, name := range strings.Fields("run up down start stop restart kill ps inspect logs events scale config version completion help") {
		if !strings.Contains(r.stdout, "\n  "+name+" ") {
			t.Errorf("help does not name %s", name)
		}
	}
	for _, line := range []string{"help run", "run --help", "run -h"} {
		if r := bulsa(t, strings.Fields(line)...); r.status != 0 || !strings.Contains(r.stdout, "--health-start-interval") {
			t.Errorf("%s: %+v", line, r)
		}
	}
}
