package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"
)

// sleepers is a project of one service that does nothing.
func sleepers(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t)
	w.run("-w", strconv.Itoa(n), "--", "sleep", "1000")
	return w
}

func TestPsShowsOneRowPerWorker(t *testing.T) {
	t.Parallel()
	w := sleepers(t, 2)
	for _, alias := range []string{"ps", "ls", "list"} {
		lines := strings.Split(strings.TrimSpace(w.must(alias)), "\n")
		if len(lines) != 3 {
			t.Fatalf("%s prints\n%s", alias, strings.Join(lines, "\n"))
		}
		if got := strings.Join(strings.Fields(lines[0]), " "); got != "NAME ENGINE PID/ID STATUS RESTARTS REQ/S P99 LOOP POOL CPU MEM PORTS" {
			t.Errorf("%s has the columns %s", alias, got)
		}
		if !regexp.MustCompile(`^app\.1 +process +\d+ +Up .* second`).MatchString(lines[1]) {
			t.Errorf("%s shows %q", alias, lines[1])
		}
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(w.must("ps", "--format", "json")), &rows); err != nil || len(rows) != 2 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for _, field := range strings.Fields("name service worker engine pid id state health restarts started_at address release cause") {
		if _, there := rows[0][field]; !there {
			t.Errorf("ps --format json has no %s", field)
		}
	}
	w.must("stop")
	if out := w.must("ps", "--format", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("all is stopped, and ps shows %s", out)
	}
	if rows := w.ps(""); len(rows) != 2 || rows[0].State != "pending" {
		t.Errorf("all is stopped, and ps -a shows %v", rows)
	}
}

// TestPsFitsTheTerminal: columns fall away from the right.
func TestPsFitsTheTerminal(t *testing.T) {
	t.Parallel()
	w := sleepers(t, 1)
	for _, width := range []int{200, 80, 60, 45} {
		screen := w.onTerminal(width, "ps")
		lines := strings.Split(strings.TrimSpace(screen), "\n")
		for _, line := range lines {
			if len(line) > width {
				t.Errorf("%d columns, and a line of %d: %q", width, len(line), line)
			}
		}
		if !strings.HasPrefix(lines[0], "NAME") || !strings.Contains(lines[1], "Up ") {
			t.Errorf("%d columns show\n%s", width, screen)
		}
	}
}

// onTerminal runs a command whose output is a terminal of some width.
func (w *world) onTerminal(width int, args ...string) string {
	w.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		w.t.Skip("no terminals here:", err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		w.t.Skip("no terminals here:", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		w.t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer screen.Close()
	if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: uint16(width)}); err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(plain, args...)
	cmd.Dir, cmd.Env, cmd.Stdout = w.dir, w.env, screen
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("bulsa %v: %v", args, err)
	}
	screen.Close()
	out, _ := io.ReadAll(master) // ends with EIO when nobody has the terminal open
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

func TestInspectShowsHealthAsDockerDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("--health-cmd", "echo fine", "--health-interval", "100ms", "--", "sleep", "1000")
	var worker struct {
		Worker struct{ Name string }
		Health struct {
			Status        string
			FailingStreak *int
			Log           []struct {
				Start, End time.Time
				ExitCode   *int
				Output     string
			}
		}
		History []struct{ From, To, Cause string }
	}
	if err := json.Unmarshal([]byte(w.must("inspect", "app.1")), &worker); err != nil {
		t.Fatal(err)
	}
	h := worker.Health
	if h.Status != "healthy" || h.FailingStreak == nil || len(h.Log) == 0 || h.Log[0].ExitCode == nil || h.Log[0].Output != "fine\n" || h.Log[0].End.Before(h.Log[0].Start) {
		t.Errorf("health is %+v", h)
	}
	if len(worker.History) < 2 || worker.History[0].Cause == "" {
		t.Errorf("history is %+v", worker.History)
	}
	var service struct {
		Service struct{ Name string }
		Workers []json.RawMessage
	}
	if err := json.Unmarshal([]byte(w.must("inspect", "app")), &service); err != nil || service.Service.Name != "app" || len(service.Workers) != 1 {
		t.Errorf("inspect app: %v, %+v", err, service)
	}
	failsWith(t, w.do("inspect", "ap"), 1, `"ap"`, "app")
}

func TestLogsOfWorkersAndServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(`
services:
  talk: {command: ["sh", "-c", "for i in 1 2 3; do echo line $$i; done; exec sleep 1000"], deploy: {replicas: 2}}
  more: {command: ["sh", "-c", "echo other; exec sleep 1000"]}
`).says("ready after")
	eventually(t, "all has been said", func() bool { return strings.Count(w.must("logs"), "\n") == 7 })
	if out := w.must("logs", "talk.1"); out != "talk.1 | line 1\ntalk.1 | line 2\ntalk.1 | line 3\n" {
		t.Errorf("logs talk.1 prints\n%s", out)
	}
	if out := w.must("logs", "--tail", "1", "talk"); out != "talk.1 | line 3\ntalk.2 | line 3\n" && out != "talk.2 | line 3\ntalk.1 | line 3\n" {
		t.Errorf("logs --tail 1 talk prints\n%s", out)
	}
	if out := w.must("logs", "--tail", "0"); out != "" {
		t.Errorf("logs --tail 0 prints %q", out)
	}
	failsWith(t, w.do("logs", "talker"), 1, `"talker"`, "talk")
}

func TestLogsFollowARespawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("--", "sh", "-c", "echo I am $$; exec sleep 1000")
	follower := w.start("logs", "-f")
	follower.prints("I am")
	old := w.worker("app.1").PID
	w.must("kill", "app.1")
	eventually(t, "the successor is heard", func() bool {
		pid := w.worker("app.1").PID
		return pid != old && strings.Contains(follower.stdout.String(), fmt.Sprintf("app.1 | I am %d\n", pid))
	})
}

func TestEventsTellWhatHappensAndWhy(t *testing.T) {
	t.Parallel()
	w := sleepers(t, 1)
	follower := w.start("events", "-f", "--format", "json")
	follower.prints(`"kind":"ready"`)
	w.must("kill", "app.1")
	eventually(t, "death and return are told", func() bool {
		out := follower.stdout.String()
		return strings.Contains(out, `"kind":"backoff"`) && strings.Count(out, `"kind":"ready"`) == 2
	})
	for line := range strings.Lines(follower.stdout.String()) {
		var e struct {
			At                  time.Time
			Service, Kind, Text string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.At.IsZero() || e.Service != "app" && e.Kind != "begin" || e.Kind == "" {
			t.Errorf("event %s: %v", line, err)
		}
	}
	if out := w.must("events"); !strings.Contains(out, "app.1") || !strings.Contains(out, "SIGKILL") {
		t.Errorf("events prints\n%s", out)
	}
}

func TestScaleUpAndDownToNothing(t *testing.T) {
	t.Parallel()
	w := sleepers(t, 1)
	for _, n := range []int{3, 1, 0, 2} {
		w.must("scale", fmt.Sprintf("app=%d", n))
		eventually(t, fmt.Sprintf("%d workers are ready", n), func() bool {
			rows := w.ps("")
			ready := 0
			for _, r := range rows {
				if r.State == "ready" {
					ready++
				}
			}
			return len(rows) == n && ready == n
		})
	}
	failsWith(t, w.do("scale", "app=many"), 2, "SERVICE=N")
	failsWith(t, w.do("scale", "nothing=1"), 1, `"nothing"`, "app")
}

// TestNoRequestIsLostWhenAskedForChange: what people do all day, under load.
func TestNoRequestIsLostWhenAskedForChange(t *testing.T) {
	t.Parallel()
	w, _, port := greets(t, "hello", 3)
	l := startLoad("127.0.0.1:"+port, "/", 16, 5*time.Millisecond)
	before := w.pidsOf("app")
	w.must("restart")
	eventually(t, "the old workers are gone", func() bool {
		now := w.pidsOf("app")
		return len(now) == 3 && !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(before, pid) })
	})
	w.must("restart", "app.2")
	w.must("scale", "app=1")
	eventually(t, "one worker is left", func() bool { return len(w.pidsOf("app")) == 1 })
	w.must("scale", "app=3")
	eventually(t, "three workers are there", func() bool { return len(w.pidsOf("app")) == 3 })
	l.end()
	l.report(t)
	if l.broken.Load() > 0 {
		t.Errorf("%d answers were broken off", l.broken.Load())
	}
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	w := sleepers(t, 2)
	pids := w.pidsOf("app")
	if out := w.must("stop", "app"); out != "app: stopped\n" {
		t.Errorf("stop says %q", out)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("stop has returned, and process %d is there", pid)
		}
	}
	if out := w.must("start", "app"); out != "app: started\n" {
		t.Errorf("start says %q", out)
	}
	if states := w.states(""); states != "app.1 ready, app.2 ready" {
		t.Errorf("started, and there are %s", states)
	}
	failsWith(t, w.do("stop", "app.1"), 1, "app.1 is a worker")
	failsWith(t, w.do("start", "nothing"), 1, `"nothing"`)
	failsWith(t, w.do("restart", "nothing"), 1, `"nothing"`)
}

func TestKillSignalsAWorkerThatComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("-w", "2", "--", "sh", "-c", "trap 'echo heard USR1' USR1; echo set; while :; do sleep 0.1; done")
	eventually(t, "both listen for signals", func() bool { return strings.Count(w.must("logs"), "set") == 2 })
	w.must("kill", "-s", "USR1", "app.1")
	eventually(t, "the signal is heard", func() bool { return strings.Contains(w.must("logs", "app.1"), "heard USR1") })
	if out := w.must("logs", "app.2"); strings.Contains(out, "heard") {
		t.Errorf("app.2 heard it as well: %s", out)
	}
	old := w.worker("app.1").PID
	w.must("kill", "app.1")
	eventually(t, "app.1 is back", func() bool {
		r := w.worker("app.1")
		return r.State == "ready" && r.PID != old && r.Restarts == 1
	})
	failsWith(t, w.do("kill", "app.9"), 1, "app.9")
}

func TestDownEndsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("run", "-d", "--name", "app", "--admin", "off", "-w", "2", "--", "sleep", "1000")
	pids := w.pidsOf("app")
	if out := w.must("down"); out != "app: stopped\n" {
		t.Errorf("down says %q", out)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("down has returned, and process %d is there", pid)
		}
	}
	if left := leftovers(w); len(left) > 0 {
		t.Errorf("sockets are left: %v", left)
	}
	failsWith(t, w.do("down"), 1, "no running project")
}

func TestProjectsAreFoundByNameByFolderOrAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.write("one/compose.yaml", "services: {app: {command: sleep 1000}}\n"), w.write("two/compose.yaml", "name: second\nservices: {web: {command: sleep 1000}}\n")
	there := func(dir string) *world { other := *w; other.dir = dir; return &other }
	first, second := there(filepath.Dir(one)), there(filepath.Dir(two))
	first.ready("up", "--admin", "off")
	if states := w.states(""); states != "app.1 ready" {
		t.Errorf("the only project has %s", states)
	}
	second.ready("up", "--admin", "off")
	if states := first.states(""); states != "app.1 ready" {
		t.Errorf("in the folder of one there are %s", states)
	}
	if states := second.states(""); states != "web.1 ready" {
		t.Errorf("in the folder of two there are %s", states)
	}
	if states := w.states("one"); states != "app.1 ready" {
		t.Errorf("under its name there are %s", states)
	}
	if out := w.must("ps", "-f", two); !strings.Contains(out, "web.1") {
		t.Errorf("by its file there is\n%s", out)
	}
	failsWith(t, w.do("restart"), 2, "several projects run", "one, second")
	failsWith(t, w.do("ps", "-p", "third"), 1, `no running project "third"`)
	r := w.do("run", "--name", "second", "--admin", "off", "--", "sleep", "1000")
	failsWith(t, r, 1, `project "second" already runs`, "bulsa down -p second")
}

func TestVersionCompletionAndHelp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if out := w.must("version"); !strings.HasPrefix(out, "bulsa ") {
		t.Errorf("version prints %q", out)
	}
	for shell, check := range map[string][]string{"bash": {"bash", "-n"}, "zsh": {"zsh", "-n"}, "fish": {"fish", "-n"}} {
		path := w.write("completion."+shell, w.must("completion", shell))
		if _, err := exec.LookPath(check[0]); err != nil {
			continue
		}
		if out, err := exec.Command(check[0], check[1], path).CombinedOutput(); err != nil {
			t.Errorf("%s does not read its completion: %v\n%s", shell, err, out)
		}
	}
	help := w.must("help")
	for _, name := range strings.Fields("run up down start stop restart kill ps inspect logs events scale profile doctor config version completion help") {
		if !regexp.MustCompile(`(?m)^  ` + name + ` `).MatchString(help) {
			t.Errorf("help does not name %s", name)
		}
		if out := w.must("help", name); !strings.Contains(out, "bulsa "+name) {
			t.Errorf("help %s prints %q", name, out)
		}
	}
}

func TestConfigPrintsWhatWasUnderstood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", `
name: shown
services:
  app:
    command: node app.js
    environment: {A: "1 $$ b"}
    hostname: elsewhere
    ports: ["3333:3000"]
    deploy: {replicas: 2}
