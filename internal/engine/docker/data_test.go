package docker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"bulsa/internal/engine"
	"bulsa/internal/engine/docker"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/spec"
)

// databaseLine takes the lock of its folder as a database does, and tells in the
// folder when another one has it. It takes a moment to end.
const databaseLine = `echo start >>/data/log; trap "sleep 0.5; exit 0" TERM; exec 9>/data/lock; flock -n 9 || echo two >>/data/log; while :; do sleep 0.05; done`

// database is a service that writes to a volume of the test's project.
func database(t testing.TB) spec.Service {
	s := appService(t)
	s.Name, s.Ports, s.Container.StopSignal = "db", nil, "SIGTERM"
	s.Container.Entrypoint = []string{"sh", "-c", databaseLine}
	s.Container.Mounts = []spec.Mount{{Type: "volume", Key: "data", Source: projectName(t) + "_data", Target: "/data"}}
	return s
}

// killed is an engine of the test's project whose bulsa is gone.
func killed(t *testing.T, services ...spec.Service) []engine.Instance {
	t.Helper()
	dead := docker.New(docker.Config{Project: projectName(t), Host: appDaemon(t).Host})
	go func() {
		for range dead.Facts() {
		}
	}()
	var out []engine.Instance
	for _, s := range services {
		i, err := dead.Start(t.Context(), engine.Launch{
			ID: engine.InstanceID(s.Name + ".1#1"), Worker: s.Name + ".1", Number: 1, Release: &spec.Release{Digest: s.Digest(), Service: s},
		})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, i)
	}
	return out
}

// read is what stands in a file of a container.
func (b bench) read(i engine.Instance, path string) string {
	b.t.Helper()
	r, err := b.Engine.Exec(b.t.Context(), i.ID, engine.Command{Args: []string{"cat", path}, Timeout: 30 * time.Second, MaxOutput: 4096})
	b.must(err)
	return r.Output
}

// reads awaits what stands in a file of a container.
func (b bench) reads(i engine.Instance, path, want string) {
	b.t.Helper()
	enginetest.Eventually(b.t, path+" is there", func() bool { return b.read(i, path) == want })
}

// running awaits the container of a start that had to wait for another one.
func (b bench) running(i engine.Instance) engine.Instance {
	b.t.Helper()
	if i.Ref == "" {
		i = b.Await(i.ID, engine.Renewed).Renewed
	}
	b.Await(i.ID, engine.Settled)
	return i
}

// end asks a run to end, and kills it: it may not hear yet.
func (b bench) end(i engine.Instance) {
	b.t.Helper()
	b.must(b.Engine.Stop(b.t.Context(), i.ID))
	b.must(b.Engine.Kill(b.t.Context(), i.ID))
	b.Await(i.ID, engine.Exited)
}

func TestAChangedDatabaseWaitsForTheOneOfAKilledBulsa(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := database(t)
	old.Command.Env = []string{"VERSION=old"}
	before := killed(t, old)[0]
	enginetest.Eventually(t, "it has begun", func() bool { return strings.Contains(b.logOf(before.Ref), "start") })

	s := database(t)
	b.Engine.(*docker.Engine).Keep(spec.Project{Services: []spec.Service{s}})
	i := b.launch(s)
	if i.Ref != "" {
		t.Errorf("container %s was started beside the one that runs", i.Ref)
	}
	i = b.running(i)
	b.awaitNotice(i.ID, "still writes to the same data")
	if got := b.read(i, "/data/log"); strings.Contains(got, "two") {
		t.Errorf("the folder's log is %q: two ran at a time", got)
	}
	c, err := b.docker.ContainerInspect(t.Context(), i.Ref, client.ContainerInspectOptions{})
	b.must(err)
	if want := "/" + projectName(t) + "-db-1"; c.Container.Name != want {
		t.Errorf("it is called %s, want %s: the former one is gone", c.Container.Name, want)
	}
}

// logOf is the log in the volume of a container that no run holds.
func (b bench) logOf(id string) string {
	made, err := b.docker.ExecCreate(b.t.Context(), id, client.ExecCreateOptions{Cmd: []string{"cat", "/data/log"}, AttachStdout: true})
	b.must(err)
	stream, err := b.docker.ExecAttach(b.t.Context(), made.ID, client.ExecAttachOptions{})
	b.must(err)
	defer stream.Close()
	text := make([]byte, 4096)
	n, _ := stream.Reader.Read(text)
	return string(text[:n])
}

