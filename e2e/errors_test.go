package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// failsWith checks an error as users see it: exactly one line on standard
// error, that says all of texts, and the exit status.
func failsWith(t *testing.T, r result, status int, texts ...string) {
	t.Helper()
	line := strings.TrimSuffix(r.stderr, "\n")
	if r.status != status {
		t.Errorf("exit status %d, want %d: %s", r.status, status, line)
	}
	if line == "" || strings.Contains(line, "\n") || !strings.HasPrefix(line, "bulsa: ") {
		t.Errorf("not one line: %q", r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(line, text) {
			t.Errorf("%q does not say %q", line, text)
		}
	}
}

// TestMistakesInTheFile: each is told in one line with its place and what to
// change, and nothing is started. So there is nothing that could race.
func TestMistakesInTheFile(t *testing.T) {
	t.Parallel()
	const good = "services:\n  app:\n    command: touch started\n"
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := taken.Addr().(*net.TCPAddr).Port
	for _, c := range []struct {
		name, file string
		says       []string
	}{
		{"unknown key", good + "    replica: 2\n", []string{"bulsa.yaml:4: ", `unknown key "replica"`}},
		{"unknown key of ours", good + "    x-bulsa:\n      balanc: ip_hash\n", []string{"bulsa.yaml:5: ", `did you mean "balance"?`}},
		{"unknown policy", good + "    x-bulsa:\n      balance: ip_hsh\n", []string{"bulsa.yaml:5: ", `did you mean "ip_hash"?`}},
		{"bad duration", good + "    healthcheck:\n      test: \"true\"\n      interval: 5 minutes\n", []string{"bulsa.yaml:6: ", "duration", "500ms, 5s or 1m30s"}},
		{"bad duration of ours", good + "    x-bulsa:\n      fail_timeout: 10\n", []string{"bulsa.yaml:5: ", "duration", "500ms, 5s or 1m30s"}},
		{"port in use", good + fmt.Sprintf("    ports:\n      - \"127.0.0.1:%d:3000\"\n", busy), []string{"bulsa.yaml:5: ", "in use", "choose another"}},
		{"port twice", good + "    ports: [\"127.0.0.1:1234:80\"]\n  more:\n    command: sleep 1\n    ports: [\"1234:80\"]\n", []string{"bulsa.yaml:7: ", "port 1234 is already published by service app"}},
		{"no such port", good + "    ports: [\"70000:80\"]\n", []string{"bulsa.yaml:4: ", "1 to 65535"}},
		{"no command", "services:\n  app:\n    ports: [\"8080\"]\n", []string{"bulsa.yaml:2: ", "service app has no command", "give a command"}},
		{"command that is not there", "services:\n  app:\n    command: no-such-program --flag\n", []string{"bulsa.yaml:3: ", "no-such-program"}},
		{"script that is not there", "services:\n  app:\n    command: node nowhere.js\n", []string{"bulsa.yaml:3: ", "nowhere.js"}},
		{"working folder that is not there", good + "    working_dir: ./nowhere\n", []string{"bulsa.yaml:4: ", "nowhere"}},
		{"cycle", good + "    depends_on: [b]\n  b:\n    command: sleep 1\n    depends_on: [app]\n", []string{"bulsa.yaml:", "app -> b -> app", "remove one"}},
		{"dependency that is not there", good + "    depends_on: [database]\n", []string{"bulsa.yaml:4: ", "database", "does not exist"}},
		{"never healthy", good + "    depends_on:\n      b: {condition: service_healthy}\n  b:\n    command: sleep 1\n", []string{"bulsa.yaml:5: ", "no health check"}},
		{"env file that is not there", good + "    env_file: nowhere.env\n", []string{"bulsa.yaml:4: ", "nowhere.env"}},
		{"broken YAML", "services:\n  app:\n    command: [touch\n", []string{"bulsa.yaml:", "not valid YAML"}},
		{"tab", "services:\n\tapp:\n\t\tcommand: x\n", []string{"bulsa.yaml:2: ", "not valid YAML"}},
		{"wrong type", "services:\n  app:\n    command: touch started\n    deploy: {replicas: many}\n", []string{"bulsa.yaml:4: ", "replicas", "number"}},
		{"required variable", good + "    environment: {X: \"${NOT_SET:?tell me}\"}\n", []string{"bulsa.yaml:4: ", "NOT_SET", "tell me"}},
		{"no signal", good + "    stop_signal: SIGNOTHING\n", []string{"bulsa.yaml:4: ", "SIGNOTHING"}},
		{"no server", "services:\n  app:\n    x-bulsa:\n      engine: external\n", []string{"bulsa.yaml:", "no servers"}},
		{"an image", "services:\n  app:\n    image: \"nginx latest\"\n", []string{"bulsa.yaml:3: ", "is not an image"}},
		{"empty", "", []string{"bulsa.yaml:1: ", "empty"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.write("bulsa.yaml", c.file)
			failsWith(t, w.do("up", "--admin", "off"), 2, c.says...)
			untouched(t, w)
		})
	}
}

// TestMistakesThatTheBackgroundFinds come back to the command that waits.
func TestMistakesThatTheBackgroundFinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("bulsa.yaml", "services:\n  app:\n    command: no-such-program\n")
	failsWith(t, w.do("up", "-d", "--admin", "off"), 2, "bulsa.yaml:3: ", "no-such-program")
	untouched(t, w)
}

