package compose

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// engineOf is what x-bulsa says, else a container where the service has an
// image. A wrong x-bulsa is reported when it is decoded.
func engineOf(from types.ServiceConfig) spec.Engine {
	x, _ := from.Extensions[extensionKey].(map[string]any)
	if name, given := x["engine"].(string); given {
		return spec.Engine(name)
	}
	if (from.Build != nil || from.Image != "") && !hasKey(x, "servers") {
		return spec.EngineDocker
	}
	return spec.EngineProcess
}

// container fills in the container group. Everything that is not understood
// here is warned of by ignoredByContainer.
func (c *converter) container(path string, from types.ServiceConfig, s *spec.Service) error {
	s.Container = &spec.Container{
		Image: from.Image, Platform: from.Platform, Pull: pullPolicy(from.PullPolicy), Entrypoint: from.Entrypoint,
		StopSignal: from.StopSignal, Labels: from.Labels, Tmpfs: from.Tmpfs,
		Resources: resources(from), Security: security(from),
	}
	for _, step := range []func(string, types.ServiceConfig, *spec.Service) error{
		c.containerCommand, c.build, c.containerHealth, c.exposed, c.networks, c.volumes, c.files, c.containerLog,
	} {
		if err := step(path, from, s); err != nil {
			return err
		}
	}
	if s.Stop.Signal != "" && from.StopSignal != "" {
		s.Container.StopSignal = s.Stop.Signal
	}
	return nil
}

func pullPolicy(given string) string {
	if given == types.PullPolicyIfNotPresent {
		return spec.PullMissing
	}
	return given
}

// containerCommand: what is not given is the image's, and nothing is inherited
// from bulsa's own environment.
func (c *converter) containerCommand(path string, from types.ServiceConfig, s *spec.Service) error {
	if err := c.noShell(path); err != nil {
		return err
	}
	s.Command = spec.Command{Args: from.Command, Dir: from.WorkingDir, User: from.User, Init: from.Init != nil && *from.Init}
	env := map[string]string{}
	for name, value := range from.Environment {
		if value != nil {
			env[name] = *value
		}
	}
	s.Command.Env = spec.SortEnvironment(env)
	return nil
}