`)
	first := w.do("config")
	if first.status != 0 || !strings.Contains(first.stdout, "name: shown") {
		t.Fatalf("config: %+v", first)
	}
	failsWith(t, result{stderr: first.stderr}, 0, "compose.yaml:7: ", "hostname")
	path := w.write("again/compose.yaml", first.stdout)
	again := w.do("config", "-f", path)
	if again.status != 0 || again.stdout != first.stdout || again.stderr != "" {
		t.Errorf("config of config is another one: %+v", again)
	}
	var parsed struct {
		Name     string
		Services map[string]any
	}
	if err := json.Unmarshal([]byte(w.must("config", "--format", "json")), &parsed); err != nil || parsed.Name != "shown" || parsed.Services["app"] == nil {
		t.Errorf("config --format json: %v, %+v", err, parsed)
	}
}

// administered runs greeters with an admin server and returns its address.
func administered(t *testing.T, args ...string) (w *world, address, token string) {
	t.Helper()
	w = newWorld(t)
	w.write("greet.js", greeter)
	w.set("SECRET", "hunter2-in-the-environment")
	port := freePort(t)
	s := w.ready(append(append([]string{"run", "--name", "app", "-w", "2", "-p", "127.0.0.1:" + freePort(t), "-e", "PASSWORD=hunter2-on-the-line"}, args...), "--admin", port, "greet.js")...)
	s.says("admin: http://127.0.0.1:" + port)
	content, err := os.ReadFile(filepath.Join(w.runtime(), "app", "token"))
	if err != nil {
		t.Fatal(err)
	}
	return w, "127.0.0.1:" + port, strings.TrimSpace(string(content))
}

func TestNoValueOfTheEnvironmentIsShown(t *testing.T) {
	t.Parallel()
	w, address, _ := administered(t)
	shown := w.must("inspect", "app") + w.must("inspect", "app.1") + w.must("ps") + w.must("events") + w.must("ps", "--format", "json")
	for _, path := range strings.Fields("/ /page.js /page.css /metrics /healthz /api/v1/project /api/v1/workers?all=true /api/v1/inspect/app /api/v1/inspect/app.1 /api/v1/ready /api/v1/events") {
		status, text := get(t, "http://"+address+path)
		if status != http.StatusOK {
			t.Errorf("%s answers %d: %s", path, status, text)
		}
		shown += text
	}
	if strings.Contains(shown, "hunter2") {
		t.Errorf("a value of the environment is shown: %s", shown)
	}
	if !strings.Contains(shown, `"PASSWORD"`) {
		t.Error("inspect does not name the variables")
	}
}

func TestMetricsAreWhatPrometheusReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.binary = raced
	w.write("greet.js", greeter)
	port, admin := freePort(t), freePort(t)
	w.ready("run", "--name", "app", "-w", "2", "-p", "127.0.0.1:"+port, "--admin", admin, "-e", "GREETING=hello", "--health-cmd", "true", "--health-interval", "100ms", "greet.js")
	for range 10 {
		get(t, "http://127.0.0.1:"+port)
	}
	w.must("kill", "app.1")
	eventually(t, "app.1 is back", func() bool { r := w.worker("app.1"); return r.State == "ready" && r.Restarts == 1 })
	families := scrape(t, "http://127.0.0.1:"+admin+"/metrics")
	for _, name := range strings.Fields(`bulsa_worker_info bulsa_worker_up bulsa_worker_restarts_total bulsa_worker_health_status
		bulsa_health_check_duration_seconds bulsa_health_check_cpu_seconds_total bulsa_proxy_requests_total
		bulsa_proxy_request_duration_seconds bulsa_proxy_retries_total bulsa_proxy_in_flight_requests`) {
		if families[name] == nil || families[name].GetHelp() == "" {
			t.Errorf("there is no %s with a meaning", name)
		}
	}
	if n := families["bulsa_proxy_requests_total"].GetMetric()[0].GetCounter().GetValue(); n != 10 {
		t.Errorf("%g requests were counted, want 10", n)
	}
	restarts := families["bulsa_worker_restarts_total"].GetMetric()
	if len(restarts) != 1 || restarts[0].GetCounter().GetValue() != 1 {
		t.Errorf("the restarts are %v", restarts)
	}
}

func scrape(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	_, text := get(t, url)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families
}

func TestChangesOverTCPNeedTheToken(t *testing.T) {
	t.Parallel()
	w, address, token := administered(t)
	post := func(change func(*http.Request)) int {
		t.Helper()
		r, err := http.NewRequest("POST", "http://"+address+"/api/v1/scale", bytes.NewReader([]byte(`{"service": "app", "replicas": 1}`)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Bulsa", "1")
		r.Header.Set("Authorization", "Bearer "+token)
		change(r)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for name, c := range map[string]struct {
		status int
		change func(*http.Request)
	}{
		"no token":       {401, func(r *http.Request) { r.Header.Del("Authorization") }},
		"wrong token":    {401, func(r *http.Request) { r.Header.Set("Authorization", "Bearer nonsense") }},
		"no header":      {403, func(r *http.Request) { r.Header.Del("X-Bulsa") }},
		"foreign origin": {403, func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }},
		"foreign host":   {403, func(r *http.Request) { r.Host = "evil.example" }},
	} {
		if status := post(c.change); status != c.status {
			t.Errorf("%s: answered %d, want %d", name, status, c.status)
		}
	}
	if rows := w.ps(""); len(rows) != 2 {
		t.Errorf("something refused was done: %v", rows)
	}
	if status := post(func(*http.Request) {}); status != http.StatusOK {
		t.Errorf("with the token: answered %d", status)
	}
	eventually(t, "one worker is left", func() bool { return len(w.ps("")) == 1 })
}

func TestTheAdminServerTakesTheNextFreePort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addresses := map[string]bool{}
	for _, name := range []string{"one", "two"} {
		s := w.ready("run", "--name", name, "--", "sleep", "1000")
		address := regexp.MustCompile(`admin: http://(127\.0\.0\.1:99\d\d)`).FindStringSubmatch(s.stderr.String())
		if address == nil {
			t.Fatalf("bulsa says %q", s.stderr.String())
		}
		addresses[address[1]] = true
		if status, _ := get(t, "http://"+address[1]+"/healthz"); status != http.StatusOK {
			t.Errorf("/healthz answers %d", status)
		}
		if out := w.must("ps", "-p", name); !strings.Contains(out, "admin: http://"+address[1]) {
			t.Errorf("ps prints\n%s", out)
		}
	}
	if len(addresses) != 2 {
		t.Errorf("two projects share %v", addresses)
	}
	off := w.ready("run", "--name", "three", "--admin", "off", "--", "sleep", "1000")
	if strings.Contains(off.stderr.String(), "admin:") {
		t.Errorf("the admin server is off, and bulsa says %q", off.stderr.String())
	}
}

