package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"bulsa/internal/dockertest"
	"bulsa/internal/engine"
	"bulsa/internal/engine/docker"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/logs"
	"bulsa/internal/spec"
)

// appImage has Node, a shell and a server that does as it is told; see its files.
const appImage = "bulsa-test/app"

const appServer = `
const http = require("http"), fs = require("fs");
let sick = false;
const server = http.createServer((q, r) => {
  if (q.url == "/sick") sick = true;
  if (q.url == "/deaf") { server.close(); setInterval(() => {}, 1000); }
  if (q.url == "/eat") { const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1)); }
  if (q.url == "/note") fs.writeFileSync("/note", "kept");
  if (q.url == "/health" && sick) r.statusCode = 500;
  r.end(fs.existsSync("/note") ? fs.readFileSync("/note") : "fresh");
});
server.listen(process.env.PORT, () => console.log("listening"));
process.on("SIGHUP", () => server.listen(process.env.PORT));
process.on("SIGUSR2", () => { console.log("asked by its own signal"); process.exit(0); });
process.on("SIGTERM", () => process.exit(0));
`

const appDockerfile = `FROM bulsa-test/base
COPY server.js /server.js
EXPOSE 3000
STOPSIGNAL SIGUSR2
CMD ["node", "/server.js"]
`

// bench is an engine of a project of its own, and Docker beside it.
type bench struct {
	*enginetest.Bench
	t      *testing.T
	docker *client.Client
	logs   *logs.Store
}

func newBench(t *testing.T) bench {
	t.Helper()
	d := appDaemon(t)
	e, store := newEngine(t, d)
	return benchOf(t, d, e, store)
}

func benchOf(t *testing.T, d *dockertest.Daemon, e *docker.Engine, store *logs.Store) bench {
	t.Helper()
	c, err := d.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return bench{enginetest.NewBench(t, e, func(t testing.TB, _ string) spec.Service { return appService(t) }), t, c, store}
}

// appDaemon is the daemon with the images of these tests.
func appDaemon(t testing.TB) *dockertest.Daemon {
	t.Helper()
	d := daemon.Get(t)
	images.Do(func() { imagesErr = buildImages(d) })
	if imagesErr != nil {
		t.Fatal(imagesErr)
	}
	return d
}

func buildImages(d *dockertest.Daemon) error {
	if err := d.ImportBase("bulsa-test/base", "node", "sh", "sleep", "cat", "ls", "mv", "flock", "wget"); err != nil {
		return err
	}
	return d.Build(appImage, appDockerfile, map[string][]byte{"server.js": []byte(appServer)})
}

// appService is one container of the app on the network of the test's project.
func appService(t testing.TB) spec.Service {
	s := spec.NewService("app")
	s.Engine = spec.EngineDocker
	s.Ports = []spec.Port{{Published: 8080, Target: 3000}}
	s.Container = &spec.Container{
		Image:   appImage,
		Network: spec.Networking{Networks: []spec.Network{{Key: "default", Name: projectName(t) + "_default"}}},
	}
	return s
}

// launch starts a run of a service.
func (b bench) launch(s spec.Service) engine.Instance {
	b.t.Helper()
	return b.StartLaunch(b.launchOf(s))
}

func (b bench) launchOf(s spec.Service) engine.Launch {
	l := b.Launch("", 1)
	l.Release.Service, l.Release.Digest = s, s.Digest()
	l.Worker = s.Name + ".1"
	return l
}

// get asks the app at the address that a fact told.
func (b bench) get(f engine.Fact, path string) (int, string) {
	b.t.Helper()
	c := f.Connector.(interface {
		Connect(context.Context) (net.Conn, error)
	})
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Connect(ctx) }}
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://app" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// awaitFact waits for a fact that satisfies is.
func (b bench) awaitFact(id engine.InstanceID, what string, is func(engine.Fact) bool) engine.Fact {
	b.t.Helper()
	var found engine.Fact
	enginetest.Eventually(b.t, what, func() bool {
		facts := b.Facts(id)
		i := slices.IndexFunc(facts, is)
		if i >= 0 {
			found = facts[i]
		}
		return i >= 0
	})
	return found
}

