package docker_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"bulsa/internal/engine/docker"
	"bulsa/internal/spec"
)

// images are built once for all tests of the package.
var (
	images    sync.Once
	imagesErr error
)

// createOn is a container that does nothing on a network.
func createOn(name string) client.ContainerCreateOptions {
	return client.ContainerCreateOptions{
		Config:           &container.Config{Image: "bulsa-test/base", Cmd: []string{"sleep", "3600"}},
		HostConfig:       &container.HostConfig{NetworkMode: container.NetworkMode(name)},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: {}}},
	}
}

func writeFile(path string) error { return os.WriteFile(path, []byte("x"), 0o644) }

// folder writes files into a new build context.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImageThatIsThereIsNotBuiltAgain(t *testing.T) {
	d := appDaemon(t)
	s := appService(t)
	s.Container.Image = "bulsa-test/" + strings.ToLower(rand.Text())
	s.Container.Build = &spec.Build{Context: folder(t, map[string]string{"Dockerfile": "FROM bulsa-test/base\nENV A=1\n"})}
	p := spec.Project{Name: "p", Services: []spec.Service{s}}
	prepare := func(build bool) (string, string) {
		var out bytes.Buffer
		got, err := docker.Prepare(t.Context(), p, docker.Images{Host: d.Host, Build: build, Out: &out})
		if err != nil {
			t.Fatal(err)
		}
		return got.Services[0].Container.ImageID, out.String()
	}
	first, _ := prepare(false)
	if again, said := prepare(false); again != first || said != "" {
		t.Errorf("built again: %s", said)
	}
	if err := os.WriteFile(filepath.Join(s.Container.Build.Context, "Dockerfile"), []byte("FROM bulsa-test/base\nENV A=2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if changed, _ := prepare(true); changed == first {
		t.Error("--build gives the old image")
	}
}

func TestPull(t *testing.T) {
	d := appDaemon(t)
	s := appService(t)
	for policy, want := range map[string]string{
		spec.PullNever:   "pull_policy is never",
		spec.PullMissing: "cannot pull localhost:1/nothing",
		spec.PullAlways:  "cannot pull localhost:1/nothing",
	} {
		s.Container.Image, s.Container.Pull = "localhost:1/nothing", policy
		_, err := docker.Prepare(t.Context(), spec.Project{Services: []spec.Service{s}}, docker.Images{Host: d.Host, Out: &bytes.Buffer{}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Prepare = %v; want %q", policy, err, want)
		}
	}
}
