package compose

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

func (c *converter) build(path string, from types.ServiceConfig, s *spec.Service) error {
	b := from.Build
	if b == nil {
		return nil
	}
	if s.Container.Image == "" {
		s.Container.Image = c.project.Name + "-" + from.Name
	}
	out := &spec.Build{
		Context: b.Context, Inline: b.DockerfileInline, Args: map[string]string{}, Target: b.Target, Labels: b.Labels,
		CacheFrom: b.CacheFrom, ExtraHosts: b.ExtraHosts.AsList(":"), Network: b.Network, ShmSize: int64(b.ShmSize),
		Tags: b.Tags, NoCache: b.NoCache, Pull: b.Pull, Ulimits: ulimits(b.Ulimits), Platforms: b.Platforms,
		Buildx: buildx(b),
	}
	slices.Sort(out.ExtraHosts)
	if out.Inline == "" {
		out.Dockerfile = b.Dockerfile
		if !isRemote(out.Context) && out.Dockerfile != "" {
			out.Dockerfile = absolute(out.Context, filepath.FromSlash(out.Dockerfile))
		}
	}
	for name, value := range b.Args {
		if value != nil {
			out.Args[name] = *value
		} else if own, known := c.env[name]; known {
			out.Args[name] = own
		}
	}
	for name, value := range out.Buildx.Contexts {
		if service, isService := strings.CutPrefix(value, types.ServicePrefix); isService && c.model.Services[service].Build == nil && c.model.Services[service].Image == "" {
			return &spec.Problem{Where: path + ".build.additional_contexts." + name, What: fmt.Sprintf("service %q has no image to build from", service), Fix: "name a service with image or build"}
		}
	}
	s.Container.Build = out
	return c.buildSecrets(path, b.Secrets, out)
}

func buildx(b *types.BuildConfig) spec.Buildx {
	out := spec.Buildx{
		Contexts: b.AdditionalContexts, Privileged: b.Privileged, Entitlements: b.Entitlements,
		CacheTo: b.CacheTo, NoCacheFilter: b.NoCacheFilter, Provenance: b.Provenance, SBOM: b.SBOM,
	}
	for _, key := range b.SSH {
		text := key.ID
		if key.Path != "" {
			text += "=" + key.Path
		}
		out.SSH = append(out.SSH, text)
	}
	slices.Sort(out.SSH) // compose-go reads them out of a map
	return out
}

func (c *converter) buildSecrets(path string, uses []types.ServiceSecretConfig, out *spec.Build) error {
	for i, use := range uses {
		where := fmt.Sprintf("%s.build.secrets.%d", path, i)
		def := types.FileObjectConfig(c.model.Secrets[use.Source])
		if def.External || def.Driver != "" || def.TemplateDriver != "" {
			return externalFile(where, use.Source)
		}
		s := spec.BuildSecret{ID: cmp.Or(use.Target, use.Source), File: def.File}
		if s.File == "" {
			s.Content, s.Variable = def.Content, def.Environment
			if err := c.fromEnvironment(where, use.Source, &s.Content, def.Environment); err != nil {
				return err
			}
		}
		if use.UID != "" || use.GID != "" || use.Mode != nil {
			c.warn(where, "uid, gid and mode of %s are ignored: RUN --mount sets them", use.Source)
		}
		out.Secrets = append(out.Secrets, s)
	}
	return nil
}

func externalFile(where, name string) error {
	return &spec.Problem{Where: where, What: fmt.Sprintf("%s is external or has a driver: Docker keeps such secrets and configs in a swarm only", name), Fix: "give file, environment or content"}
}

// fromEnvironment fills a content that is a variable's value.
func (c *converter) fromEnvironment(where, name string, content *string, variable string) error {
	if variable == "" || *content != "" {
		return nil
	}
	value, known := c.env[variable]
	if !known {
		return &spec.Problem{Where: where, What: fmt.Sprintf("the environment has no %s, from which %s is made", variable, name), Fix: "set it"}
	}
	*content = value
	return nil
}

// isRemote tells a build context that the engine fetches by itself.
func isRemote(context string) bool {
	return strings.Contains(context, "://") || strings.HasPrefix(context, "git@") || strings.HasPrefix(context, "github.com/")
}

func renderBuild(b spec.Build, d shared) section {
	out := section{"context": escape(b.Context)}
	put(out, "dockerfile", escape(b.Dockerfile))
	put(out, "dockerfile_inline", escape(b.Inline))
	put(out, "args", escapeMap(b.Args))
	put(out, "target", escape(b.Target))
	put(out, "labels", escapeMap(b.Labels))
	put(out, "cache_from", escapeAll(b.CacheFrom))
	put(out, "extra_hosts", escapeAll(b.ExtraHosts))
	put(out, "network", escape(b.Network))
	put(out, "shm_size", b.ShmSize)
	put(out, "tags", escapeAll(b.Tags))
	put(out, "no_cache", b.NoCache)
	put(out, "pull", b.Pull)
	put(out, "secrets", renderBuildSecrets(b.Secrets, d))
	put(out, "ulimits", renderUlimits(b.Ulimits))
	put(out, "platforms", b.Platforms)
	put(out, "ssh", escapeAll(b.Buildx.SSH))
	put(out, "additional_contexts", escapeMap(b.Buildx.Contexts))
	put(out, "privileged", b.Buildx.Privileged)
	put(out, "entitlements", escapeAll(b.Buildx.Entitlements))
	put(out, "cache_to", escapeAll(b.Buildx.CacheTo))
	put(out, "no_cache_filter", escapeAll(b.Buildx.NoCacheFilter))
	put(out, "provenance", escape(b.Buildx.Provenance))
	put(out, "sbom", escape(b.Buildx.SBOM))
	return out
}

// renderBuildSecrets names the variable that a secret comes from, never the value.
func renderBuildSecrets(list []spec.BuildSecret, d shared) []any {
	var out []any
	for _, s := range list {
		key := fmt.Sprintf("build-%d", len(d.secrets)+1)
		switch {
		case s.File != "":
			d.secrets[key] = section{"file": escape(s.File)}
		case s.Variable != "":
			d.secrets[key] = section{"environment": escape(s.Variable)}
		default:
			d.secrets[key] = section{"content": escape(s.Content)}
		}
		out = append(out, section{"source": key, "target": escape(s.ID)})
	}
	return out
}