// count is how many facts of a kind came about an instance.
func (b bench) count(id engine.InstanceID, kind engine.FactKind) int {
	n := 0
	for _, f := range b.Facts(id) {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

func (b bench) awaitNotice(id engine.InstanceID, part string) {
	b.t.Helper()
	b.awaitFact(id, "a notice that says "+part, func(f engine.Fact) bool {
		return f.Kind == engine.Notice && strings.Contains(f.Message, part)
	})
}

func (b bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestContainerIsReachedOnItsOwnNetwork(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	f := b.Await(i.ID, engine.Listening)
	if code, body := b.get(f, "/"); code != 200 || body != "fresh" {
		t.Errorf("the app answers %d %q", code, body)
	}
	c, err := b.docker.ContainerInspect(t.Context(), i.Ref, client.ContainerInspectOptions{})
	b.must(err)
	if n := len(c.Container.HostConfig.PortBindings); n != 0 {
		t.Errorf("%d ports are published on the host, nobody asked for one", n)
	}
	for label, want := range map[string]string{"bulsa.worker": "app.1", "bulsa.project": projectName(t), "com.docker.compose.service": "app"} {
		if got := c.Container.Config.Labels[label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	if want := "/" + projectName(t) + "-app-1"; c.Container.Name != want {
		t.Errorf("the container is called %s, want %s", c.Container.Name, want)
	}
}

func TestAddressThatChangesIsToldAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	first := b.Await(i.ID, engine.Listening)
	network := projectName(t) + "_default"
	_, err := b.docker.NetworkDisconnect(t.Context(), network, client.NetworkDisconnectOptions{Container: i.Ref, Force: true})
	b.must(err)
	rival, err := b.docker.ContainerCreate(t.Context(), createOn(network)) // takes the address
	b.must(err)
	_, err = b.docker.ContainerStart(t.Context(), rival.ID, client.ContainerStartOptions{})
	b.must(err)
	_, err = b.docker.NetworkConnect(t.Context(), network, client.NetworkConnectOptions{Container: i.Ref})
	b.must(err)
	second := b.awaitFact(i.ID, "a second address", func(f engine.Fact) bool { return f.Kind == engine.Listening && f.Address != first.Address })
	if code, _ := b.get(second, "/"); code != 200 {
		t.Errorf("the new address %s answers %d", second.Address, code)
	}
}

func TestHealthIsWhatDockerSays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := appService(t)
	s.Container.Healthcheck = spec.Healthcheck{
		Test:     []string{"CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:3000/health"},
		Interval: 300 * time.Millisecond, Timeout: 5 * time.Second, Retries: 2,
	}
	i := b.launch(s)
	status := func(word string) func(engine.Fact) bool {
		return func(f engine.Fact) bool { return f.Kind == engine.Checked && f.Health.Status == word }
	}
	b.awaitFact(i.ID, "starting", status("starting"))
	b.awaitFact(i.ID, "healthy", status("healthy"))
	f := b.Await(i.ID, engine.Listening)
	if facts := b.Facts(i.ID); facts[0].Kind != engine.Checked {
		t.Errorf("the first fact is %+v: it must tell that there are checks, before anything is sent to the app", facts[0])
	}
	b.get(f, "/sick")
	sick := b.awaitFact(i.ID, "unhealthy", status("unhealthy"))
	if sick.Health.Streak < 2 || len(sick.Health.Log) == 0 || sick.Health.Log[len(sick.Health.Log)-1].ExitCode == 0 {
		t.Errorf("health = %+v; want the failed checks", sick.Health)
	}
}

func TestPausedContainerIsOutOfUse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	b.Await(i.ID, engine.Listening)
	_, err := b.docker.ContainerPause(t.Context(), i.Ref, client.ContainerPauseOptions{})
	b.must(err)
	b.Await(i.ID, engine.Closed)
	b.awaitNotice(i.ID, "paused")
	if f := b.Await(i.ID, engine.Halted); !strings.Contains(f.Message, "paused") {
		t.Errorf("fact = %+v; want why it stands still", f)
	}
	_, err = b.docker.ContainerUnpause(t.Context(), i.Ref, client.ContainerUnpauseOptions{})
	b.must(err)
	enginetest.Eventually(t, "it is in use again", func() bool { return b.count(i.ID, engine.Listening) == 2 })
	_, err = b.docker.ContainerPause(t.Context(), i.Ref, client.ContainerPauseOptions{})
	b.must(err)
	b.awaitNotice(i.ID, "paused")
	if x := b.Kill(i.ID); x.Signal != "SIGKILL" {
		t.Errorf("exit of a paused container = %+v", x)
	}
}

func TestDeadContainerIsOutOfUseBeforeDockerTells(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	b.Await(i.ID, engine.Listening)
	d := daemon.Get(t)
	b.must(d.Freeze())
	err := syscall.Kill(i.PID, syscall.SIGKILL)
	enginetest.Eventually(t, "its address is out of use", func() bool {
		return slices.ContainsFunc(b.Facts(i.ID), func(f engine.Fact) bool { return f.Kind == engine.Closed })
	})
	b.must(errors.Join(err, d.Thaw()))
	if x := b.Await(i.ID, engine.Exited).Exit; x.Signal != "SIGKILL" {
		t.Errorf("exit = %+v; want what Docker tells", x)
	}
}

func TestAddressThatRefusesIsOutOfUseUntilItListens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	f := b.Await(i.ID, engine.Listening)
	b.get(f, "/deaf")
	enginetest.Eventually(t, "its address refuses", func() bool {
		code, _ := b.get(f, "/")
		return code == 0
	})
	b.Await(i.ID, engine.Closed)
	b.must(b.Engine.Signal(t.Context(), i.ID, "SIGHUP"))
	enginetest.Eventually(t, "it is in use again", func() bool { return b.count(i.ID, engine.Listening) == 2 })
	if code, _ := b.get(f, "/"); code != 200 {
		t.Errorf("it answers %d", code)
	}
}

func TestMemoryLimitIsTheCause(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := appService(t)
	s.Container.Resources = spec.Resources{Memory: 96 << 20, MemorySwap: 96 << 20}
	i := b.launch(s)
	b.get(b.Await(i.ID, engine.Listening), "/eat")
	if x := b.Await(i.ID, engine.Exited).Exit; !x.OOM || x.Signal != "SIGKILL" {
		t.Errorf("exit = %+v; want out of memory", x)
	}
}

func TestContainerRemovedByHandIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	b.Await(i.ID, engine.Listening)
	_, err := b.docker.ContainerRemove(t.Context(), i.Ref, client.ContainerRemoveOptions{Force: true})
	b.must(err)
	if x := b.Await(i.ID, engine.Exited).Exit; x.Cause == "" || x.Signal != "SIGKILL" {
		t.Errorf("exit = %+v; want a cause", x)
	}
	again := b.launch(appService(t))
	if again.Ref == i.Ref {
		t.Error("the removed container is used again")
	}
	b.Await(again.ID, engine.Listening)
}

