package compose

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bulsa/internal/spec"
)

// folder writes files, named by path, below a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLoad(t *testing.T, o Options) spec.Project {
	t.Helper()
	p, _, err := Load(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func service(t *testing.T, p spec.Project, name string) spec.Service {
	t.Helper()
	for _, s := range p.Services {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no service %s in %v", name, serviceNames(p))
	return spec.Service{}
}

func serviceNames(p spec.Project) []string {
	var names []string
	for _, s := range p.Services {
		names = append(names, s.Name)
	}
	return names
}

func TestEveryWordIsUnderstood(t *testing.T) {
	dir := here(t)
	p := mustLoad(t, Options{Files: []string{"testdata/everything/bulsa.yaml"}, Dir: dir, CPUs: 4, Environ: []string{"PATH=/bin", "SHARED=bulsa"}})
	home := filepath.Join(dir, "testdata/everything")
	want := spec.Service{
		Name:   "app",
		Engine: spec.EngineProcess,
		Command: spec.Command{
			Args: []string{"node", "--enable-source-maps", "app.js", "two words", "$HOME", "nobody"},
			Dir:  filepath.Join(home, "src"),
			Env:  []string{"EMPTY=", "FROM_FILE=file", "MONEY=5$", "PATH=/bin", "QUOTED=two words", "SHARED=service", "UV_THREADPOOL_SIZE=8"},
			User: "1000:1000", Init: true,
		},
		Replicas: 3,
		Ports: []spec.Port{
			{Published: 3333, Target: 3000},
			{Host: "127.0.0.1", Published: 4000, Target: 4000}, {Host: "127.0.0.1", Published: 4001, Target: 4001},
			{Host: "::1", Published: 9443, Target: 9000}, {Target: 7000},
		},
		Health: spec.Health{
			Test: []string{"CMD", "curl", "--fail", "http://localhost:3000/$"}, Interval: 40 * time.Second, Timeout: 90 * time.Second,
			Retries: 4, StartPeriod: 24 * time.Hour, StartInterval: 500 * time.Millisecond, Passes: 2,
		},
		Restart: spec.Restart{
			Condition: spec.RestartOnFailure, Delay: 200 * time.Millisecond, MaxDelay: 20 * time.Second, ResetAfter: 30 * time.Second,
			Jitter: 0.5, Budget: 9, Window: 3 * time.Minute, FailedRetry: 2 * time.Minute, MaxAttempts: 7,
		},
		Stop:    spec.Stop{Signal: "SIGINT", Grace: time.Minute, Drain: 5 * time.Second},
		Balance: spec.Balance{Policy: spec.RoundRobin, Weight: 1, MaxFails: 5, MaxConns: 50, FailTimeout: 20 * time.Second, SlowStart: 30 * time.Second, Sticky: "route"},
		Forward: spec.Forward{
			HeaderTimeout: time.Second, IdleTimeout: 2 * time.Second, ConnectTimeout: 3 * time.Second, AnswerTimeout: 4 * time.Second, WebSockets: 8 * time.Second, Sessions: true,
			WriteTimeout: 6 * time.Second, RetryTimeout: 7 * time.Second, Hold: 3 * time.Second,
			TrustedProxies: []string{"10.0.0.0/8", "::1"}, ProxyProtocol: true, Upstream: spec.UpstreamH2C,
		},
		TLS: spec.TLS{
			Certificates: []spec.Certificate{{Cert: filepath.Join(home, "site.pem"), Key: filepath.Join(home, "keys/site.key")}},
			Domains:      []string{"www.example.com"}, Email: "admin@example.com", CA: "https://ca.example/directory",
			PlainPorts: []int{3333}, HSTS: "max-age=86400", MinVersion: "1.3", HTTP3: true,
		},
		Limits: spec.Limits{
			Body: 10 << 20, Header: 8 << 10, Connections: 1000, ConnectionsPerAddress: 20, MinRate: 240, Queue: 30, QueueTimeout: 8 * time.Second,
		},
		Routes:    []spec.Route{{Host: "api.example.com", Path: "/v1", StripPrefix: true}, {Host: "*.example.com", Path: "/"}, {Path: "/v2"}},
		AccessLog: spec.AccessLog{Format: "combined", File: filepath.Join(home, "logs/access.log"), Sample: 0.5},
		Update:    spec.Update{Parallelism: 2, Delay: 3 * time.Second, Order: spec.StopFirst},
		Logs:      spec.Logs{MaxSize: 5 << 20, MaxFiles: 3},
		NodeMode:  spec.NodePort,
		EventLoop: spec.EventLoop{Monitor: true, UnhealthyAfter: new(7 * time.Second)},
		DependsOn: []spec.Dependency{
			{Service: "db", Condition: spec.ServiceHealthy, Restart: true, Required: true},
			{Service: "gone", Condition: spec.ServiceStarted},
			{Service: "migrate", Condition: spec.ServiceCompleted, Required: true},
		},
	}
	if got := service(t, p, "app"); !reflect.DeepEqual(got, want) {
		t.Errorf("app is\n%+v, want\n%+v", got, want)
	}
	if got, want := serviceNames(p), []string{"db", "migrate", "app", "auto", "legacy"}; !slices.Equal(got, want) {
		t.Errorf("start order %v, want %v", got, want)
	}
	if p.Name != "everything" || p.Dir != home || !slices.Equal(p.Files, []string{filepath.Join(home, "bulsa.yaml")}) {
		t.Errorf("project %q in %q from %q", p.Name, p.Dir, p.Files)
	}
}

func TestEverySecondaryServiceOfTheExample(t *testing.T) {
	p := mustLoad(t, Options{Files: []string{"testdata/everything/bulsa.yaml"}, Dir: here(t), CPUs: 4})
	if db := service(t, p, "db"); db.Replicas != 0 || !db.Health.TCP || !db.Health.Enabled() {
		t.Errorf("db %+v", db)
	}
	if m := service(t, p, "migrate"); m.Restart.MaxAttempts != 5 || m.Restart.Condition != spec.RestartOnFailure || m.Health.Enabled() {
		t.Errorf("migrate %+v", m)
	}
	if a := service(t, p, "auto"); a.Replicas != 4 || a.Restart.Condition != spec.RestartNever || a.NodeMode != spec.NodeOff || a.Health.HTTP != "/health?deep=1" {
		t.Errorf("auto %+v", a)
	}
	legacy := service(t, p, "legacy")
	want := []spec.Server{
		{Address: "127.0.0.1:3000", Weight: 10, MaxFails: 3, FailTimeout: 20 * time.Second, MaxConns: 100},
		{Address: "[::1]:3001", Weight: 1, MaxFails: 1, FailTimeout: 10 * time.Second, Backup: true},
		{Address: "unix:/run/app.sock", Weight: 1, MaxFails: 1, FailTimeout: 10 * time.Second, Down: true},
		{Address: "example.com:80", Weight: 1, MaxFails: 1, FailTimeout: 10 * time.Second},
	}
	if !reflect.DeepEqual(legacy.Servers, want) || legacy.Replicas != 4 || legacy.Engine != spec.EngineExternal {
		t.Errorf("legacy %+v", legacy)
	}
}

func TestTheFileIsFoundInTheFolderOrAboveInOrder(t *testing.T) {
	const file = "services: {NAME: {command: x}}"
	dir := folder(t, map[string]string{
		"docker-compose.yml": strings.Replace(file, "NAME", "c", 1),
		"compose.yaml":       strings.Replace(file, "NAME", "b", 1),
		"bulsa.yaml":         strings.Replace(file, "NAME", "a", 1),
		"below/deep/x.txt":   "",
	})
	for _, step := range []struct{ remove, want string }{{"", "a"}, {"bulsa.yaml", "b"}, {"compose.yaml", "c"}} {
		if step.remove != "" {
			if err := os.Remove(filepath.Join(dir, step.remove)); err != nil {
				t.Fatal(err)
			}
		}
		p := mustLoad(t, Options{Dir: filepath.Join(dir, "below/deep")})
		if got := serviceNames(p); !slices.Equal(got, []string{step.want}) || p.Dir != dir || p.Name != "shop" {
			t.Errorf("without %s: %v in %s (%s), want %s", step.remove, got, p.Dir, p.Name, step.want)
		}
	}
}

func TestNoFileIsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	_, _, err := Load(context.Background(), Options{Dir: dir})
	want := dir + ": no configuration file here or in any folder above; write a bulsa.yaml or compose.yaml, or name a file with -f"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, _, err = Load(context.Background(), Options{Dir: dir, Files: []string{"other.yaml"}})
	if want := "other.yaml: cannot read the file: no such file or directory; check the path"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLaterFilesAreMergedIntoEarlierOnesAndKeepTheirLines(t *testing.T) {
	dir := folder(t, map[string]string{
		"base.yaml": "services:\n  app:\n    command: x\n    environment: {A: base, B: base}\n    x-bulsa: {balance: ip_hash, hold: 1s}\n",
		"prod.yaml": "services:\n  app:\n    environment: {B: prod}\n    x-bulsa: {hold: 2s}\n",
		"bad.yaml":  "services:\n  app:\n    x-bulsa:\n      hold: soon\n",
	})
	p := mustLoad(t, Options{Dir: dir, Files: []string{"base.yaml", "prod.yaml"}})
	app := service(t, p, "app")
	if !slices.Equal(app.Command.Env, []string{"A=base", "B=prod"}) || app.Balance.Policy != spec.IPHash || app.Forward.Hold != 2*time.Second {
		t.Errorf("%+v", app)
	}
	_, _, err := Load(context.Background(), Options{Dir: dir, Files: []string{"base.yaml", "bad.yaml"}})
	if want := `bad.yaml:4: "soon" is not a duration; write it like 500ms, 5s or 1m30s`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestVariablesComeFromTheEnvironmentThenFromDotEnv(t *testing.T) {
	dir := folder(t, map[string]string{
		".env":         "COUNT=3\nPOLICY=ip_hash\nFAILS=7\n",
		"compose.yaml": "services: {app: {command: x, deploy: {replicas: \"${COUNT}\"}, environment: [TOKEN, NOTSET, POLICY], x-bulsa: {balance: \"${POLICY}\", max_fails: \"${FAILS:-3}\"}}}",
	})
	p := mustLoad(t, Options{Dir: dir, Environ: []string{"COUNT=5", "TOKEN=secret"}})
	app := service(t, p, "app")
	if app.Replicas != 5 || app.Balance.Policy != spec.IPHash || app.Balance.MaxFails != 7 {
		t.Errorf("%+v", app)
	}
	if want := []string{"COUNT=5", "POLICY=ip_hash", "TOKEN=secret"}; !slices.Equal(app.Command.Env, want) {
		t.Errorf("environment %q, want %q", app.Command.Env, want)
	}
}

func TestABrokenDotEnvNamesItsLine(t *testing.T) {
	dir := folder(t, map[string]string{".env": "GOOD=1\nBAD LINE\n", "compose.yaml": "services: {app: {command: x}}"})
	_, _, err := Load(context.Background(), Options{Dir: dir})
	if err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, ".env")+":2: ") {
		t.Errorf("got %v", err)
	}
}

func TestNamedServicesBringTheirDependenciesAndProfiles(t *testing.T) {
	const file = "services:\n  web: {command: x, depends_on: [db]}\n  db: {command: x}\n  other: {command: x, env_file: missing.env}\n  debug: {command: x, profiles: [dev], depends_on: [db]}\n"
	dir := folder(t, map[string]string{"compose.yaml": file, "missing.env": ""})
	for _, c := range []struct {
		name     string
		options  Options
		expected []string
	}{
		{"all without a profile", Options{}, []string{"db", "other", "web"}},
		{"one", Options{Services: []string{"web"}}, []string{"db", "web"}},
		{"one behind a profile", Options{Services: []string{"debug"}}, []string{"db", "debug"}},
		{"a profile", Options{Profiles: []string{"dev"}}, []string{"db", "debug", "other", "web"}},
		{"COMPOSE_PROFILES", Options{Environ: []string{"COMPOSE_PROFILES=x, dev"}}, []string{"db", "debug", "other", "web"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.Dir = dir
			if got := serviceNames(mustLoad(t, c.options)); !slices.Equal(got, c.expected) {
				t.Errorf("got %v, want %v", got, c.expected)
			}
		})
	}
	_, _, err := Load(context.Background(), Options{Dir: dir, Services: []string{"wep"}})
	if want := `compose.yaml: there is no service "wep"; did you mean "web"?`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestIncludedAndExtendedFilesKeepTheirLines(t *testing.T) {
	dir := folder(t, map[string]string{
		"compose.yaml": "include: [more.yaml]\nservices:\n  app:\n    extends: {file: base.yaml, service: common}\n",
		"more.yaml":    "services:\n  extra:\n    command: x\n",
		"base.yaml":    "services:\n  common:\n    command: x\n    stop_signal: SIGFOO\n",
	})
	_, _, err := Load(context.Background(), Options{Dir: dir})
	if want := `base.yaml:4: "SIGFOO" is not a signal; give a name such as SIGTERM, SIGINT or SIGQUIT`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What is included or extended means its own folder, what overrides it the project's.
func TestIncludedAndExtendedCommandsRunInTheirOwnFolder(t *testing.T) {
	dir := folder(t, map[string]string{
		"compose.yaml": `
include:
  - inc/compose.yaml
  - {path: named/compose.yaml, project_directory: elsewhere}
services:
  app: {command: node app.js}
  extended: {extends: {file: base/base.yaml, service: common}}
  changed: {extends: {file: base/base.yaml, service: common}, command: node own.js}
`,
		"inc/compose.yaml":      "include: [deep/compose.yaml]\nservices: {included: {command: node a.js, working_dir: src}}\n",
		"inc/deep/compose.yaml": "services: {deep: {command: node d.js}}\n",
		"named/compose.yaml":    "services: {named: {command: node n.js}}\n",
		"base/base.yaml":        "services: {common: {command: node b.js}}\n",
		"elsewhere/.keep":       "",
		"inc/src/.keep":         "",
		"inc/deep/also/.keep":   "",
		"base/also/.keep":       "",
	})
	p := mustLoad(t, Options{Dir: dir})
	for name, want := range map[string]string{
		"app": "", "extended": "base", "changed": "", "included": "inc/src", "deep": "inc/deep", "named": "elsewhere",
	} {
		if got := service(t, p, name).Command.Dir; got != filepath.Join(dir, want) {
			t.Errorf("%s runs in %s, want %s", name, got, filepath.Join(dir, want))
		}
	}
}

func TestTheProjectsNameIsComposes(t *testing.T) {
	for _, c := range []struct {
		name, file string
		options    Options
		want       string
	}{
		{"folder", "", Options{}, "shop"},
		{"file", "name: filed\n", Options{}, "filed"},
		{"environment", "name: filed\n", Options{Environ: []string{"COMPOSE_PROJECT_NAME=envd"}}, "envd"},
		{"flag", "name: filed\n", Options{ProjectName: "flagged", Environ: []string{"COMPOSE_PROJECT_NAME=envd"}}, "flagged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.Dir = folder(t, map[string]string{"compose.yaml": c.file + "services: {app: {command: x}}"})
			if got := mustLoad(t, c.options).Name; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	dir := folder(t, map[string]string{"compose.yaml": "services: {app: {command: x}}"})
	_, _, err := Load(context.Background(), Options{Dir: dir, ProjectName: "No!"})
	if want := `--project-name: "No!" is not a project name; use lower-case letters, digits, - and _, beginning with a letter or digit`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestThereIsAtLeastOneCPU(t *testing.T) {
	if CPUs() < 1 {
		t.Errorf("%d CPUs", CPUs())
	}
}

func TestTheDocumentedExampleIsUnderstood(t *testing.T) {
	p := mustLoad(t, Options{Files: []string{"testdata/cases/contract.yaml"}, Dir: here(t), CPUs: 8})
	app, legacy := service(t, p, "app"), service(t, p, "legacy")
	if !slices.Equal(app.Command.Args, []string{"node", "app.js"}) || app.Replicas != 2 || !slices.Equal(app.Ports, []spec.Port{{Published: 3333, Target: 3000}}) {
		t.Errorf("app %+v", app)
	}
	health := spec.Health{
		Test: []string{"CMD-SHELL", "curl --fail http://localhost:3000/ || exit 1"}, HTTP: "/health", Interval: 40 * time.Second,
		Timeout: 30 * time.Second, Retries: 3, StartPeriod: time.Minute, StartInterval: 5 * time.Second, Passes: 1, Replace: true,
	}
	if !reflect.DeepEqual(app.Health, health) {
		t.Errorf("health %+v, want %+v", app.Health, health)
	}
	if want := (spec.Balance{Policy: spec.LeastLatency, Weight: 1, MaxFails: 3, FailTimeout: 10 * time.Second, Sticky: "name"}); app.Balance != want {
		t.Errorf("balance %+v, want %+v", app.Balance, want)
	}
	servers := []spec.Server{
		{Address: "127.0.0.1:3000", Weight: 10, MaxFails: 3, FailTimeout: 10 * time.Second},
		{Address: "127.0.0.1:3001", Weight: 10, MaxFails: 1, FailTimeout: 10 * time.Second, Backup: true},
	}
	if legacy.Engine != spec.EngineExternal || !slices.Equal(legacy.Servers, servers) || !slices.Equal(legacy.Ports, []spec.Port{{Published: 8080, Target: 80}}) {
		t.Errorf("legacy %+v", legacy)
	}
}