func TestHealthzTellsWhetherTheProjectStands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.start("run", "--name", "app", "--admin", port, "--health-cmd", "test -e healthy", "--health-interval", "50ms", "--health-retries", "1000", "--", "sleep", "1000")
	w.there()
	if status, text := get(t, "http://127.0.0.1:"+port+"/healthz"); status != http.StatusServiceUnavailable || !strings.Contains(text, "app: 0 of 1 workers ready") {
		t.Errorf("nothing is ready, and /healthz answers %d: %s", status, text)
	}
	w.write("healthy", "")
	eventually(t, "/healthz is content", func() bool {
		status, _ := get(t, "http://127.0.0.1:"+port+"/healthz")
		return status == http.StatusOK
	})
}

// TestThePageShowsTheWorkers needs a browser.
func TestThePageShowsTheWorkers(t *testing.T) {
	t.Parallel()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium here")
	}
	_, address, _ := administered(t)
	cmd := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--virtual-time-budget=5000", "--dump-dom", "http://"+address+"/")
	cmd.WaitDelay = patience
	page, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"app.1", "app.2", "2/2", "Up "} {
		if !strings.Contains(string(page), text) {
			t.Errorf("the page does not show %q:\n%s", text, page)
		}
	}
}

// TestABrokenReleaseDoesNotTakeThePlaceOfAGoodOne: up -d says why it is not there, and
// the workers that serve go on serving.
func TestABrokenReleaseDoesNotTakeThePlaceOfAGoodOne(t *testing.T) {
	t.Parallel()
	w, _, port := greets(t, "hello", 2)
	before := w.pidsOf("app")
	w.write("greet.js", "throw new Error('this release is broken')\n")
	w.write("compose.yaml", greeting(port, "changed", 2)+"    x-bulsa: {restart: {delay: 1ms, max_delay: 1ms, budget: 3}}\n")
	r := w.do("up", "-d")
	failsWith(t, r, 1, "app", "exit 1")
	if status, text := get(t, "http://127.0.0.1:"+port); status != http.StatusOK || text != "hello" {
		t.Errorf("it answers %d: %s", status, text)
	}
	for _, pid := range before {
		if !alive(pid) {
			t.Errorf("process %d of the good release is gone", pid)
		}
	}
}