// untouched checks that nothing was started, and that nothing listens.
func untouched(t *testing.T, w *world) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(w.dir, "started")); err == nil {
		t.Error("a worker was started")
	}
	if left := leftovers(w); len(left) > 0 {
		t.Errorf("sockets are left: %v", left)
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		args string
		says string
	}{
		{"frobnicate", `unknown command "frobnicate"; see bulsa help`},
		{"pss", "did you mean bulsa ps?"},
		{"ps --frobnicate", "unknown flag: --frobnicate"},
		{"version extra", "version"},
		{"ps --format xml", "table, json"},
		{"config --format toml", "yaml, json"},
		{"up -f nowhere.yaml", "nowhere.yaml"},
		{"up", "no configuration file"},
		{"config", "no configuration file"},
		{"scale", "SERVICE=N"},
		{"scale app", "SERVICE=N"},
		{"scale app=x", "not a number"},
		{"scale app=many", "not a number"},
		{"kill", "needs a worker"},
		{"kill -s NOTHING app.1", "not a signal"},
		{"logs --tail x", "--tail"},
		{"completion tcsh", "bash, zsh, fish"},
		{"help frobnicate", "unknown command"},
		{"run", "needs a command"},
		{"run nowhere.js", "nowhere.js"},
		{"run no-such-program", "no-such-program"},
		{"run -w many touch started", "--workers"},
		{"run -p 70000 touch started", "--publish"},
		{"run -p 127.0.0.1:" + busy + ":3000 --admin off touch started", "port 127.0.0.1:" + busy + " is in use"},
		{"run -d -p 127.0.0.1:" + busy + ":3000 --admin off touch started", "port 127.0.0.1:" + busy + " is in use"},
		{"run --health-interval 5 touch started", "--health-interval"},
		{"run --stop-signal NOTHING touch started", "--stop-signal"},
		{"run --restart sometimes touch started", "--restart"},
		{"run --balance fairest touch started", "--balance"},
		{"run --name a/b touch started", "a/b"},
		{"run --env-file nowhere.env touch started", "nowhere.env"},
		{"run --admin 0.0.0.0:9900 touch started", "loopback"},
		{"run --admin 192.0.2.1:9900 touch started", "loopback"},
		{"run --admin elsewhere touch started", "HOST:PORT"},
		{"run --admin 127.0.0.1:" + busy + " touch started", "--admin 127.0.0.1:" + busy},
	} {
		t.Run(c.args, func(t *testing.T) {
			w := newWorld(t)
			failsWith(t, w.do(strings.Fields(c.args)...), 2, c.says)
			untouched(t, w)
		})
	}
}

func TestCommandsWithoutAProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, args := range []string{
		"ps", "ps -p other", "inspect app", "logs", "logs -f app", "events", "scale app=2", "start", "stop", "restart app", "kill app.1", "down",
	} {
		t.Run(args, func(t *testing.T) {
			failsWith(t, w.do(strings.Fields(args)...), 1, "no running project", "bulsa up or bulsa run")
		})
	}
}
