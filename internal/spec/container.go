package spec

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Container is what the docker engine needs beside the Command of a service:
// an image, and the container's surroundings in Compose's words. What is left
// empty is the image's or the engine's own.
type Container struct {
	Name        string            `json:"name,omitempty"`        // container_name: of the first worker's container, and found by it
	Image       string            `json:"image"`                 // reference; of a service that only has Build: PROJECT-SERVICE
	ImageID     string            `json:"image_id,omitempty"`    // what Image stood for when it was pulled or built: another image is another release
	Build       *Build            `json:"build,omitempty"`       // how to make Image; nil: it is pulled
	Pull        string            `json:"pull,omitempty"`        // pull_policy: missing | always | never | build | refresh
	Refresh     time.Duration     `json:"refresh,omitempty"`     // age at which refresh pulls again
	Platform    string            `json:"platform,omitempty"`    // os/arch[/variant]
	Entrypoint  []string          `json:"entrypoint"`            // nil: the image's; Command.Args is the command, nil: the image's
	Workers     string            `json:"workers,omitempty"`     // that a bulsa inside runs: N, or auto, by its own CPUs; empty: 1, or what its image says
	StopSignal  string            `json:"stop_signal,omitempty"` // where the file gives one; else the image's
	Healthcheck Healthcheck       `json:"healthcheck"`           // run by Docker; laid over the image's HEALTHCHECK field by field
	Labels      map[string]string `json:"labels,omitempty"`      //
	Annotations map[string]string `json:"annotations,omitempty"` // for the runtime
	TTY         bool              `json:"tty,omitempty"`
	StdinOpen   bool              `json:"stdin_open,omitempty"`
	Expose      []int             `json:"expose,omitempty"`       // tcp ports without a publication, for checks from outside
	ExposeOther []string          `json:"expose_other,omitempty"` // PORT/PROTOCOL of other protocols
	HostPorts   []HostPort        `json:"host_ports,omitempty"`   // ports with mode: host: Docker publishes them, not bulsa
	Network     Networking        `json:"network"`
	Mounts      []Mount           `json:"mounts,omitempty"`
	VolumesFrom []string          `json:"volumes_from,omitempty"` // SERVICE[:ro] or container:NAME[:ro]
	Tmpfs       []string          `json:"tmpfs,omitempty"`        // PATH[:OPTIONS]
	// ImageVolumes are the paths at which the image itself asks for a volume (VOLUME).
	ImageVolumes []string `json:"image_volumes,omitempty"`
	// RenewVolumes: a new container gets new anonymous volumes, not its predecessor's. Not part of the digest.
	RenewVolumes bool         `json:"renew_volumes,omitempty"`
	Files        []File       `json:"files,omitempty"` // secrets and configs whose content is not in a file
	Resources    Resources    `json:"resources"`
	Security     Security     `json:"security"`
	Log          ContainerLog `json:"log"`
}

