package compose

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"bulsa/internal/spec"
)

// A service of processes that names a Dockerfile is checked as a container of it
// would be; Compose's healthcheck counts field by field before it.
func TestHealthcheckOfADockerfileCountsForProcesses(t *testing.T) {
	const check = "FROM node\nHEALTHCHECK --interval=7s --retries=5 CMD curl -f http://localhost:3000/\n"
	for _, c := range []struct {
		name, dockerfile, service string
		test                      []string
		interval                  time.Duration
		retries                   int
		disabled                  bool
	}{
		{"as it stands", check, "", []string{"CMD-SHELL", "curl -f http://localhost:3000/"}, 7 * time.Second, 5, false},
		{"without a shell", "FROM node\nHEALTHCHECK CMD [\"node\", \"check.js\"]\n", "", []string{"CMD", "node", "check.js"}, 30 * time.Second, 3, false},
		{"fields of the file", check, "    healthcheck: {interval: 2s}\n", []string{"CMD-SHELL", "curl -f http://localhost:3000/"}, 2 * time.Second, 5, false},
		{"another test", check, "    healthcheck: {test: [CMD, other]}\n", []string{"CMD", "other"}, 7 * time.Second, 5, false},
		{"switched off", check, "    healthcheck: {disable: true}\n", nil, 7 * time.Second, 5, true},
		{"NONE", "FROM node\nHEALTHCHECK NONE\n", "", nil, 30 * time.Second, 3, true},
		{"of an earlier stage", "FROM node AS base\nHEALTHCHECK CMD a\nFROM base\nRUN true\n", "", []string{"CMD-SHELL", "a"}, 30 * time.Second, 3, false},
		{"none", "FROM node\n", "", nil, 30 * time.Second, 3, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := "services:\n  app:\n    build: .\n    command: node app.js\n    x-bulsa: {engine: process}\n" + c.service
			for name, content := range map[string]string{"Dockerfile": c.dockerfile, "compose.yaml": file} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p, warnings, err := Load(context.Background(), Options{Dir: dir, ProjectName: "test"})
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			h := p.Services[0].Health
			if p.Services[0].Engine != spec.EngineProcess || !reflect.DeepEqual(h.Test, c.test) || h.Interval != c.interval || h.Retries != c.retries || h.Disabled != c.disabled {
				t.Errorf("health = %+v", h)
			}
		})
	}
}
