package cli

import (
	"slices"
	"testing"
	"time"

	"bulsa/internal/spec"
)

func TestACommandLineBecomesAService(t *testing.T) {
	p, warnings, err := fromRun(runFlags{
		Args: []string{"app.js", "--verbose"}, Dir: "/srv", Workers: "auto", CPUs: 4, Publish: []string{"3333", "[::1]:81:3000"},
		Environ: []string{"PATH=/bin", "A=outer", "KEEP=1"}, EnvFiles: []string{"# comment\nA=file\nB=file\nKEEP\n"}, Env: []string{"B=flag", "PATH"},
		HealthHTTP: "/health", HealthInterval: "1s", HealthRetries: 5, Restart: "on-failure:3", StopSignal: "int", StopTimeout: "30", Balance: "ip_hash", NodeMode: "rr", Hold: "2s",
	})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	s := p.Services[0]
	if p.Name != "app" || s.Name != "app" || p.Dir != "/srv" || len(p.Files) > 0 {
		t.Errorf("project %q of service %q in %s", p.Name, s.Name, p.Dir)
	}
	if !slices.Equal(s.Command.Args, []string{"node", "app.js", "--verbose"}) || s.Command.Dir != "/srv" {
		t.Errorf("command %+v", s.Command)
	}
	if want := []string{"A=file", "B=flag", "KEEP=1", "PATH=/bin"}; !slices.Equal(s.Command.Env, want) {
		t.Errorf("environment %q, want %q", s.Command.Env, want)
	}
	if s.Replicas != 4 || !slices.Equal(s.Ports, []spec.Port{{Published: 3333}, {Host: "::1", Published: 81, Target: 3000}}) {
		t.Errorf("%d workers on %v", s.Replicas, s.Ports)
	}
	if s.Health.HTTP != "/health" || s.Health.Interval != time.Second || s.Health.Retries != 5 || s.Health.Timeout != 30*time.Second {
		t.Errorf("health %+v", s.Health)
	}
	if s.Restart.Condition != spec.RestartOnFailure || s.Restart.MaxAttempts != 3 || s.Stop.Signal != "SIGINT" || s.Stop.Grace != 30*time.Second {
		t.Errorf("restart %+v, stop %+v", s.Restart, s.Stop)
	}
	if s.Balance.Policy != spec.IPHash || s.NodeMode != spec.NodeRR || s.Forward.Hold != 2*time.Second {
		t.Errorf("balance %+v, node %s, hold %s", s.Balance, s.NodeMode, s.Forward.Hold)
	}
}

func TestTheServiceIsNamedAfterWhatRuns(t *testing.T) {
	for _, c := range []struct {
		flags runFlags
		want  string
	}{
		{runFlags{Args: []string{"src/server.mjs"}}, "server"},
		{runFlags{Args: []string{"node", "--watch", "api.js"}}, "api"},
		{runFlags{Args: []string{"/usr/bin/python3", "-m", "http.server"}}, "python3"},
		{runFlags{Args: []string{"./my tool!"}}, "my-tool"},
		{runFlags{Args: []string{"..."}}, "app"},
		{runFlags{Args: []string{"."}, Folder: "/srv/shop", PackageJSON: []byte(`{"main":"x.js"}`)}, "shop"},
		{runFlags{Args: []string{"app.js"}, Name: "Given.Name"}, "Given.Name"},
		{runFlags{Args: []string{"npm", "start"}, PackageJSON: []byte(`{"name":"shop"}`)}, "shop"},
		{runFlags{Args: []string{"pnpm", "run", "dev"}, PackageJSON: []byte(`{"name":"@corp/shop.web"}`)}, "shop.web"},
		{runFlags{Args: []string{"npm", "start"}}, "npm"},
		{runFlags{Args: []string{"tsx", "src/api.ts"}}, "api"},
	} {
		p, _, err := fromRun(c.flags)
		if err != nil || p.Services[0].Name != c.want {
			t.Errorf("%v: %v, want %s", c.flags.Args, err, c.want)
		}
		if !spec.ValidProjectName(p.Name) {
			t.Errorf("%v: project %q", c.flags.Args, p.Name)
		}
	}
}