func (c *converter) build(path string, from types.ServiceConfig, s *spec.Service) error {
	b := from.Build
	if b == nil {
		return nil
	}
	if s.Container.Image == "" {
		s.Container.Image = c.project.Name + "-" + from.Name
	}
	for _, unsupported := range []struct {
		key   string
		given bool
	}{
		{"ssh", len(b.SSH) > 0}, {"additional_contexts", len(b.AdditionalContexts) > 0},
		{"privileged", b.Privileged}, {"entitlements", len(b.Entitlements) > 0}, {"platforms", len(b.Platforms) > 1},
	} {
		if unsupported.given {
			return &spec.Problem{Where: path + ".build." + unsupported.key, What: "build." + unsupported.key + " is not part of this version", Fix: "build the image by another tool, and name it with image"}
		}
	}
	out := &spec.Build{
		Context: b.Context, Inline: b.DockerfileInline, Args: map[string]string{}, Target: b.Target, Labels: b.Labels,
		CacheFrom: b.CacheFrom, ExtraHosts: b.ExtraHosts.AsList(":"), Network: b.Network, ShmSize: int64(b.ShmSize),
		Tags: b.Tags, NoCache: b.NoCache, Pull: b.Pull,
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
	s.Container.Build = out
	return c.buildSecrets(path, b.Secrets, out)
}

func (c *converter) buildSecrets(path string, uses []types.ServiceSecretConfig, out *spec.Build) error {
	for i, use := range uses {
		where := fmt.Sprintf("%s.build.secrets.%d", path, i)
		def := types.FileObjectConfig(c.model.Secrets[use.Source])
		if def.External {
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
	return &spec.Problem{Where: where, What: fmt.Sprintf("%s is external: Docker keeps secrets and configs in a swarm only", name), Fix: "give file, environment or content"}
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

// containerHealth keeps what the file gives: Docker lays it over the image's
// own check and runs the result. bulsa's check from outside uses the same times.
func (c *converter) containerHealth(_ string, from types.ServiceConfig, s *spec.Service) error {
	s.Health.Test = nil
	h := from.HealthCheck
	if h == nil {
		return nil
	}
	out := &s.Container.Healthcheck
	if s.Health.Disabled {
		out.Test = []string{"NONE"}
		s.Health.Disabled = h.Disable
		return nil
	}
	out.Test = h.Test
	for _, field := range []struct {
		to   *time.Duration
		from *types.Duration
	}{{&out.Interval, h.Interval}, {&out.Timeout, h.Timeout}, {&out.StartPeriod, h.StartPeriod}, {&out.StartInterval, h.StartInterval}} {
		set(field.to, field.from)
	}
	if h.Retries != nil {
		out.Retries = int(min(*h.Retries, 1<<30))
	}
	return nil
}

// exposed reads expose, and the ports that Docker itself shall publish.
func (c *converter) exposed(path string, from types.ServiceConfig, s *spec.Service) error {
	for i, text := range from.Expose {
		number, protocol, _ := strings.Cut(text, "/")
		if protocol != "" && protocol != "tcp" {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return &spec.Problem{Where: fmt.Sprintf("%s.expose.%d", path, i), What: fmt.Sprintf("%q is not a port", text), Fix: "give one port from 1 to 65535"}
		}
		s.Container.Expose = append(s.Container.Expose, int(n))
	}
	for i, p := range from.Ports {
		if p.Mode != "host" && balanced(p) {
			continue
		}
		published, err := strconv.ParseUint(p.Published, 10, 16)
		if err != nil && p.Published != "" {
			return &spec.Problem{Where: fmt.Sprintf("%s.ports.%d", path, i), What: fmt.Sprintf("%q is not a port", p.Published), Fix: "give one port from 1 to 65535"}
		}
		s.Container.HostPorts = append(s.Container.HostPorts, spec.HostPort{
			Host: p.HostIP, Published: int(published), Target: int(p.Target), Protocol: p.Protocol,
		})
	}
	return nil
}

func (c *converter) networks(_ string, from types.ServiceConfig, s *spec.Service) error {
	n := spec.Networking{
		Mode: from.NetworkMode, Hostname: from.Hostname, DomainName: from.DomainName,
		ExtraHosts: from.ExtraHosts.AsList(":"), DNS: from.DNS, DNSSearch: from.DNSSearch, DNSOptions: from.DNSOpts,
	}
	slices.Sort(n.ExtraHosts)
	if from.NetworkMode == "" {
		for _, key := range from.NetworksByPriority() {
			n.Networks = append(n.Networks, c.network(key, from.Networks[key]))
		}
	}
	s.Container.Network = n
	return nil
}

func (c *converter) network(key string, use *types.ServiceNetworkConfig) spec.Network {
	def := c.model.Networks[key]
	n := spec.Network{
		Key: key, Name: def.Name, External: bool(def.External), Internal: def.Internal, Driver: def.Driver,
		Options: def.DriverOpts, Labels: def.Labels, WithIPv6: def.EnableIPv6 != nil && *def.EnableIPv6,
	}
	for _, pool := range def.Ipam.Config {
		n.Subnets = append(n.Subnets, spec.Subnet{Subnet: pool.Subnet, Gateway: pool.Gateway, IPRange: pool.IPRange})
	}
	if use != nil {
		n.Aliases, n.IPv4, n.IPv6 = use.Aliases, use.Ipv4Address, use.Ipv6Address
	}
	return n
}

func (c *converter) volumes(path string, from types.ServiceConfig, s *spec.Service) error {
	for i, v := range from.Volumes {
		m := spec.Mount{Type: v.Type, Source: v.Source, Target: v.Target, ReadOnly: v.ReadOnly}
		switch v.Type {
		case "bind":
			if v.Bind != nil {
				m.Create, m.Spread = bool(v.Bind.CreateHostPath), v.Bind.Propagation
			}
		case "volume":
			if v.Volume != nil {
				m.NoCopy = v.Volume.NoCopy
			}
			if def, known := c.model.Volumes[v.Source]; known {
				m.Key, m.Source, m.External = v.Source, def.Name, bool(def.External)
				m.Driver, m.Options, m.Labels = def.Driver, def.DriverOpts, def.Labels
			}
		case "tmpfs":
			if v.Tmpfs != nil {
				m.Size, m.Mode = int64(v.Tmpfs.Size), v.Tmpfs.Mode
			}
		default:
			return &spec.Problem{Where: fmt.Sprintf("%s.volumes.%d", path, i), What: fmt.Sprintf("a volume of type %q is not part of this version", v.Type), Fix: "use bind, volume or tmpfs"}
		}
		s.Container.Mounts = append(s.Container.Mounts, m)
	}
	return nil
}

// files brings secrets and configs in: one that is a file is mounted, any other
// is written into the container before it starts.
func (c *converter) files(path string, from types.ServiceConfig, s *spec.Service) error {
	for i, use := range from.Secrets {
		def := types.FileObjectConfig(c.model.Secrets[use.Source])
		if err := c.file(fmt.Sprintf("%s.secrets.%d", path, i), types.FileReferenceConfig(use), def, "/run/secrets/", s); err != nil {
			return err
		}
	}
	for i, use := range from.Configs {
		def := types.FileObjectConfig(c.model.Configs[use.Source])
		if err := c.file(fmt.Sprintf("%s.configs.%d", path, i), types.FileReferenceConfig(use), def, "/", s); err != nil {
			return err
		}
	}
	return nil
}

func (c *converter) file(where string, use types.FileReferenceConfig, def types.FileObjectConfig, folder string, s *spec.Service) error {
	target := use.Target
	if target == "" {
		target = use.Source
	}
	if !strings.HasPrefix(target, "/") {
		target = folder + target
	}
	switch {
	case bool(def.External):
		return externalFile(where, use.Source)
	case def.File != "":
		s.Container.Mounts = append(s.Container.Mounts, spec.Mount{Type: "bind", Source: def.File, Target: target, ReadOnly: true})
		if use.UID != "" || use.GID != "" || use.Mode != nil {
			c.warn(where, "uid, gid and mode of %s are ignored: the file %s is mounted as it is", use.Source, def.File)
		}
		return nil
	}
	f := spec.File{Target: target, Content: def.Content, Variable: def.Environment, Mode: 0o444, Secret: folder != "/"}
	if err := c.fromEnvironment(where, use.Source, &f.Content, def.Environment); err != nil {
		return err
	}
	if use.Mode != nil {
		f.Mode = uint32(*use.Mode)
	}
	for _, id := range []struct {
		text  string
		field *int
	}{{use.UID, &f.UID}, {use.GID, &f.GID}} {
		if id.text == "" {
			continue
		}
		n, err := strconv.ParseUint(id.text, 10, 31)
		if err != nil {
			return &spec.Problem{Where: where, What: fmt.Sprintf("%q is not a number of a user or group", id.text), Fix: "write a number such as 1000"}
		}
		*id.field = int(n)
	}
	s.Container.Files = append(s.Container.Files, f)
	return nil
}

func (c *converter) containerLog(_ string, from types.ServiceConfig, s *spec.Service) error {
	if from.Logging != nil {
		s.Container.Log = spec.ContainerLog{Driver: from.Logging.Driver, Options: from.Logging.Options}
	}
	return nil
}

// resources are Compose's own fields, below deploy.resources.
func resources(from types.ServiceConfig) spec.Resources {
	l := spec.Resources{
		CPUs: float64(from.CPUS), Memory: int64(from.MemLimit), MemoryReservation: int64(from.MemReservation),
		MemorySwap: int64(from.MemSwapLimit), ShmSize: int64(from.ShmSize), PIDs: from.PidsLimit,
		CPUShares: from.CPUShares, CPUSet: from.CPUSet, OOMScoreAdjust: int(from.OomScoreAdj),
	}
	for _, name := range slices.Sorted(maps.Keys(from.Ulimits)) {
		u := from.Ulimits[name]
		limit := spec.Ulimit{Name: name, Soft: int64(u.Soft), Hard: int64(u.Hard)}
		if u.Single != 0 {
			limit.Soft, limit.Hard = int64(u.Single), int64(u.Single)
		}
		l.Ulimits = append(l.Ulimits, limit)
	}
	if from.Deploy == nil {
		return l
	}
	if most := from.Deploy.Resources.Limits; most != nil {
		override(&l.CPUs, float64(most.NanoCPUs)) // compose-go's name misleads: it holds CPUs
		override(&l.Memory, int64(most.MemoryBytes))
		override(&l.PIDs, most.Pids)
	}
	if least := from.Deploy.Resources.Reservations; least != nil {
		override(&l.MemoryReservation, int64(least.MemoryBytes))
	}
	return l
}

func override[T int | int64 | float64 | time.Duration](field *T, given T) {
	if given != 0 {
		*field = given
	}
}

func security(from types.ServiceConfig) spec.Security {
	out := spec.Security{
		CapAdd: from.CapAdd, CapDrop: from.CapDrop, Options: from.SecurityOpt, Groups: from.GroupAdd, Sysctls: from.Sysctls,
		Privileged: from.Privileged, ReadOnly: from.ReadOnly, PID: from.Pid, IPC: from.Ipc, UserNS: from.UserNSMode, Runtime: from.Runtime,
	}
	for _, d := range from.Devices {
		out.Devices = append(out.Devices, spec.Device{Source: d.Source, Target: d.Target, Permissions: d.Permissions})
	}
	return out
}