func TestADatabaseUnderAnotherNameWaitsForTheFormerOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	killed(t, database(t))
	s := database(t)
	s.Name = "postgres"
	b.Engine.(*docker.Engine).Keep(spec.Project{Services: []spec.Service{s}})
	i := b.running(b.launch(s))
	if got := b.read(i, "/data/log"); strings.Contains(got, "two") {
		t.Errorf("the folder's log is %q: two ran at a time", got)
	}
}

func TestADatabaseIsRestartedInPlace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := database(t)
	s.Container.Entrypoint = []string{"sh", "-c", "cat /note 2>/dev/null && mv /note /found; echo kept >/note; " + databaseLine}
	first := b.running(b.launch(s))
	b.reads(first, "/note", "kept\n")
	b.end(first)
	second := b.running(b.launch(s))
	if second.Ref != first.Ref {
		t.Errorf("container %s took the place of %s: what it wrote beside its volume is lost", second.Ref, first.Ref)
	}
	b.reads(second, "/found", "kept\n") // what the run before wrote
	b.end(second)
	b.Engine.(engine.Forgetter).Forget(t.Context(), s.Name+".1")
	if _, err := b.docker.ContainerInspect(t.Context(), second.Ref, client.ContainerInspectOptions{}); err == nil {
		t.Error("the container of a worker that will not run again is still there")
	}
}

func TestAnonymousVolumesGoOnWithTheNextContainer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := appDaemon(t).Build("bulsa-test/volume", "FROM bulsa-test/base\nVOLUME /image\n", nil); err != nil {
		t.Fatal(err)
	}
	s := database(t)
	s.Container.Image, s.Container.ImageVolumes = "bulsa-test/volume", []string{"/image"}
	s.Container.Mounts = []spec.Mount{{Type: "volume", Target: "/data"}}
	version := func(n int, renew bool) string {
		s.Container.RenewVolumes = renew
		s.Command.Env = []string{fmt.Sprintf("VERSION=%d", n)}
		i := b.running(b.launch(s))
		defer b.end(i)
		r, err := b.Engine.Exec(t.Context(), i.ID, engine.Command{Args: []string{"sh", "-c", "echo $VERSION >>/image/all; cat /image/all; cat /data/log"}, Timeout: 30 * time.Second, MaxOutput: 4096})
		b.must(err)
		return r.Output
	}
	for n, want := range []string{"0\nstart\n", "0\n1\nstart\nstart\n"} {
		if got := version(n, false); got != want {
			t.Errorf("the volumes of container %d have %q, want %q", n, got, want)
		}
	}
	s.Command.Args = []string{"a command that cannot be"} // a release that does not start
	s.Container.Entrypoint, s.Container.RenewVolumes = []string{"/nothing/here"}, false
	if _, err := b.Engine.Start(t.Context(), b.launchOf(s)); err == nil {
		t.Fatal("a command that is not there was started")
	}
	s.Command.Args, s.Container.Entrypoint = nil, database(t).Container.Entrypoint
	if got, want := version(2, false), "0\n1\n2\nstart\nstart\nstart\n"; got != want {
		t.Errorf("after a release that did not start the volumes have %q, want %q", got, want)
	}
	if got, want := version(3, true), "3\nstart\n"; got != want {
		t.Errorf("renewed volumes have %q, want %q", got, want)
	}
}

func TestComposesOwnDatabaseIsNotJoined(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s := database(t)
	name := projectName(t) + "_data"
	made, err := b.docker.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name: projectName(t) + "-db-one",
		Config: &container.Config{Image: appImage, Entrypoint: s.Container.Entrypoint, Labels: map[string]string{
			"com.docker.compose.project": projectName(t), "com.docker.compose.service": "db", "com.docker.compose.oneoff": "False",
		}},
		HostConfig: &container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: name, Target: "/data"}}},
	})
	b.must(err)
	_, err = b.docker.ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
	b.must(err)
	_, err = b.Engine.Start(t.Context(), b.launchOf(s))
	want := fmt.Sprintf("container %s-db-one of docker compose runs on the same data: end it first, as with docker compose stop db", projectName(t))
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Start = %v; want %s", err, want)
	}
	_, err = b.docker.ContainerRemove(t.Context(), made.ID, client.ContainerRemoveOptions{Force: true})
	b.must(err)
	b.running(b.launch(s))
}
