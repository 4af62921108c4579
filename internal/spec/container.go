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
	Image       string            `json:"image"`                 // reference; of a service that only has Build: PROJECT-SERVICE
	ImageID     string            `json:"image_id,omitempty"`    // what Image stood for when it was pulled or built: another image is another release
	Build       *Build            `json:"build,omitempty"`       // how to make Image; nil: it is pulled
	Pull        string            `json:"pull,omitempty"`        // pull_policy: missing | always | never | build
	Platform    string            `json:"platform,omitempty"`    // os/arch[/variant]
	Entrypoint  []string          `json:"entrypoint"`            // nil: the image's; Command.Args is the command, nil: the image's
	Workers     string            `json:"workers,omitempty"`     // that a bulsa inside runs: N, or auto, by its own CPUs; empty: 1, or what its image says
	StopSignal  string            `json:"stop_signal,omitempty"` // where the file gives one; else the image's
	Healthcheck Healthcheck       `json:"healthcheck"`           // run by Docker; laid over the image's HEALTHCHECK field by field
	Labels      map[string]string `json:"labels,omitempty"`      //
	Expose      []int             `json:"expose,omitempty"`      // ports without a publication, for checks from outside
	HostPorts   []HostPort        `json:"host_ports,omitempty"`  // ports with mode: host: Docker publishes them, not bulsa
	Network     Networking        `json:"network"`
	Mounts      []Mount           `json:"mounts,omitempty"`
	Tmpfs       []string          `json:"tmpfs,omitempty"` // PATH[:OPTIONS]
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
	Published int    `json:"published"` // 0: any free one
	Target    int    `json:"target"`
	Protocol  string `json:"protocol"` // tcp | udp | sctp
}

// Networking is where a container is reached and what it reaches.
type Networking struct {
	Mode       string    `json:"mode,omitempty"` // network_mode: host | none | bridge; empty: Networks
	Networks   []Network `json:"networks,omitempty"`
	Hostname   string    `json:"hostname,omitempty"`
	DomainName string    `json:"domain_name,omitempty"`
	ExtraHosts []string  `json:"extra_hosts,omitempty"` // HOST:ADDRESS
	DNS        []string  `json:"dns,omitempty"`
	DNSSearch  []string  `json:"dns_search,omitempty"`
	DNSOptions []string  `json:"dns_options,omitempty"`
}

// Network is one network of a container, with what it takes to create it.
type Network struct {
	Key      string            `json:"key"`  // the file's name for it
	Name     string            `json:"name"` // the engine's
	Aliases  []string          `json:"aliases,omitempty"`
	IPv4     string            `json:"ipv4,omitempty"` // fixed address
	IPv6     string            `json:"ipv6,omitempty"`
	External bool              `json:"external,omitempty"` // somebody else makes and removes it
	Internal bool              `json:"internal,omitempty"`
	Driver   string            `json:"driver,omitempty"`
	Options  map[string]string `json:"options,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	WithIPv6 bool              `json:"with_ipv6,omitempty"`
	Subnets  []Subnet          `json:"subnets,omitempty"`
}

// Subnet is one address range of a network.
type Subnet struct {
	Subnet  string `json:"subnet,omitempty"`
	Gateway string `json:"gateway,omitempty"`
	IPRange string `json:"ip_range,omitempty"`
}

// Mount brings a folder, a file, a volume or memory into a container.
type Mount struct {
	Type     string            `json:"type"` // bind | volume | tmpfs
	Source   string            `json:"source,omitempty"`
	Target   string            `json:"target"`
	ReadOnly bool              `json:"read_only,omitempty"`
	Create   bool              `json:"create,omitempty"` // bind: make the folder when it is missing
	Spread   string            `json:"spread,omitempty"` // bind.propagation
	NoCopy   bool              `json:"no_copy,omitempty"`
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
	PID        string            `json:"pid,omitempty"`       // host
	IPC        string            `json:"ipc,omitempty"`
	UserNS     string            `json:"userns,omitempty"`
	Runtime    string            `json:"runtime,omitempty"`
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
		v.oneOf("pull_policy", c.Pull, PullMissing, PullAlways, PullNever, PullBuild)
		v.check("pull_policy", c.Pull != PullBuild || c.Build != nil, "pull_policy: build needs build", "add build, or use missing, always or never")
	}
	v.check("x-bulsa.probe.loop", !s.Health.Loop, "the event loop of a container is not measured in this version", "use http or tcp")
	v.noNUL("entrypoint", c.Entrypoint...)
	v.noNUL("command", s.Command.Args...)
	v.environment(s.Command.Env)
	v.check("network_mode", slices.Contains([]string{"", "host", "none", "bridge"}, c.Network.Mode),
		fmt.Sprintf("network_mode %q is not part of this version", c.Network.Mode), "use host, none or bridge, or networks")
	v.check("ports", c.Network.Mode != "none" || len(s.Ports) == 0, "a container without a network cannot be balanced over", "remove ports, or network_mode")
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
)
