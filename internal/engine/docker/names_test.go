package docker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// TestAContainerIsFoundUnderAllItsNames: those that the file gives it, and those
// that another service gives it by links.
func TestAContainerIsFoundUnderAllItsNames(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	network := spec.Networking{Networks: []spec.Network{{Key: "default", Name: projectName(t) + "_default", Aliases: []string{"alias-of-it"}}}}
	server := appService(t)
	server.Name = "server"
	server.Container.Name, server.Container.Network = "the-name-of-its-own", network
	server.Container.Network.Hostname = "its-host-name"
	i := b.launch(server)
	b.Await(i.ID, engine.Listening)
	c, err := b.docker.ContainerInspect(t.Context(), i.Ref, client.ContainerInspectOptions{})
	b.must(err)
	if c.Container.Name != "/the-name-of-its-own" {
		t.Errorf("it is called %s", c.Container.Name)
	}

	asker := appService(t)
	asker.Name = "asker"
	asker.Container.Network = spec.Networking{
		Networks: []spec.Network{{Key: "default", Name: projectName(t) + "_default"}},
		Links:    []string{"server:linked", "server"}, ExternalLinks: []string{"the-name-of-its-own:outside"},
	}
	j := b.launch(asker)
	b.Await(j.ID, engine.Listening)
	for _, name := range []string{"server", "server.1", "the-name-of-its-own", "its-host-name", "alias-of-it", "linked", "outside"} {
		r, err := b.Engine.Exec(t.Context(), j.ID, engine.Command{
			Args: []string{"wget", "-q", "-O", "-", "http://" + name + ":3000/"}, Timeout: 30 * time.Second, MaxOutput: 4096,
		})
		b.must(err)
		if !strings.Contains(r.Output, "fresh") {
			t.Errorf("%s is not found: status %d: %s", name, r.ExitCode, r.Output)
		}
	}
}
