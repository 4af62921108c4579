package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
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
	lenders   map[string]string // containers whose namespaces and volumes are used, by service
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

// name is the file's, or Compose's way to name containers, with the worker's number.
func (b blueprint) name() string {
	if name := b.launch.Release.Service.Container.Name; name != "" && b.launch.Number == 1 {
		return name
	}
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
		Hostname: c.Network.Hostname, Domainname: c.Network.DomainName, Tty: c.TTY, OpenStdin: c.StdinOpen,
		StopTimeout: stopTimeout(s.Stop.Grace),
	}
}

// stopTimeout is what docker stop waits by itself, in whole seconds.
func stopTimeout(grace time.Duration) *int {
	seconds := int((grace + time.Second - 1) / time.Second)
	return &seconds
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
		CapAdd: c.Security.CapAdd, CapDrop: c.Security.CapDrop, GroupAdd: c.Security.Groups,
		Sysctls: c.Security.Sysctls, Privileged: c.Security.Privileged, ReadonlyRootfs: c.Security.ReadOnly,
		UsernsMode: container.UsernsMode(c.Security.UserNS), Runtime: c.Security.Runtime,
		OomScoreAdj: c.Resources.OOMScoreAdjust, ShmSize: c.Resources.ShmSize, Resources: resources(c),
		Annotations: c.Annotations, CgroupnsMode: container.CgroupnsMode(c.Security.Cgroup), UTSMode: container.UTSMode(c.Security.UTS),
		StorageOpt: c.Security.Storage, Umask: c.Security.Umask,
	}
	h.SecurityOpt, h.MaskedPaths, h.ReadonlyPaths = securityOptions(c.Security.Options)
	h.PidMode, h.IpcMode = container.PidMode(b.lent(c.Security.PID)), container.IpcMode(b.lent(c.Security.IPC))
	for _, text := range c.VolumesFrom {
		h.VolumesFrom = append(h.VolumesFrom, b.lentVolumes(text))
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
	h.NetworkMode = b.networkMode(c.Network)
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

// securityOptions takes systempaths=unconfined out, which docker's own client turns
// into empty lists of paths.
func securityOptions(given []string) (options, masked, readonly []string) {
	for _, option := range given {
		if option == "systempaths=unconfined" {
			masked, readonly = []string{}, []string{}
			continue
		}
		options = append(options, option)
	}
	return options, masked, readonly
}

func (b blueprint) networkMode(n spec.Networking) container.NetworkMode {
	switch {
	case n.Mode != "":
		return container.NetworkMode(b.lent(n.Mode))
	case len(n.Networks) > 0:
		return container.NetworkMode(n.Networks[0].Name)
	}
	return "bridge"
}

func resources(c *spec.Container) container.Resources {
	l := c.Resources
	r := container.Resources{
		NanoCPUs: int64(l.CPUs * 1e9), Memory: l.Memory, MemoryReservation: l.MemoryReservation, MemorySwap: l.MemorySwap,
		CPUShares: l.CPUShares, CpusetCpus: l.CPUSet, CPUPeriod: l.CPUPeriod, CPUQuota: l.CPUQuota,
		CPURealtimePeriod: l.CPURTPeriod, CPURealtimeRuntime: l.CPURTRuntime, CgroupParent: l.CgroupParent,
		MemorySwappiness: l.Swappiness, DeviceCgroupRules: c.Security.DeviceRules,
	}
	if l.OOMKillDisable {
		r.OomKillDisable = &l.OOMKillDisable
	}
	blockIO(&r, l.BlockIO)
	for _, d := range l.Requests {
		r.DeviceRequests = append(r.DeviceRequests, container.DeviceRequest{
			Driver: d.Driver, Count: d.Count, DeviceIDs: d.IDs, Capabilities: [][]string{d.Capabilities}, Options: d.Options,
		})
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

func blockIO(r *container.Resources, b *spec.BlockIO) {
	if b == nil {
		return
	}
	r.BlkioWeight = b.Weight
	for _, w := range b.Weights {
		r.BlkioWeightDevice = append(r.BlkioWeightDevice, &blkiodev.WeightDevice{Path: w.Path, Weight: uint16(w.Rate)})
	}
	for _, group := range []struct {
		from []spec.Throttle
		to   *[]*blkiodev.ThrottleDevice
	}{{b.ReadBps, &r.BlkioDeviceReadBps}, {b.ReadIOps, &r.BlkioDeviceReadIOps}, {b.WriteBps, &r.BlkioDeviceWriteBps}, {b.WriteIOps, &r.BlkioDeviceWriteIOps}} {
		for _, t := range group.from {
			*group.to = append(*group.to, &blkiodev.ThrottleDevice{Path: t.Path, Rate: t.Rate})
		}
	}
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
		if p.Last != 0 {
			binding.HostPort += "-" + strconv.Itoa(p.Last)
		}
		if config.ExposedPorts == nil {
			config.ExposedPorts = network.PortSet{}
		}
		if host.PortBindings == nil {
			host.PortBindings = network.PortMap{}
		}
		config.ExposedPorts[port] = struct{}{}
		host.PortBindings[port] = append(host.PortBindings[port], binding)
		return nil
	}
	if err := expose(config, s); err != nil {
		return err
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

// expose says which ports the service has, as Compose does: docker ps and what reads
// it show them.
func expose(config *container.Config, s spec.Service) error {
	if _, borrowed := spec.Borrowed(s.Container.Network.Mode); borrowed {
		return nil // Docker refuses it: the ports are those of the other one
	}
	ports := slices.Clone(s.Container.ExposeOther)
	for _, n := range s.Container.Expose {
		ports = append(ports, fmt.Sprintf("%d/tcp", n))
	}
	for _, p := range s.Ports {
		if p.Target != 0 {
			ports = append(ports, fmt.Sprintf("%d/tcp", p.Target))
		}
	}
	for _, text := range ports {
		port, err := network.ParsePort(text)
		if err != nil {
			return fmt.Errorf("expose: %w", err)
		}
		if config.ExposedPorts == nil {
			config.ExposedPorts = network.PortSet{}
		}
		config.ExposedPorts[port] = struct{}{}
	}
	return nil
}