func TestAFolderRunsItsStartScript(t *testing.T) {
	for _, c := range []struct {
		pkg  string
		args []string
		want []string
	}{
		{`{"scripts":{"start":"node --enable-source-maps src/app.js"}}`, nil, []string{"node", "--enable-source-maps", "src/app.js"}},
		{`{"scripts":{"start":"node app.js"}}`, []string{"--port", "1"}, []string{"node", "app.js", "--port", "1"}},
		{`{"scripts":{"start":"tsx app.ts"}}`, nil, []string{"npm", "start"}},
		{`{"scripts":{"start":"node build.js && node app.js"}}`, []string{"x"}, []string{"npm", "start", "--", "x"}},
		{`{"scripts":{"start":"NODE_ENV=production node app.js"}}`, nil, []string{"npm", "start"}},
		{`{"main":"lib/main.js"}`, nil, []string{"node", "lib/main.js"}},
	} {
		p, _, err := fromRun(runFlags{Args: append([]string{"shop"}, c.args...), Dir: "/srv", Folder: "/srv/shop", PackageJSON: []byte(c.pkg)})
		if err != nil {
			t.Errorf("%s: %v", c.pkg, err)
			continue
		}
		if got := p.Services[0].Command; !slices.Equal(got.Args, c.want) || got.Dir != "/srv/shop" {
			t.Errorf("%s: %q in %s, want %q", c.pkg, got.Args, got.Dir, c.want)
		}
	}
}

func TestAScriptIsRunByNode(t *testing.T) {
	for script, want := range map[string][]string{
		"app.js":  {"node", "app.js", "x"},
		"app.mjs": {"node", "app.mjs", "x"},
		"app.ts":  {"app.ts", "x"}, // how is decided where the packages are known
	} {
		p, _, err := fromRun(runFlags{Args: []string{script, "x"}, Dir: "/srv"})
		if err != nil || !slices.Equal(p.Services[0].Command.Args, want) {
			t.Errorf("%s: %v, %v", script, p, err)
		}
	}
}

func TestAWrongCommandLineNamesTheFlag(t *testing.T) {
	for _, c := range []struct {
		flags runFlags
		want  string
	}{
		{runFlags{}, "bulsa run: no command; give one, as in bulsa run app.js"},
		{runFlags{Args: []string{"x"}, Workers: "many"}, `--workers: "many" is not a number of workers; give 0 to 10000, or auto for one per CPU`},
		{runFlags{Args: []string{"x"}, Publish: []string{"http"}}, `--publish: "http" is not [HOST:]PORT[:TARGET]; write it like 3333, 3333:3000 or 127.0.0.1:3333:3000`},
		{runFlags{Args: []string{"x"}, Publish: []string{"80", "80"}}, "--publish: port 80 is already published by service x; publish one of them on another port"},
		{runFlags{Args: []string{"x"}, HealthInterval: "5"}, `--health-interval: "5" is not a duration; write it like 500ms, 5s or 1m30s`},
		{runFlags{Args: []string{"x"}, HealthCmd: "true", HealthInterval: "1us"}, "--health-interval: 1µs is shorter than 1ms; give a duration of at least 1ms"},
		{runFlags{Args: []string{"x"}, HealthHTTP: "health"}, `--health-http: "health" is not a path; write a path such as /health`},
		{runFlags{Args: []string{"x"}, NoHealthcheck: true, HealthCmd: "true"}, "--no-healthcheck: a health check is given as well; remove one of the two"},
		{runFlags{Args: []string{"x"}, Restart: "never"}, `--restart: "never" is not a restart policy; use no, on-failure[:N], always or unless-stopped`},
		{runFlags{Args: []string{"x"}, StopSignal: "STOPPP"}, `--stop-signal: "STOPPP" is not a signal; give a name such as SIGTERM, SIGINT or SIGQUIT`},
		{runFlags{Args: []string{"x"}, Balance: "least_con"}, `--balance: "least_con" is not known; did you mean "least_conn"? use one of round_robin, least_conn, ip_hash, least_latency`},
		{runFlags{Args: []string{"x"}, Env: []string{"=1"}}, `--env: "=1" is not a variable; write KEY=VALUE, or KEY to pass on bulsa's own`},
		{runFlags{Args: []string{"x"}, Name: "my app"}, `--name: "my app" is not a service name; use letters, digits, dots, - and _`},
		{runFlags{Args: []string{"shop"}, Folder: "/srv/shop"}, "/srv/shop: this folder has no package.json; name the script to run, as in bulsa run shop/app.js"},
	} {
		if _, _, err := fromRun(c.flags); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestAFlagWithoutEffectIsAWarning(t *testing.T) {
	_, warnings, err := fromRun(runFlags{Args: []string{"x"}, HealthCmd: "true", HealthStartInterval: "1s"})
	if err != nil || len(warnings) != 1 || warnings[0].Where != "--health-start-interval" {
		t.Errorf("%v, %v", warnings, err)
	}
}
