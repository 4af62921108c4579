package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bulsa/internal/dockertest"
)

// dockerd is the Docker Engine of these tests; run removes it.
var dockerd dockertest.Lazy

func removeDockerd() {
	if err := dockerd.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
}

// baseImage is what the example's Dockerfile starts from.
const baseImage = "node:22-slim"

var base struct {
	once sync.Once
	err  error
}

// newDockerWorld is a world whose commands find the tests' own Docker.
func newDockerWorld(t *testing.T) (*world, *client.Client) {
	t.Helper()
	d := dockerd.Get(t)
	base.once.Do(func() { base.err = d.ImportBase(baseImage, "node", "sh", "sleep", "cat", "wget") })
	if base.err != nil {
		t.Fatal(base.err)
	}
	c, err := d.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	w := newWorld(t)
	w.env = append(w.env, "DOCKER_HOST="+d.Host, "DOCKER_CONTEXT=", "DOCKER_CONFIG="+t.TempDir())
	return w, c
}

// quickContainers writes a project of n containers of the quick app, and returns
// its address. more is added to the service.
func quickContainers(w *world, name string, n int, more string) string {
	w.t.Helper()
	address := "127.0.0.1:" + freePort(w.t)
	w.write("quick.js", quick)
	w.write("Dockerfile", "FROM "+baseImage+"\nCOPY quick.js /quick.js\nCMD [\"node\", \"/quick.js\"]\n")
	w.write("compose.yaml", fmt.Sprintf("name: %s\nservices:\n  app:\n    build: .\n    ports: [\"%s:3000\"]\n    deploy: {replicas: %d}\n    stop_grace_period: 1s\n%s", name, address, n, more))
	return address
}

// killRandomContainers does docker kill to n random containers that are ready.
// It does not wait until a death is seen: at times all of them are dead.
func killRandomContainers(t *testing.T, w *world, docker *client.Client, project string, n int) {
	t.Helper()
	control := w.control(project)
	defer control.CloseIdleConnections()
	for killed := 0; killed < n; {
		eventually(t, "a container is there to be killed", func() bool {
			var alive []string
			for _, r := range workers(t, control) {
				if r.State == "ready" {
					alive = append(alive, r.ID)
				}
			}
			if len(alive) < 2 {
				return false
			}
			_, err := docker.ContainerKill(context.Background(), alive[rand.IntN(len(alive))], client.ContainerKillOptions{Signal: "SIGKILL"})
			return err == nil
		})
		killed++
	}
}

func TestSoakNoRequestIsLostWhenContainersAreKilledAndRestarted(t *testing.T) {
	w, docker := newDockerWorld(t)
	// On a busy machine Docker takes longer than the default hold to bring one of
	// four dead containers back.
	address := quickContainers(w, "killed", 4, "    x-bulsa: {hold: 30s}\n")
	w.ready("up", "--admin", "off")
	l := startLoad(address, "/", killClients, killPause)
	killRandomContainers(t, w, docker, "killed", kills(t, 12, 50))
	soon := 1                          // second of grace: the app does not hear SIGTERM
	for _, r := range w.ps("killed") { // docker restart, one after another
		_, err := docker.ContainerRestart(t.Context(), fmt.Sprintf("killed-app-%d", r.Number), client.ContainerRestartOptions{Timeout: &soon})
		if err != nil {
			t.Error(err)
		}
		eventually(t, "all containers are ready", func() bool { return strings.Count(w.states("killed"), "ready") == 4 })
	}
	l.end()
	l.report(t)
	if l.broken.Load() > 0 {
		t.Errorf("%d answers were broken off", l.broken.Load())
	}
	w.must("down", "-p", "killed")
	list, err := docker.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", "bulsa.project=killed")})
	if err != nil || len(list.Items) != 0 {
		t.Errorf("left after down: %v, %v", list.Items, err)
	}
}

