package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// The labels of what bulsa makes. Compose's own are set beside them, so that
// tools which group by them show the project; those that would make Compose
// take the containers for its own (oneoff, config-hash) are not.
const (
	labelProject  = "bulsa.project"
	labelService  = "bulsa.service"
	labelWorker   = "bulsa.worker"
	labelRelease  = "bulsa.release" // digest
	labelInstance = "bulsa.instance"

	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	composeNumber  = "com.docker.compose.container-number"
	composeOneOff  = "com.docker.compose.oneoff"
	composeNetwork = "com.docker.compose.network"
	composeVolume  = "com.docker.compose.volume"
)

// startIntervalAPI is the first version of the API that knows start_interval
// (Docker 25).
const startIntervalAPI = "1.44"

// blueprint is how a container for a launch is created.
type blueprint struct {
	project   string
	launch    engine.Launch
	inherited map[string]string // the predecessor's volumes, by path
	loopback  bool              // publish the balanced ports on loopback
	api       string            // version
}

func (b blueprint) options() (client.ContainerCreateOptions, error) {
	host, err := b.hostConfig()
	if err != nil {
		return client.ContainerCreateOptions{}, err
	}
	config := b.config()
	if err := b.publish(config, host); err != nil {
		return client.ContainerCreateOptions{}, err
	}
	networking, err := b.networking()
	return client.ContainerCreateOptions{Config: config, HostConfig: host, NetworkingConfig: networking}, err
}

// name is Compose's way to name containers, with the worker's number.
func (b blueprint) name() string {
	return fmt.Sprintf("%s-%s-%d", b.project, b.launch.Release.Service.Name, b.launch.Number)
}

func (b blueprint) config() *container.Config {
	s := b.launch.Release.Service
	c := s.Container
	image := c.ImageID
	if image == "" {
		image = c.Image
	}
	return &container.Config{
		Image: image, Entrypoint: c.Entrypoint, Cmd: s.Command.Args, WorkingDir: s.Command.Dir, User: s.Command.User,
		Env: b.environment(), Labels: b.labels(), StopSignal: c.StopSignal, Healthcheck: b.healthcheck(),
		Hostname: c.Network.Hostname, Domainname: c.Network.DomainName,
	}
}

// environment is the service's, with what every worker gets. PORT names the
// port that the file says the app listens on.
func (b blueprint) environment() []string {
	s := b.launch.Release.Service
	env := map[string]string{
		"BULSA_SERVICE": s.Name, "BULSA_WORKER": strconv.Itoa(b.launch.Number),
		"NODE_APP_INSTANCE": strconv.Itoa(b.launch.Number - 1),
	}
	if len(s.Ports) > 0 && s.Ports[0].Target != 0 {
		env["PORT"] = strconv.Itoa(s.Ports[0].Target)
	}
	maps.Copy(env, spec.Environment(s.Command.Env))
	return spec.SortEnvironment(env)
}

func (b blueprint) labels() map[string]string {
	s := b.launch.Release.Service
	labels := maps.Clone(s.Container.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		labelProject: b.project, labelService: s.Name, labelWorker: b.launch.Worker,
		labelRelease: b.launch.Release.Digest, labelInstance: string(b.launch.ID),
		composeProject: b.project, composeService: s.Name, composeNumber: strconv.Itoa(b.launch.Number),
	})
	return labels
}

// healthcheck is what the file gives; Docker takes the rest from the image.
func (b blueprint) healthcheck() *container.HealthConfig {
	h := b.launch.Release.Service.Container.Healthcheck
	out := container.HealthConfig{
		Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, Retries: h.Retries, StartPeriod: h.StartPeriod,
	}
	if !versions.LessThan(b.api, startIntervalAPI) {
		out.StartInterval = h.StartInterval
	}
	if len(h.Test) == 0 && out.Interval == 0 && out.Timeout == 0 && out.Retries == 0 && out.StartPeriod == 0 && out.StartInterval == 0 {
		return nil
	}
	return &out
}

func (b blueprint) hostConfig() (*container.HostConfig, error) {
	s := b.launch.Release.Service
	c := s.Container
	h := &container.HostConfig{
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}, // bulsa is who restarts
		LogConfig:     container.LogConfig{Type: c.Log.Driver, Config: c.Log.Options},
		ExtraHosts:    c.Network.ExtraHosts, DNSSearch: c.Network.DNSSearch, DNSOptions: c.Network.DNSOptions,
		CapAdd: c.Security.CapAdd, CapDrop: c.Security.CapDrop, SecurityOpt: c.Security.Options, GroupAdd: c.Security.Groups,
		Sysctls: c.Security.Sysctls, Privileged: c.Security.Privileged, ReadonlyRootfs: c.Security.ReadOnly,
		PidMode: container.PidMode(c.Security.PID), IpcMode: container.IpcMode(c.Security.IPC),
		UsernsMode: container.UsernsMode(c.Security.UserNS), Runtime: c.Security.Runtime,
		OomScoreAdj: c.Resources.OOMScoreAdjust, ShmSize: c.Resources.ShmSize, Resources: resources(c),
	}
	if s.Command.Init {
		h.Init = &s.Command.Init
	}
	for _, text := range c.Network.DNS {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("dns: %q is not an address", text)
		}
		h.DNS = append(h.DNS, addr)
	}
	for _, text := range c.Tmpfs {
		at, options, _ := strings.Cut(text, ":")
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[at] = options
	}
	anonymous := b.anonymous()
	for _, m := range c.Mounts {
		if name := anonymous[m.Target]; name != "" {
			m.Source = name
			delete(anonymous, m.Target)
		}
		addMount(h, m)
	}
	for _, target := range slices.Sorted(maps.Keys(anonymous)) {
		addMount(h, spec.Mount{Type: "volume", Source: anonymous[target], Target: target})
	}
	h.NetworkMode = networkMode(c.Network)
	return h, nil
}

