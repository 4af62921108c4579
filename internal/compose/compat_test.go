package compose

import (
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// docker compose config loads with the same library, and checks all that a
// container needs.
func TestTheExamplesOfContainersAreValidForDockerCompose(t *testing.T) {
	for _, name := range []string{"compose.docker.yaml", "compose.2.2.2.yaml"} {
		o, err := cli.NewProjectOptions([]string{filepath.Join("../../examples/zombie-server", name)}, cli.WithConsistency(true), cli.WithResolvedPaths(true))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.LoadProject(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