func TestContainerRestartedByHandIsFollowed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	b.Await(i.ID, engine.Listening)
	_, err := b.docker.ContainerRestart(t.Context(), i.Ref, client.ContainerRestartOptions{})
	b.must(err)
	if x := b.Await(i.ID, engine.Exited).Exit; !x.Voluntary {
		t.Errorf("exit = %+v; want one that is not held against the program", x)
	}
	again := b.launch(appService(t))
	if again.Ref != i.Ref {
		t.Errorf("container %s, want the restarted %s", again.Ref, i.Ref)
	}
	b.Await(again.ID, engine.Listening)
}

func TestDeadContainerIsStartedAgainAsItWas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	b.get(b.Await(i.ID, engine.Listening), "/note")
	b.must(b.Engine.Signal(t.Context(), i.ID, "SIGKILL"))
	b.Await(i.ID, engine.Exited)
	again := b.launch(appService(t))
	if _, body := b.get(b.Await(again.ID, engine.Listening), "/"); body != "kept" || again.Ref != i.Ref {
		t.Errorf("container %s says %q; want %s with its file", again.Ref, body, i.Ref)
	}
}

func TestStopUsesTheImagesSignalAndRemovesTheContainer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	i := b.launch(appService(t))
	b.Await(i.ID, engine.Listening)
	b.must(b.Engine.Stop(t.Context(), i.ID))
	if x := b.Await(i.ID, engine.Exited).Exit; x.Code != 0 || x.Voluntary {
		t.Errorf("exit = %+v; want status 0", x)
	}
	lines, err := b.logs.Tail(10, "app.1")
	b.must(err)
	if len(lines) == 0 || lines[len(lines)-1].Text != "asked by its own signal" {
		t.Errorf("output = %v; want what it says at STOPSIGNAL", lines)
	}
	enginetest.Eventually(t, "the container is removed", func() bool {
		_, err := b.docker.ContainerInspect(t.Context(), i.Ref, client.ContainerInspectOptions{})
		return err != nil
	})
}

