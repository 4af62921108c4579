package docker

import (
	"errors"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

func TestAnEngineThatSeesOtherFoldersGetsAContainerWithoutReports(t *testing.T) {
	options := func() client.ContainerCreateOptions {
		return client.ContainerCreateOptions{
			Config: &container.Config{Labels: map[string]string{labelReport: "0123456789abcdef"}, Env: []string{"BULSA_REPORT=/x", "BULSA_WORKERS=2"}},
			HostConfig: &container.HostConfig{Mounts: []mount.Mount{
				{Source: "/data", Target: "/data"}, {Source: "/run/bulsa/p/inner/0123456789abcdef", Target: reportFolder},
			}},
		}
	}
	o := options()
	if !withoutReports(&o, errors.New(`invalid mount config for type "bind": bind source path does not exist: /run/bulsa/p/inner/0123456789abcdef`)) {
		t.Fatal("its missing folder is not to blame")
	}
	if len(o.HostConfig.Mounts) != 1 || len(o.Config.Env) != 1 || o.Config.Env[0] != "BULSA_WORKERS=2" || o.Config.Labels[labelReport] != "" {
		t.Errorf("left: %+v %+v", o.Config, o.HostConfig.Mounts)
	}
	o = options()
	if withoutReports(&o, errors.New(`bind source path does not exist: /data`)) || len(o.HostConfig.Mounts) != 2 {
		t.Error("another folder is missing, which is the user's business")
	}
}

func TestOnlyBulsasOwnNamesOfFoldersAreUsed(t *testing.T) {
	for name, want := range map[string]bool{"0123456789abcdef": true, "": false, "../../../etc/cron": false, "0123456789abcdeg": false, "0123456789abcdef00": false} {
		if isFolder(name) != want {
			t.Errorf("isFolder(%q) = %v", name, !want)
		}
	}
}
