package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// consistent refuses what Compose's own loader refuses (loader/validate.go,
// checkConsistency; it is not called, since it wants an image of every service):
// names that nothing stands behind, and keys that contradict each other. Without
// it a secret would be empty, and a volume would be another project's.
func (c *converter) consistent(path string, from types.ServiceConfig, _ *spec.Service) error {
	for _, step := range []func(string, types.ServiceConfig) error{contradictions, c.defined, mountedOnce} {
		if err := step(path, from); err != nil {
			return err
		}
	}
	return nil
}

// reference is a name that the file uses.
type reference struct {
	where string // path
	kind  string // network, volume, secret, config
	name  string
}

// defined finds names that stand under no key of the file's top level.
func (c *converter) defined(path string, from types.ServiceConfig) error {
	known := map[string][]string{
		"network": slices.Sorted(maps.Keys(c.model.Networks)), "volume": slices.Sorted(maps.Keys(c.model.Volumes)),
		"secret": slices.Sorted(maps.Keys(c.model.Secrets)), "config": slices.Sorted(maps.Keys(c.model.Configs)),
	}
	for _, r := range references(path, from) {
		if slices.Contains(known[r.kind], r.name) {
			continue
		}
		fix := fmt.Sprintf("add it to the file, as %ss: {%s: %s}", r.kind, r.name, example(r.kind))
		if near := spec.Nearest(r.name, known[r.kind]); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		return &spec.Problem{Where: r.where, What: fmt.Sprintf("service %q refers to undefined %s %s", from.Name, r.kind, r.name), Fix: fix}
	}
	return nil
}

// example is the least that a definition must have.
func example(kind string) string {
	if kind == "network" || kind == "volume" {
		return "{}"
	}
	return "{file: PATH}"
}

// references are the names that a service uses, in the order of the keys.
func references(path string, from types.ServiceConfig) []reference {
	var out []reference
	for _, name := range slices.Sorted(maps.Keys(from.Networks)) {
		out = append(out, reference{path + ".networks", "network", name})
	}
	for i, v := range from.Volumes {
		if v.Type == types.VolumeTypeVolume && v.Source != "" {
			out = append(out, reference{fmt.Sprintf("%s.volumes.%d", path, i), "volume", v.Source})
		}
	}
	for i, s := range from.Secrets {
		out = append(out, reference{fmt.Sprintf("%s.secrets.%d", path, i), "secret", s.Source})
	}
	for i, s := range from.Configs {
		out = append(out, reference{fmt.Sprintf("%s.configs.%d", path, i), "config", s.Source})
	}
	if from.Build != nil {
		for i, s := range from.Build.Secrets {
			out = append(out, reference{fmt.Sprintf("%s.build.secrets.%d", path, i), "secret", s.Source})
		}
	}
	return out
}

// contradictions finds pairs of keys of which only one can count.
func contradictions(path string, from types.ServiceConfig) error {
	limits := types.Resource{}
	if from.Deploy != nil && from.Deploy.Resources.Limits != nil {
		limits = *from.Deploy.Resources.Limits
	}
	differ := func(a, b float64) bool { return a != 0 && b != 0 && a != b }
	for _, pair := range []struct {
		contradict bool
		a, b       string
	}{
		{from.NetworkMode != "" && len(from.Networks) > 0, "network_mode", "networks"},
		{from.Build != nil && from.Build.DockerfileInline != "" && from.Build.Dockerfile != "", "build.dockerfile", "build.dockerfile_inline"},
		{differ(float64(from.CPUS), float64(limits.NanoCPUs)), "cpus", "deploy.resources.limits.cpus"},
		{differ(float64(from.MemLimit), float64(limits.MemoryBytes)), "mem_limit", "deploy.resources.limits.memory"},
		{differ(float64(from.PidsLimit), float64(limits.Pids)), "pids_limit", "deploy.resources.limits.pids"},
		{from.ContainerName != "" && from.GetScale() > 1, "container_name", "more than one container: a name is unique"},
	} {
		if pair.contradict {
			return &spec.Problem{Where: path + "." + pair.a, What: fmt.Sprintf("service %q has %s and %s", from.Name, pair.a, pair.b), Fix: "keep one of them"}
		}
	}
	return nil
}

// mountedOnce finds two mounts at one place.
func mountedOnce(path string, from types.ServiceConfig) error {
	at := map[string]string{}
	place := func(where, target string) error {
		if first, taken := at[target]; taken {
			return &spec.Problem{Where: where, What: fmt.Sprintf("%s is mounted already, by %s", target, strings.TrimPrefix(first, path+".")), Fix: "remove one of them"}
		}
		at[target] = where
		return nil
	}
	for i, text := range from.Tmpfs {
		target, _, _ := strings.Cut(text, ":")
		if err := place(fmt.Sprintf("%s.tmpfs.%d", path, i), target); err != nil {
			return err
		}
	}
	for i, v := range from.Volumes {
		if err := place(fmt.Sprintf("%s.volumes.%d", path, i), v.Target); err != nil {
			return err
		}
	}
	return nil
}