func TestServiceWithoutPortsIsSettled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := appService(t)
	s.Ports, s.Command.Args = nil, []string{"sleep", "3600"}
	i := b.launch(s)
	b.Await(i.ID, engine.Settled)
	s.Health.TCP, s.Container.Expose = true, []int{3000}
	s.Command.Args, s.Command.Env = nil, []string{"PORT=3000"}
	if f := b.Await(b.launch(s).ID, engine.Listening); f.Port != engine.Main {
		t.Errorf("fact = %+v; want the exposed port for the check", f)
	}
}

func TestContainerGetsWhatTheFileSays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := appService(t)
	s.Ports, s.Container.Entrypoint = nil, []string{"sh", "-c"}
	s.Command = spec.Command{
		Args: []string{"echo $GREETING $BULSA_WORKER; cat /run/secrets/token; echo; cat /etc/settings; echo; ls /data; ls -d /srv/. && echo in $PWD as $(cat /proc/self/status | while read a b c; do test $a = Uid: && echo $b; done); echo hard $(ulimit -Hn); cat /etc/hosts"},
		Env:  []string{"GREETING=hello"}, User: "1000:1000", Dir: "/srv", Init: true,
	}
	folder := t.TempDir()
	b.must(writeFile(filepath.Join(folder, "mounted")))
	c := s.Container
	c.Files = []spec.File{{Target: "/run/secrets/token", Content: "s3cret", Mode: 0o444, Secret: true}, {Target: "/etc/settings", Content: "a: 1", Mode: 0o444}}
	c.Mounts = []spec.Mount{{Type: "bind", Source: folder, Target: "/data", ReadOnly: true}, {Type: "volume", Source: projectName(t) + "_state", Key: "state", Target: "/state"}}
	c.Tmpfs = []string{"/scratch:size=1m"}
	c.Resources.Ulimits = []spec.Ulimit{{Name: "nofile", Soft: 100, Hard: 222}}
	c.Network.ExtraHosts = []string{"db:10.0.0.9"}
	c.Security = spec.Security{CapDrop: []string{"ALL"}, CapAdd: []string{"CHOWN"}}
	i := b.launch(s)
	if x := b.Await(i.ID, engine.Exited).Exit; x.Code != 0 {
		t.Errorf("exit = %+v", x)
	}
	lines, err := b.logs.Tail(100, "app.1")
	b.must(err)
	var all []string
	for _, l := range lines {
		all = append(all, l.Text)
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{"hello 1", "s3cret", "a: 1", "mounted", "in /srv as 1000", "hard 222", "10.0.0.9\tdb"} {
		if !strings.Contains(text, want) {
			t.Errorf("the container does not see %q; it says:\n%s", want, text)
		}
	}
}

func TestPublishedPortsAndTheHostsNetworkWhenAskedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := appService(t)
	port := freePort(t)
	s.Container.HostPorts = []spec.HostPort{{Host: "127.0.0.1", Published: port, Target: 3000}}
	b.Await(b.launch(s).ID, engine.Listening)
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	b.must(err)
	answer.Body.Close()

	s = appService(t)
	s.Name = "host"
	port = freePort(t)
	s.Ports[0].Target = port
	s.Container.Network = spec.Networking{Mode: "host"}
	f := b.Await(b.launch(s).ID, engine.Listening)
	if want := fmt.Sprintf("127.0.0.1:%d", port); f.Address != want || !f.FixedPort {
		t.Errorf("fact = %+v; want %s, and that two would fight for it", f, want)
	}
}

func TestContainersBehindARootlessEngineAreReachedOnLoopback(t *testing.T) {
	t.Parallel()
	d := appDaemon(t)
	b := benchOf(t, d, docker.New(docker.Config{Project: projectName(t), Host: d.Host, Loopback: true}), nil)
	f := b.Await(b.launch(appService(t)).ID, engine.Listening)
	if !strings.HasPrefix(f.Address, "127.0.0.1:") {
		t.Errorf("address %s, want one on loopback", f.Address)
	}
	if code, _ := b.get(f, "/"); code != 200 {
		t.Errorf("it answers %d", code)
	}
}

