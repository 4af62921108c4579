package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The commands of docker compose that only ask, on a project that runs.
func TestComposesQuestionsAreAnswered(t *testing.T) {
	emptyHouse(t)
	p := running(t, "shop")
	p.Services[0].Ports = []string{"0.0.0.0:3333->3000", "[::]:8080->80"}
	for line, want := range map[string]string{
		"ps -q":                 "4711\n-\n",
		"ps --services":         "app\n",
		"ps -a --services":      "app\ndb\n",
		"ps -q app":             "4711\n-\n",
		"port app":              "3000/tcp -> 0.0.0.0:3333\n80/tcp -> [::]:8080\n",
		"port app 3000":         "0.0.0.0:3333\n",
		"port app 80/tcp":       "[::]:8080\n",
		"wait db":               "db: 0\n",
		"stats --no-stream app": "NAME    CPU    MEM       REQ/S   P99     IN FLIGHT   LOOP\napp.1   1.5%   44.8MiB   1234    3.2ms   0           12.7ms\napp.2   -      -         -       -       0           -\n",
	} {
		if r := bulsa(t, strings.Split(line, " ")...); r.status != 0 || r.stdout != want {
			t.Errorf("%s: status %d, %q %q; want %q", line, r.status, r.stdout, r.stderr, want)
		}
	}
	for line, want := range map[string]string{
		"port app 99":        "app publishes no port 99; it has 0.0.0.0:3333->3000, [::]:8080->80",
		"ps nobody":          `no worker or service "nobody" in project shop`,
		"exec nobody ls":     `no worker or service "nobody" in project shop`,
		"exec db ls":         "db does not run: see bulsa ps -a",
		"exec --index 7 app": "exec requires at least 2 arg(s)",
		"cp a b":             "cp needs one side in a container",
		"cp app:/x .":        "app.1 is no container: its files are those of this machine, which cp copies",
	} {
		if r := bulsa(t, strings.Split(line, " ")...); r.status == 0 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: status %d, %q; want %q", line, r.status, r.stderr, want)
		}
	}
}

func TestConfigListsWhatIsAskedFor(t *testing.T) {
	emptyHouse(t)
	write(t, "compose.yaml", "services:\n  app: {command: node app.js}\n  db: {image: 'postgres:17', volumes: ['data:/d'], networks: [back]}\nvolumes: {data: }\nnetworks: {back: }\n")
	for flag, want := range map[string]string{
		"--services": "app\ndb\n", "--images": "postgres:17\n", "--volumes": "data\n", "--networks": "back\n", "-q": "",
	} {
		if r := bulsa(t, "config", flag); r.status != 0 || r.stdout != want {
			t.Errorf("config %s: status %d, %q; want %q", flag, r.status, r.stdout, want)
		}
	}
	all := bulsa(t, "config", "--hash", "*")
	if lines := strings.Split(strings.TrimSpace(all.stdout), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "app ") || !strings.HasPrefix(lines[1], "db ") {
		t.Errorf("%q", all.stdout)
	}
	if one := bulsa(t, "config", "--hash", "app"); one.status != 0 || !strings.HasPrefix(all.stdout, one.stdout) {
		t.Errorf("%q, of all %q", one.stdout, all.stdout)
	}
	if r := bulsa(t, "config", "-o", "out.yaml"); r.status != 0 || r.stdout != "" {
		t.Errorf("%+v", r)
	}
	if content, err := os.ReadFile("out.yaml"); err != nil || !strings.Contains(string(content), "postgres:17") {
		t.Errorf("%q, %v", content, err)
	}
}

// exec runs a command beside a process: in its environment, its folder, as its user.
func TestExecRunsBesideAProcess(t *testing.T) {
	emptyHouse(t)
	p := running(t, "shop")
	dir := t.TempDir()
	sleeper := exec.Command("sleep", "60")
	sleeper.Dir, sleeper.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "SECRET=s3cret", "PORT=4000"}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sleeper.Process.Kill(); sleeper.Wait() })
	p.mu.Lock()
	p.Services[0].Workers[0].PID = sleeper.Process.Pid
	p.mu.Unlock()
	r := bulsa(t, "exec", "-e", "MORE=1", "app", "sh", "-c", "echo $SECRET $PORT $MORE $(pwd); exit 7")
	if want := "s3cret 4000 1 " + dir + "\n"; r.status != 7 || r.stdout != want || r.stderr != "" {
		t.Errorf("%+v; want status 7 and %q", r, want)
	}
	if r := bulsa(t, "exec", "-w", "/", "app.1", "pwd"); r.status != 0 || r.stdout != "/\n" {
		t.Errorf("%+v", r)
	}
	if r := bulsa(t, "exec", "app", "no-such-program"); r.status != 127 || r.stderr != "bulsa: cannot run a command beside app.1: command not found: no-such-program\n" {
		t.Errorf("%+v", r)
	}
	if r := bulsa(t, "top", "app"); r.status != 0 || !strings.Contains(r.stdout, "sleep 60") || !strings.Contains(r.stdout, strconv.Itoa(sleeper.Process.Pid)) {
		t.Errorf("%+v", r)
	}
}

// run with a word that is a service runs it once, in the foreground.
func TestRunOfAServiceIsOnce(t *testing.T) {
	emptyHouse(t)
	write(t, ".env", "FROM=file\n")
	write(t, "compose.yaml", "services:\n  job: {command: [sh, -c, 'echo own $$GREETING'], environment: {GREETING: '${FROM}'}}\n  sh: {command: echo service}\n  web: {command: x, profiles: [extra]}\n")
	for _, c := range []struct {
		args   []string
		status int
		stdout string
	}{
		{[]string{"run", "job"}, 0, "own file\n"},
		{[]string{"run", "--rm", "job", "sh", "-c", "echo $GREETING $BULSA_SERVICE; exit 3"}, 3, "file job\n"},
		{[]string{"run", "-T", "-e", "GREETING=mine", "job"}, 0, "own mine\n"},
		{[]string{"run", "-w", "/", "job", "pwd"}, 0, "/\n"},
		{[]string{"run", "--rm", "sh"}, 0, "service\n"},
		{[]string{"run", "--rm", "job", "no-such-program"}, 127, ""},
	} {
		if r := bulsa(t, c.args...); r.status != c.status || r.stdout != c.stdout {
			t.Errorf("%q: %+v; want status %d and %q", c.args, r, c.status, c.stdout)
		}
	}
	if r := bulsa(t, "run", "--rm", "jop"); r.status != 2 || !strings.Contains(r.stderr, `there is no service "jop"; the file has job, sh, web`) {
		t.Errorf("%+v", r)
	}
}

func TestKillOfAServiceReachesItsWorkers(t *testing.T) {
	emptyHouse(t)
	p := running(t, "shop")
	if r := bulsa(t, "kill", "-s", "HUP", "app"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) != 1 || !strings.Contains(p.asked[0], "app.1") || !strings.Contains(p.asked[0], "SIGHUP") {
		t.Errorf("asked %q", p.asked)
	}
}

func TestTimesAreReadAsDockerDoes(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-30T10:00:00Z": now.Add(-2 * time.Hour), "10m": now.Add(-10 * time.Minute), "1764489600": time.Unix(1764489600, 0),
	} {
		if got, err := moment(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestEventsAsJSON(t *testing.T) {
	emptyHouse(t)
	running(t, "shop")
	r := bulsa(t, "events", "--json")
	for line := range strings.Lines(r.stdout) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if r.status != 0 || r.stdout == "" {
		t.Errorf("%+v", r)
	}
}