// anonymous are the volumes without a name that go on from the predecessor, by
// path: what a database writes to must not be empty again because a variable has
// changed. Compose does the same.
func (b blueprint) anonymous() map[string]string {
	out := map[string]string{}
	c := b.launch.Release.Service.Container
	if c.RenewVolumes {
		return out
	}
	for _, target := range c.Anonymous() {
		if name := b.inherited[path.Clean(target)]; name != "" {
			out[target] = name
		}
	}
	return out
}

func networkMode(n spec.Networking) container.NetworkMode {
	switch {
	case n.Mode != "":
		return container.NetworkMode(n.Mode)
	case len(n.Networks) > 0:
		return container.NetworkMode(n.Networks[0].Name)
	}
	return "bridge"
}

func resources(c *spec.Container) container.Resources {
	l := c.Resources
	r := container.Resources{
		NanoCPUs: int64(l.CPUs * 1e9), Memory: l.Memory, MemoryReservation: l.MemoryReservation, MemorySwap: l.MemorySwap,
		CPUShares: l.CPUShares, CpusetCpus: l.CPUSet,
	}
	if l.PIDs != 0 {
		r.PidsLimit = &l.PIDs
	}
	for _, u := range l.Ulimits {
		r.Ulimits = append(r.Ulimits, &container.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	for _, d := range c.Security.Devices {
		permissions := d.Permissions
		if permissions == "" {
			permissions = "rwm"
		}
		r.Devices = append(r.Devices, container.DeviceMapping{PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: permissions})
	}
	return r
}

// addMount adds a mount. Only the older form of a bind makes a missing folder.
func addMount(h *container.HostConfig, m spec.Mount) {
	if m.Type == "bind" && m.Create {
		options := []string{"rw"}
		if m.ReadOnly {
			options[0] = "ro"
		}
		if m.Spread != "" {
			options = append(options, m.Spread)
		}
		h.Binds = append(h.Binds, m.Source+":"+m.Target+":"+strings.Join(options, ","))
		return
	}
	out := mount.Mount{Type: mount.Type(m.Type), Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
	switch m.Type {
	case "bind":
		if m.Spread != "" {
			out.BindOptions = &mount.BindOptions{Propagation: mount.Propagation(m.Spread)}
		}
	case "volume":
		out.VolumeOptions = &mount.VolumeOptions{NoCopy: m.NoCopy}
	case "tmpfs":
		out.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: m.Size, Mode: fileMode(m.Mode)}
	}
	h.Mounts = append(h.Mounts, out)
}

// publish asks Docker for the ports that the file gives to it, and for those
// that cannot be reached otherwise.
func (b blueprint) publish(config *container.Config, host *container.HostConfig) error {
	s := b.launch.Release.Service
	add := func(p spec.HostPort) error {
		protocol := p.Protocol
		if protocol == "" {
			protocol = "tcp"
		}
		port, err := network.ParsePort(fmt.Sprintf("%d/%s", p.Target, protocol))
		if err != nil {
			return fmt.Errorf("ports: %w", err)
		}
		binding := network.PortBinding{}
		if p.Host != "" {
			if binding.HostIP, err = netip.ParseAddr(p.Host); err != nil {
				return fmt.Errorf("ports: %q is not an address", p.Host)
			}
		}
		if p.Published != 0 {
			binding.HostPort = strconv.Itoa(p.Published)
		}
		if config.ExposedPorts == nil {
			config.ExposedPorts, host.PortBindings = network.PortSet{}, network.PortMap{}
		}
		config.ExposedPorts[port] = struct{}{}
		host.PortBindings[port] = append(host.PortBindings[port], binding)
		return nil
	}
	for _, p := range s.Container.HostPorts {
		if err := add(p); err != nil {
			return err
		}
	}
	if !b.loopback || s.Container.Network.Mode == "host" {
		return nil
	}
	for _, t := range targets(s, nil) {
		if err := add(spec.HostPort{Host: "127.0.0.1", Target: t.number}); err != nil {
			return err
		}
	}
	return nil
}

// networking is the first network; older engines take no more at once.
func (b blueprint) networking() (*network.NetworkingConfig, error) {
	networks := b.launch.Release.Service.Container.Network.Networks
	if len(networks) == 0 {
		return nil, nil
	}
	e, err := b.endpoint(networks[0])
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{networks[0].Name: e}}, err
}

// endpoint joins a network under the service's name, as in Compose.
func (b blueprint) endpoint(n spec.Network) (*network.EndpointSettings, error) {
	e := &network.EndpointSettings{Aliases: append([]string{b.launch.Release.Service.Name, b.launch.Worker}, n.Aliases...)}
	for _, fixed := range []struct {
		text string
		v6   bool
	}{{n.IPv4, false}, {n.IPv6, true}} {
		if fixed.text == "" {
			continue
		}
		addr, err := netip.ParseAddr(fixed.text)
		if err != nil {
			return nil, fmt.Errorf("networks.%s: %q is not an address", n.Key, fixed.text)
		}
		if e.IPAMConfig == nil {
			e.IPAMConfig = &network.EndpointIPAMConfig{}
		}
		if fixed.v6 {
			e.IPAMConfig.IPv6Address = addr
		} else {
			e.IPAMConfig.IPv4Address = addr
		}
	}
	return e, nil
}