func TestAnotherBulsaTakesOverWhatRuns(t *testing.T) {
	t.Parallel()
	d := appDaemon(t)
	dead := docker.New(docker.Config{Project: projectName(t), Host: d.Host}) // as if it was killed
	go func() {
		for range dead.Facts() {
		}
	}()
	s, other := appService(t), appService(t)
	other.Command.Env = []string{"VERSION=old"}
	l := engine.Launch{ID: "app.1#1", Worker: "app.1", Number: 1, Release: &spec.Release{Digest: s.Digest(), Service: s}}
	i, err := dead.Start(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	l2 := engine.Launch{ID: "app.2#1", Worker: "app.2", Number: 2, Release: &spec.Release{Digest: other.Digest(), Service: other}}
	stale, err := dead.Start(t.Context(), l2)
	if err != nil {
		t.Fatal(err)
	}

	e, store := newEngine(t, d)
	b := benchOf(t, d, e, store)
	s.Replicas = 2
	e.Keep(spec.Project{Services: []spec.Service{s}})
	again := b.launch(s)
	if again.Ref != i.Ref {
		t.Errorf("container %s, want the one that runs: %s", again.Ref, i.Ref)
	}
	b.awaitNotice(again.ID, "took over")
	b.Await(again.ID, engine.Listening)
	enginetest.Eventually(t, "the container of another release is gone", func() bool {
		_, err := b.docker.ContainerInspect(t.Context(), stale.Ref, client.ContainerInspectOptions{})
		return err != nil
	})
}

func TestMissingImageIsNamed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := appService(t)
	s.Container.Image, s.Container.ImageID = "shop", "sha256:"+strings.Repeat("ab", 32)
	s.Container.Build = &spec.Build{}
	_, err := b.Engine.Start(t.Context(), b.launchOf(s))
	if err == nil || !strings.Contains(err.Error(), "the image shop is gone: bulsa up --build") {
		t.Errorf("Start = %v; want what to do", err)
	}
}

func TestEngineThatWentAwayEndsNothing(t *testing.T) {
	t.Parallel()
	dockertest.Skip(t)
	d, err := dockertest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := buildImages(d); err != nil {
		t.Fatal(err)
	}
	e, store := newEngine(t, d)
	b := benchOf(t, d, e, store)
	i := b.launch(appService(t))
	f := b.Await(i.ID, engine.Listening)
	s := appService(t)
	s.Name = "unwanted"
	unwanted := b.launch(s)

	b.must(d.Stop())
	b.awaitNotice(i.ID, "cannot reach the Docker engine")
	if code, _ := b.get(f, "/"); code != 200 {
		t.Errorf("the container answers %d while dockerd is away", code)
	}
	s.Name = "late"
	late := b.launch(s) // no error: the start waits
	b.awaitNotice(late.ID, "the start waits for it")
	if err := b.Engine.Stop(t.Context(), i.ID); err == nil || errors.Is(err, engine.ErrNoInstance) {
		t.Errorf("Stop = %v; want that the engine is away", err)
	}
	b.must(b.Engine.Kill(t.Context(), unwanted.ID))
	if x := b.Await(unwanted.ID, engine.Exited).Exit; !strings.Contains(x.Cause, "may still run: cannot reach the Docker engine") {
		t.Errorf("exit = %+v; want that nobody could kill it", x)
	}

	b.must(d.Start())
	b.awaitNotice(i.ID, "is back")
	enginetest.Eventually(t, "what could not be killed is removed", func() bool {
		_, err := b.docker.ContainerInspect(t.Context(), unwanted.Ref, client.ContainerInspectOptions{})
		return errdefs.IsNotFound(err)
	})
	if renewed := b.Await(late.ID, engine.Renewed); renewed.Renewed.Ref == "" {
		t.Errorf("fact = %+v; want the container", renewed)
	}
	b.Await(late.ID, engine.Listening)
	for _, f := range b.Facts(i.ID) {
		if f.Kind == engine.Exited || f.Kind == engine.Closed {
			t.Errorf("fact = %+v; the container ran all the time", f)
		}
	}
}

func TestUnreachableEngineIsNamed(t *testing.T) {
	s := appService(t)
	p := spec.Project{Name: "p", Services: []spec.Service{s}, Places: map[string]string{"services.app.image": "compose.yaml:3"}}
	_, err := docker.Prepare(t.Context(), p, docker.Images{Host: "unix:///nowhere/docker.sock", Out: io.Discard})
	want := "compose.yaml:3: cannot reach the Docker engine at unix:///nowhere/docker.sock: is dockerd running? DOCKER_HOST or docker's context says where it is"
	if err == nil || err.Error() != want {
		t.Errorf("Prepare = %v\nwant %s", err, want)
	}
}

func TestDyingWordsAreTheCause(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := appService(t)
	s.Command.Args = []string{"node", "-e", "throw new Error('no database')"}
	if x := b.Await(b.launch(s).ID, engine.Exited).Exit; x.Code != 1 || !strings.Contains(x.Cause, "no database") {
		t.Errorf("exit = %+v; want the error", x)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