// TestTheArticlesTopology: two containers, two workers in each under a primary of
// their own, behind one port.
func TestTheArticlesTopology(t *testing.T) {
	t.Parallel()
	w, _ := newDockerWorld(t)
	file, err := os.ReadFile(filepath.Join(example(t, "zombie-server"), "compose.docker.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + freePort(t)
	text := strings.Replace(string(file), "3333:3000", address+":3000", 1)
	text = strings.Replace(text, "build: .", "build: "+example(t, "zombie-server"), 1)
	w.write("compose.yaml", text)
	w.ready("up", "--admin", "off")
	fourWorkersAnswer(t, address)
	for _, r := range w.ps("zombie-server") {
		if r.Health != "healthy" || r.Engine != "docker" || !strings.Contains(r.Status, "(healthy)") {
			t.Errorf("ps shows %+v", r)
		}
	}
}

// askAtOnce asks n times at once: a connection stays with the worker behind it.
func askAtOnce(url string, n int) []string {
	bodies := make([]string, n)
	var asking sync.WaitGroup
	for i := range n {
		asking.Go(func() {
			answer, err := http.Get(url)
			if err != nil {
				return
			}
			defer answer.Body.Close()
			body, _ := io.ReadAll(answer.Body) // half a body is none that the test knows
			bodies[i] = string(body)
		})
	}
	asking.Wait()
	return bodies
}

func TestUnhealthyContainerIsReplacedBeforeItGoes(t *testing.T) {
	t.Parallel()
	w, docker := newDockerWorld(t)
	address := quickContainers(w, "sick", 2, `    healthcheck:
      test: ["CMD", "sh", "-c", "test ! -e /sick"]
      interval: 300ms
      retries: 2
`)
	w.ready("up", "--admin", "off")
	l := startLoad(address, "/", 8, 10*time.Millisecond)
	first := w.ps("sick")[0].ID
	made, err := docker.ExecCreate(t.Context(), first, client.ExecCreateOptions{Cmd: []string{"sh", "-c", ": > /sick"}})
	if err == nil {
		_, err = docker.ExecStart(t.Context(), made.ID, client.ExecStartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "another container has taken its place", func() bool {
		rows := w.ps("sick")
		return len(rows) == 2 && !slices.ContainsFunc(rows, func(r row) bool { return r.ID == first || r.State != "ready" })
	})
	l.end()
	l.report(t)
	if events := w.must("events", "-p", "sick"); !strings.Contains(events, "2 checks in a row failed") {
		t.Errorf("no cause in the events:\n%s", events)
	}
}

// TestServiceThatSpeaksNoHTTPIsWaitedFor: a Redis-like program beside the app,
// which starts when it is healthy.
func TestServiceThatSpeaksNoHTTPIsWaitedFor(t *testing.T) {
	t.Parallel()
	w, _ := newDockerWorld(t)
	quickContainers(w, "beside", 1, `    command: node -e "require('dns').lookup('cache', e => { if (e) throw e; require('/quick.js') })"
    restart: "no"
    depends_on: {cache: {condition: service_healthy}}
  cache:
    image: `+baseImage+`
    command: node -e "setTimeout(() => require('net').createServer(c => c.on('error', () => {}).end('+PONG')).listen(6379), 1000)"
    expose: ["6379"]
    stop_grace_period: 1s
    volumes: ["state:/data"]
    x-bulsa: {probe: {tcp: true}}
volumes: {state: {}}
`)
	w.ready("up", "--admin", "off")
	for _, r := range w.ps("beside") {
		if r.State != "ready" || r.Restarts != 0 {
			t.Errorf("ps shows %+v: the app must find the cache at its name, at once", r)
		}
	}
}

// TestADependencyThatNeverGetsHealthyIsNamed: within its own limits, with what its
// check said; and the next try is judged by what it does itself.
func TestADependencyThatNeverGetsHealthyIsNamed(t *testing.T) {
	t.Parallel()
	w, _ := newDockerWorld(t)
	file := `name: ill
services:
  app: {image: %[1]s, command: sleep 1000, stop_grace_period: 1s, depends_on: {db: {condition: service_healthy}}}
  db:
    image: %[1]s
    command: sleep 1000
    stop_grace_period: 1s
    volumes: ["data:/data"]
    healthcheck: {test: %[2]s, interval: 200ms, retries: 3}
volumes: {data: {}}
`
	defer w.do("down")
	w.write("compose.yaml", fmt.Sprintf(file, baseImage, "curl -f http://localhost/"))
	r := w.do("up", "-d", "--admin", "off")
	failsWith(t, r, 1, "curl: not found", "curl is not in the image")
	for _, command := range []string{"events", "ps"} { // ps once the second container is ill, too: it stays
		eventually(t, command+" names the check", func() bool { return strings.Contains(w.must(command, "-p", "ill"), "curl is not in the image") })
	}
	w.write("compose.yaml", fmt.Sprintf(file, baseImage, "test -d /data"))
	if r := w.do("up", "-d"); r.status != 0 {
		t.Errorf("up -d with a check that passes: status %d: %s%s", r.status, r.stdout, r.stderr)
	}
	if states := w.states("ill"); states != "db.1 ready, app.1 ready" {
		t.Errorf("then there is %s", states)
	}
}

func TestContainersOutliveAKilledBulsa(t *testing.T) {
	t.Parallel()
	w, _ := newDockerWorld(t)
	address := quickContainers(w, "orphans", 2, "")
	s := w.ready("up", "--admin", "off")
	before := w.ps("orphans")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	w.ready("up", "--admin", "off")
	after := w.ps("orphans")
	for i := range before {
		if before[i].ID != after[i].ID {
			t.Errorf("%s was container %s and is %s: what runs is taken over", before[i].Name, before[i].ID, after[i].ID)
		}
	}
	if code, _ := get(t, "http://"+address+"/"); code != http.StatusOK {
		t.Errorf("it answers %d", code)
	}
}

func TestRunAnImage(t *testing.T) {
	t.Parallel()
	w, _ := newDockerWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.ready("run", "--engine", "docker", "--name", "image", "-w", "2", "-p", address+":3000", "-e", "WORD=hello", "--stop-timeout", "1s", "--admin", "off",
		baseImage, "node", "-e", "require('http').createServer((q, r) => r.end(process.env.WORD + ' ' + process.env.HOME)).listen(process.env.PORT)")
	if code, body := get(t, "http://"+address+"/"); code != http.StatusOK || !strings.HasPrefix(body, "hello ") {
		t.Errorf("it answers %d %q", code, body)
	}
	if n := len(w.ps("image")); n != 2 {
		t.Errorf("%d containers, want 2", n)
	}
}

func TestChangedImageIsRolledOut(t *testing.T) {
	t.Parallel()
	w, _ := newDockerWorld(t)
	address := quickContainers(w, "rolled", 2, "")
	w.ready("up", "--admin", "off")
	l := startLoad(address, "/", 8, 10*time.Millisecond)
	w.write("quick.js", strings.Replace(quick, "Hello, World!", "Hello again", 1))
	if out := w.must("up", "-d", "--build"); !strings.Contains(out, "its workers are replaced") {
		t.Errorf("up --build says %q", out)
	}
	l.end()
	l.report(t)
	if _, body := get(t, "http://"+address+"/"); body != "Hello again" {
		t.Errorf("it answers %q", body)
	}
}

func TestDockerThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env = append(w.env, "DOCKER_HOST=unix:///nowhere/docker.sock")
	w.write("compose.yaml", "services:\n  app:\n    image: nginx\n")
	r := w.do("up")
	want := "compose.yaml:3: cannot reach the Docker engine at unix:///nowhere/docker.sock: is dockerd running?"
	if r.status == 0 || !strings.Contains(r.stderr, want) {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
}

// fourWorkersAnswer waits until the article's two primaries answer with two workers each.
func fourWorkersAnswer(t *testing.T, address string) {
	t.Helper()
	answer := regexp.MustCompile(`^Hello from worker (\d+) of ([0-9a-f-]{36})`)
	eventually(t, "two primaries with two workers each answer", func() bool {
		workers, primaries := map[string]bool{}, map[string]bool{}
		for _, body := range askAtOnce("http://"+address+"/", 32) {
			if m := answer.FindStringSubmatch(body); m != nil {
				workers[m[1]+" of "+m[2]], primaries[m[2]] = true, true
			}
		}
		return len(primaries) == 2 && len(workers) == 4
	})
}