// Build says how an image is made, in Compose's words.
type Build struct {
	Context    string            `json:"context"`              // absolute folder, or an address that the engine fetches
	Dockerfile string            `json:"dockerfile,omitempty"` // absolute, or inside a remote Context; empty: Dockerfile
	Inline     string            `json:"inline,omitempty"`     // dockerfile_inline
	Args       map[string]string `json:"args,omitempty"`
	Target     string            `json:"target,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	CacheFrom  []string          `json:"cache_from,omitempty"`
	ExtraHosts []string          `json:"extra_hosts,omitempty"`
	Network    string            `json:"network,omitempty"`
	ShmSize    int64             `json:"shm_size,omitempty"` // bytes
	Tags       []string          `json:"tags,omitempty"`
	NoCache    bool              `json:"no_cache,omitempty"`
	Pull       bool              `json:"pull,omitempty"` // fetch newer base images
	Secrets    []BuildSecret     `json:"secrets,omitempty"`
	Ulimits    []Ulimit          `json:"ulimits,omitempty"`
	Platforms  []string          `json:"platforms,omitempty"` // os/arch[/variant]; several need Buildx
	Buildx     Buildx            `json:"buildx,omitzero"`
}

// Buildx is what docker's Buildx alone can do. It is asked to build where one of
// these is given.
type Buildx struct {
	SSH           []string          `json:"ssh,omitempty"`      // ID[=PATH]
	Contexts      map[string]string `json:"contexts,omitempty"` // additional_contexts: absolute folder, address or service:NAME
	Privileged    bool              `json:"privileged,omitempty"`
	Entitlements  []string          `json:"entitlements,omitempty"`
	CacheTo       []string          `json:"cache_to,omitempty"`
	NoCacheFilter []string          `json:"no_cache_filter,omitempty"`
	Provenance    string            `json:"provenance,omitempty"`
	SBOM          string            `json:"sbom,omitempty"`
}

// BuildSecret is what RUN --mount=type=secret may read while an image is built,
// and what is not in the image. It is no part of a release.
type BuildSecret struct {
	ID       string `json:"id"`
	File     string `json:"file,omitempty"`     // absolute; empty: Content
	Variable string `json:"variable,omitempty"` // of bulsa's environment, that Content was taken from
	Content  string `json:"-"`
}

// Healthcheck holds the fields of a Docker health check that were given; an
// empty or zero one is the image's, or Docker's default.
type Healthcheck struct {
	Test          []string      `json:"test,omitempty"` // {"NONE"}: switched off
	Interval      time.Duration `json:"interval,omitempty"`
	Timeout       time.Duration `json:"timeout,omitempty"`
	Retries       int           `json:"retries,omitempty"`
	StartPeriod   time.Duration `json:"start_period,omitempty"`
	StartInterval time.Duration `json:"start_interval,omitempty"`
}

// HostPort is a port that Docker itself publishes on its host.
type HostPort struct {
	Host      string `json:"host,omitempty"`
	Published int    `json:"published"`      // 0: any free one
	Last      int    `json:"last,omitempty"` // of a range from Published, of which Docker takes a free one
	Target    int    `json:"target"`
	Protocol  string `json:"protocol"` // tcp | udp | sctp
}

// Networking is where a container is reached and what it reaches.
type Networking struct {
	Links         []string  `json:"links,omitempty"`          // SERVICE[:ALIAS]: under which name the container finds another one's
	ExternalLinks []string  `json:"external_links,omitempty"` // CONTAINER[:ALIAS]: the same of a container that somebody else runs
	Mode          string    `json:"mode,omitempty"`           // network_mode: host | none | bridge | service:NAME | container:NAME; empty: Networks
	MAC           string    `json:"mac,omitempty"`            // of the first network
	Networks      []Network `json:"networks,omitempty"`
	Hostname      string    `json:"hostname,omitempty"`
	DomainName    string    `json:"domain_name,omitempty"`
	ExtraHosts    []string  `json:"extra_hosts,omitempty"` // HOST:ADDRESS
	DNS           []string  `json:"dns,omitempty"`
	DNSSearch     []string  `json:"dns_search,omitempty"`
	DNSOptions    []string  `json:"dns_options,omitempty"`
}

// Network is one network of a container, with what it takes to create it.
type Network struct {
	Key      string            `json:"key"`  // the file's name for it
	Name     string            `json:"name"` // the engine's
	Aliases  []string          `json:"aliases,omitempty"`
	IPv4     string            `json:"ipv4,omitempty"` // fixed address
	IPv6     string            `json:"ipv6,omitempty"`
	Endpoint Endpoint          `json:"endpoint,omitzero"`
	External bool              `json:"external,omitempty"` // somebody else makes and removes it
	Internal bool              `json:"internal,omitempty"`
	Open     bool              `json:"open,omitempty"` // attachable: containers of others may join an overlay network
	Driver   string            `json:"driver,omitempty"`
	Options  map[string]string `json:"options,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	WithIPv6 bool              `json:"with_ipv6,omitempty"`
	NoIPv4   bool              `json:"no_ipv4,omitempty"`
	IPAM     IPAM              `json:"ipam,omitzero"`
	Subnets  []Subnet          `json:"subnets,omitempty"`
}

// Endpoint is how a container stands in one of its networks.
type Endpoint struct {
	MAC       string            `json:"mac,omitempty"`
	LinkLocal []string          `json:"link_local,omitempty"` // addresses
	Gateway   int               `json:"gateway,omitempty"`    // gw_priority: the highest is the default route
	Interface string            `json:"interface,omitempty"`  // its name in the container
	Options   map[string]string `json:"options,omitempty"`
	Nameless  bool              `json:"nameless,omitempty"` // use_service_name_alias: false
}

// IPAM is who gives the addresses of a network.
type IPAM struct {
	Driver  string            `json:"driver,omitempty"`
	Options map[string]string `json:"options,omitempty"`
}

// Subnet is one address range of a network.
type Subnet struct {
	Subnet  string `json:"subnet,omitempty"`
	Gateway string `json:"gateway,omitempty"`
	IPRange string `json:"ip_range,omitempty"`

	Aux map[string]string `json:"aux,omitempty"` // aux_addresses: reserved for other hosts
}

// Mount brings a folder, a file, a volume or memory into a container.
type Mount struct {
	Type     string            `json:"type"` // bind | volume | tmpfs | image
	Source   string            `json:"source,omitempty"`
	Target   string            `json:"target"`
	ReadOnly bool              `json:"read_only,omitempty"`
	Create   bool              `json:"create,omitempty"`  // bind: make the folder when it is missing
	Spread   string            `json:"spread,omitempty"`  // bind.propagation
	Nested   string            `json:"nested,omitempty"`  // bind.recursive: enabled | disabled | writable | readonly
	SELinux  string            `json:"selinux,omitempty"` // bind, volume: z | Z
	Usage    string            `json:"usage,omitempty"`   // consistency, which Docker Desktop knows
	NoCopy   bool              `json:"no_copy,omitempty"`
	Subpath  string            `json:"subpath,omitempty"`  // volume, image: only this part of it
	Marks    map[string]string `json:"marks,omitempty"`    // volume.labels: of a volume that this mount makes
	Size     int64             `json:"size,omitempty"`     // tmpfs, bytes
	Mode     uint32            `json:"mode,omitempty"`     // tmpfs
	Key      string            `json:"key,omitempty"`      // volume: the file's name for it; Source is the engine's
	External bool              `json:"external,omitempty"` // volume: somebody else makes it
	Driver   string            `json:"driver,omitempty"`   // volume
	Options  map[string]string `json:"options,omitempty"`  // volume
	Labels   map[string]string `json:"labels,omitempty"`   // volume
}

// File is written into a container before it starts.
type File struct {
	Target   string `json:"target"`
	Content  string `json:"content"`            // not shown where it comes from a Variable
	Variable string `json:"variable,omitempty"` // of bulsa's environment, that Content was taken from
	Mode     uint32 `json:"mode"`
	UID      int    `json:"uid,omitempty"`
	GID      int    `json:"gid,omitempty"`
	Secret   bool   `json:"secret,omitempty"`
}

// Resources bound what a container uses. Zero: no limit.
type Resources struct {
	CPUs              float64  `json:"cpus,omitempty"`
	Memory            int64    `json:"memory,omitempty"` // bytes; so are the others
	MemoryReservation int64    `json:"memory_reservation,omitempty"`
	MemorySwap        int64    `json:"memory_swap,omitempty"` // memory and swap together; -1: no limit
	ShmSize           int64    `json:"shm_size,omitempty"`
	PIDs              int64    `json:"pids,omitempty"`
	CPUShares         int64    `json:"cpu_shares,omitempty"`
	CPUSet            string   `json:"cpuset,omitempty"`
	OOMScoreAdjust    int      `json:"oom_score_adj,omitempty"`
	Ulimits           []Ulimit `json:"ulimits,omitempty"`

	Swappiness     *int64          `json:"swappiness,omitempty"` // 0 to 100
	OOMKillDisable bool            `json:"oom_kill_disable,omitempty"`
	CPUPeriod      int64           `json:"cpu_period,omitempty"` // microseconds; so are the next three
	CPUQuota       int64           `json:"cpu_quota,omitempty"`
	CPURTPeriod    int64           `json:"cpu_rt_period,omitempty"`
	CPURTRuntime   int64           `json:"cpu_rt_runtime,omitempty"`
	CgroupParent   string          `json:"cgroup_parent,omitempty"`
	BlockIO        *BlockIO        `json:"block_io,omitempty"`
	Requests       []DeviceRequest `json:"requests,omitempty"` // gpus, and devices under reservations
}

// BlockIO bounds what a container reads and writes of block devices.
type BlockIO struct {
	Weight    uint16     `json:"weight,omitempty"`
	Weights   []Throttle `json:"weights,omitempty"`
	ReadBps   []Throttle `json:"read_bps,omitempty"`
	ReadIOps  []Throttle `json:"read_iops,omitempty"`
	WriteBps  []Throttle `json:"write_bps,omitempty"`
	WriteIOps []Throttle `json:"write_iops,omitempty"`
}

// Throttle is a bound, or a weight, for one device.
type Throttle struct {
	Path string `json:"path"`
	Rate uint64 `json:"rate"`
}

// DeviceRequest asks the engine for devices by what they can do.
type DeviceRequest struct {
	Driver       string            `json:"driver,omitempty"`
	Count        int               `json:"count,omitempty"` // -1: all
	IDs          []string          `json:"ids,omitempty"`
	Capabilities []string          `json:"capabilities,omitempty"`
	Options      map[string]string `json:"options,omitempty"`
}

// Ulimit is one resource limit of a container's processes; see setrlimit(2).
type Ulimit struct {
	Name string `json:"name"`
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// Security is what a container's processes may do.
type Security struct {
	CapAdd     []string          `json:"cap_add,omitempty"`
	CapDrop    []string          `json:"cap_drop,omitempty"`
	Options    []string          `json:"options,omitempty"` // security_opt
	Groups     []string          `json:"groups,omitempty"`  // group_add
	Devices    []Device          `json:"devices,omitempty"`
	Sysctls    map[string]string `json:"sysctls,omitempty"`
	Privileged bool              `json:"privileged,omitempty"`
	ReadOnly   bool              `json:"read_only,omitempty"` // the root file system
	PID        string            `json:"pid,omitempty"`       // host | service:NAME | container:NAME
	IPC        string            `json:"ipc,omitempty"`       // host | private | shareable | none | service:NAME | container:NAME
	UserNS     string            `json:"userns,omitempty"`
	Runtime    string            `json:"runtime,omitempty"`

	UTS         string            `json:"uts,omitempty"`          // host
	Cgroup      string            `json:"cgroup,omitempty"`       // host | private
	DeviceRules []string          `json:"device_rules,omitempty"` // device_cgroup_rules
	Storage     map[string]string `json:"storage,omitempty"`      // storage_opt
	Umask       *uint32           `json:"umask,omitempty"`
}

// Device is a device of the host inside a container.
type Device struct {
	Source      string `json:"source"`
	Target      string `json:"target"`
	Permissions string `json:"permissions,omitempty"`
}

// ContainerLog is the engine's own logging, beside bulsa's. Empty: its default.
type ContainerLog struct {
	Driver  string            `json:"driver,omitempty"`
	Options map[string]string `json:"options,omitempty"`
}

func (v *checker) container(s Service) {
	c := s.Container
	if c == nil || c.Image == "" {
		v.check("image", false, "service "+s.Name+" has no image", "give image or build, or set engine: process")
		return
	}
	v.check("x-bulsa.servers", len(s.Servers) == 0, "a service of containers has no servers of its own", "set engine: external, or remove servers")
	v.check("image", !strings.ContainsAny(c.Image, " \t\r\n\x00"), fmt.Sprintf("%q is not an image", c.Image), "write NAME[:TAG], as in node:22")
	if c.Pull != "" {
		v.oneOf("pull_policy", c.Pull, PullMissing, PullAlways, PullNever, PullBuild, PullRefresh)
		v.check("pull_policy", c.Pull != PullBuild || c.Build != nil, "pull_policy: build needs build", "add build, or use missing, always or never")
	}
	v.check("x-bulsa.probe.loop", !s.Health.Loop, "the event loop of a container is not measured in this version", "use http or tcp")
	v.noNUL("entrypoint", c.Entrypoint...)
	v.noNUL("command", s.Command.Args...)
	v.environment(s.Command.Env)
	_, borrowed := Borrowed(c.Network.Mode)
	v.check("network_mode", borrowed || slices.Contains([]string{"", "host", "none", "bridge"}, c.Network.Mode),
		fmt.Sprintf("network_mode %q is not known", c.Network.Mode), "use host, none, bridge, service:NAME or container:NAME, or networks")
	v.check("ports", c.Network.Mode != "none" || len(s.Ports) == 0, "a container without a network cannot be balanced over", "remove ports, or network_mode")
	v.check("ports", !borrowed || len(s.Ports)+len(c.HostPorts) == 0, "a container in the network of another one has no ports of its own", "publish them there: "+strings.TrimPrefix(c.Network.Mode, "service:"))
	for i, m := range c.Mounts {
		v.check(fmt.Sprintf("volumes.%d", i), strings.HasPrefix(m.Target, "/"), fmt.Sprintf("%q is not an absolute path in the container", m.Target), "write SOURCE:/PATH")
	}
}

// The values of Container.Pull.
const (
	PullMissing = "missing" // default
	PullAlways  = "always"
	PullNever   = "never"
	PullBuild   = "build"
	PullRefresh = "refresh" // when the image is older than Refresh
)

// Borrowed tells a namespace that is that of another container (service:NAME or
// container:NAME), and the service, if it is one.
func Borrowed(mode string) (service string, borrowed bool) {
	if name, ok := strings.CutPrefix(mode, "service:"); ok {
		return name, true
	}
	return "", strings.HasPrefix(mode, "container:")
}
