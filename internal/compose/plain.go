package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

type (
	from = types.ServiceConfig
	to   = spec.Container
)

// plainKey is a key of a container that means one field: it is read and written in
// one place.
type plainKey struct {
	name  string
	read  func(*from, *to)
	write func(*to) any // what is empty is left out
}

// plainKeys are those that need neither the rest of the file nor a decision.
func plainKeys() []plainKey {
	return slices.Concat(imageKeys(), limitKeysOfContainers(), securityKeys(), []plainKey{
		textKey("container_name", func(f *from) *string { return &f.ContainerName }, func(c *to) *string { return &c.Name }),
		listKey("links", func(f *from) []string { return f.Links }, func(c *to) *[]string { return &c.Network.Links }),
		listKey("external_links", func(f *from) []string { return f.ExternalLinks }, func(c *to) *[]string { return &c.Network.ExternalLinks }),
		textKey("hostname", func(f *from) *string { return &f.Hostname }, func(c *to) *string { return &c.Network.Hostname }),
		textKey("domainname", func(f *from) *string { return &f.DomainName }, func(c *to) *string { return &c.Network.DomainName }),
		textKey("network_mode", func(f *from) *string { return &f.NetworkMode }, func(c *to) *string { return &c.Network.Mode }),
		textKey("mac_address", func(f *from) *string { return &f.MacAddress }, func(c *to) *string { return &c.Network.MAC }),
		listKey("dns", func(f *from) []string { return f.DNS }, func(c *to) *[]string { return &c.Network.DNS }),
		listKey("dns_search", func(f *from) []string { return f.DNSSearch }, func(c *to) *[]string { return &c.Network.DNSSearch }),
		listKey("dns_opt", func(f *from) []string { return f.DNSOpts }, func(c *to) *[]string { return &c.Network.DNSOptions }),
		listKey("extra_hosts", func(f *from) []string { return slices.Sorted(slices.Values(f.ExtraHosts.AsList(":"))) }, func(c *to) *[]string { return &c.Network.ExtraHosts }),
		listKey("volumes_from", func(f *from) []string { return f.VolumesFrom }, func(c *to) *[]string { return &c.VolumesFrom }),
		listKey("tmpfs", func(f *from) []string { return f.Tmpfs }, func(c *to) *[]string { return &c.Tmpfs }),
	})
}

func imageKeys() []plainKey {
	return []plainKey{
		textKey("image", func(f *from) *string { return &f.Image }, func(c *to) *string { return &c.Image }),
		textKey("platform", func(f *from) *string { return &f.Platform }, func(c *to) *string { return &c.Platform }),
		textKey("stop_signal", func(f *from) *string { return &f.StopSignal }, func(c *to) *string { return &c.StopSignal }),
		mapKey("labels", func(f *from) map[string]string { return f.Labels }, func(c *to) *map[string]string { return &c.Labels }),
		mapKey("annotations", func(f *from) map[string]string { return f.Annotations }, func(c *to) *map[string]string { return &c.Annotations }),
		flagKey("tty", func(f *from) bool { return f.Tty }, func(c *to) *bool { return &c.TTY }),
		flagKey("stdin_open", func(f *from) bool { return f.StdinOpen }, func(c *to) *bool { return &c.StdinOpen }),
	}
}

// limitKeysOfContainers are Compose's own fields, below deploy.resources.
func limitKeysOfContainers() []plainKey {
	return []plainKey{
		numberKey("memswap_limit", func(f *from) int64 { return int64(f.MemSwapLimit) }, func(c *to) *int64 { return &c.Resources.MemorySwap }),
		numberKey("shm_size", func(f *from) int64 { return int64(f.ShmSize) }, func(c *to) *int64 { return &c.Resources.ShmSize }),
		numberKey("cpu_shares", func(f *from) int64 { return f.CPUShares }, func(c *to) *int64 { return &c.Resources.CPUShares }),
		numberKey("cpu_period", func(f *from) int64 { return f.CPUPeriod }, func(c *to) *int64 { return &c.Resources.CPUPeriod }),
		numberKey("cpu_quota", func(f *from) int64 { return f.CPUQuota }, func(c *to) *int64 { return &c.Resources.CPUQuota }),
		numberKey("cpu_rt_period", func(f *from) int64 { return f.CPURTPeriod }, func(c *to) *int64 { return &c.Resources.CPURTPeriod }),
		numberKey("cpu_rt_runtime", func(f *from) int64 { return f.CPURTRuntime }, func(c *to) *int64 { return &c.Resources.CPURTRuntime }),
		textKey("cpuset", func(f *from) *string { return &f.CPUSet }, func(c *to) *string { return &c.Resources.CPUSet }),
		textKey("cgroup_parent", func(f *from) *string { return &f.CgroupParent }, func(c *to) *string { return &c.Resources.CgroupParent }),
		flagKey("oom_kill_disable", func(f *from) bool { return f.OomKillDisable }, func(c *to) *bool { return &c.Resources.OOMKillDisable }),
		{
			"oom_score_adj",
			func(f *from, c *to) { c.Resources.OOMScoreAdjust = int(f.OomScoreAdj) },
			func(c *to) any { return c.Resources.OOMScoreAdjust },
		},
		{
			"mem_swappiness",
			func(f *from, c *to) {
				if n := int64(f.MemSwappiness); n != 0 {
					c.Resources.Swappiness = &n
				}
			},
			func(c *to) any {
				if c.Resources.Swappiness == nil {
					return nil
				}
				return *c.Resources.Swappiness
			},
		},
		{"ulimits", func(f *from, c *to) { c.Resources.Ulimits = ulimits(f.Ulimits) }, func(c *to) any { return renderUlimits(c.Resources.Ulimits) }},
		{"blkio_config", func(f *from, c *to) { c.Resources.BlockIO = blockIO(f.BlkioConfig) }, func(c *to) any { return renderBlockIO(c.Resources.BlockIO) }},
	}
}

func securityKeys() []plainKey {
	return []plainKey{
		listKey("cap_add", func(f *from) []string { return f.CapAdd }, func(c *to) *[]string { return &c.Security.CapAdd }),
		listKey("cap_drop", func(f *from) []string { return f.CapDrop }, func(c *to) *[]string { return &c.Security.CapDrop }),
		listKey("group_add", func(f *from) []string { return f.GroupAdd }, func(c *to) *[]string { return &c.Security.Groups }),
		listKey("device_cgroup_rules", func(f *from) []string { return f.DeviceCgroupRules }, func(c *to) *[]string { return &c.Security.DeviceRules }),
		mapKey("sysctls", func(f *from) map[string]string { return f.Sysctls }, func(c *to) *map[string]string { return &c.Security.Sysctls }),
		mapKey("storage_opt", func(f *from) map[string]string { return f.StorageOpt }, func(c *to) *map[string]string { return &c.Security.Storage }),
		flagKey("privileged", func(f *from) bool { return f.Privileged }, func(c *to) *bool { return &c.Security.Privileged }),
		flagKey("read_only", func(f *from) bool { return f.ReadOnly }, func(c *to) *bool { return &c.Security.ReadOnly }),
		textKey("pid", func(f *from) *string { return &f.Pid }, func(c *to) *string { return &c.Security.PID }),
		textKey("ipc", func(f *from) *string { return &f.Ipc }, func(c *to) *string { return &c.Security.IPC }),
		textKey("uts", func(f *from) *string { return &f.Uts }, func(c *to) *string { return &c.Security.UTS }),
		textKey("cgroup", func(f *from) *string { return &f.Cgroup }, func(c *to) *string { return &c.Security.Cgroup }),
		textKey("userns_mode", func(f *from) *string { return &f.UserNSMode }, func(c *to) *string { return &c.Security.UserNS }),
		textKey("runtime", func(f *from) *string { return &f.Runtime }, func(c *to) *string { return &c.Security.Runtime }),
		{"devices", func(f *from, c *to) { c.Security.Devices = devices(f.Devices) }, func(c *to) any { return renderDevices(c.Security.Devices) }},
		{
			"umask",
			func(f *from, c *to) { c.Security.Umask = f.Umask },
			func(c *to) any {
				if c.Security.Umask == nil {
					return nil
				}
				return *c.Security.Umask
			},
		},
	}
}

func textKey(name string, source func(*from) *string, field func(*to) *string) plainKey {
	return plainKey{name, func(f *from, c *to) { *field(c) = *source(f) }, func(c *to) any { return escape(*field(c)) }}
}

func listKey(name string, source func(*from) []string, field func(*to) *[]string) plainKey {
	return plainKey{name, func(f *from, c *to) { *field(c) = source(f) }, func(c *to) any { return escapeAll(*field(c)) }}
}

func mapKey(name string, source func(*from) map[string]string, field func(*to) *map[string]string) plainKey {
	return plainKey{name, func(f *from, c *to) { *field(c) = source(f) }, func(c *to) any { return escapeMap(*field(c)) }}
}

func flagKey(name string, source func(*from) bool, field func(*to) *bool) plainKey {
	return plainKey{name, func(f *from, c *to) { *field(c) = source(f) }, func(c *to) any { return *field(c) }}
}

func numberKey(name string, source func(*from) int64, field func(*to) *int64) plainKey {
	return plainKey{name, func(f *from, c *to) { *field(c) = source(f) }, func(c *to) any { return *field(c) }}
}

func ulimits(given map[string]*types.UlimitsConfig) []spec.Ulimit {
	var list []spec.Ulimit
	for _, name := range slices.Sorted(maps.Keys(given)) {
		u := given[name]
		limit := spec.Ulimit{Name: name, Soft: int64(u.Soft), Hard: int64(u.Hard)}
		if u.Single != 0 {
			limit.Soft, limit.Hard = int64(u.Single), int64(u.Single)
		}
		list = append(list, limit)
	}
	return list
}

func renderUlimits(list []spec.Ulimit) any {
	out := section{}
	for _, u := range list {
		out[u.Name] = section{"soft": u.Soft, "hard": u.Hard}
	}
	return out
}

func devices(given []types.DeviceMapping) []spec.Device {
	var list []spec.Device
	for _, d := range given {
		list = append(list, spec.Device{Source: d.Source, Target: d.Target, Permissions: d.Permissions})
	}
	return list
}

func renderDevices(list []spec.Device) any {
	var out []any
	for _, d := range list {
		device := section{"source": d.Source, "target": d.Target}
		put(device, "permissions", d.Permissions)
		out = append(out, device)
	}
	return out
}

func blockIO(given *types.BlkioConfig) *spec.BlockIO {
	if given == nil {
		return nil
	}
	out := &spec.BlockIO{Weight: given.Weight}
	for _, w := range given.WeightDevice {
		out.Weights = append(out.Weights, spec.Throttle{Path: w.Path, Rate: uint64(w.Weight)})
	}
	for _, pair := range []struct {
		from []types.ThrottleDevice
		to   *[]spec.Throttle
	}{{given.DeviceReadBps, &out.ReadBps}, {given.DeviceReadIOps, &out.ReadIOps}, {given.DeviceWriteBps, &out.WriteBps}, {given.DeviceWriteIOps, &out.WriteIOps}} {
		for _, d := range pair.from {
			*pair.to = append(*pair.to, spec.Throttle{Path: d.Path, Rate: uint64(max(0, d.Rate))})
		}
	}
	return out
}

func renderBlockIO(b *spec.BlockIO) any {
	if b == nil {
		return nil
	}
	out := section{}
	put(out, "weight", int(b.Weight))
	for _, group := range []struct {
		key, word string
		list      []spec.Throttle
	}{
		{"weight_device", "weight", b.Weights}, {"device_read_bps", "rate", b.ReadBps}, {"device_read_iops", "rate", b.ReadIOps},
		{"device_write_bps", "rate", b.WriteBps}, {"device_write_iops", "rate", b.WriteIOps},
	} {
		var list []any
		for _, t := range group.list {
			list = append(list, section{"path": escape(t.Path), group.word: t.Rate})
		}
		put(out, group.key, list)
	}
	return out
}

// securityOptions reads the seccomp profiles that security_opt names, as docker's own
// client does: the engine takes their content.
func (c *converter) securityOptions(path string, from types.ServiceConfig, s *spec.Service) error {
	for i, option := range from.SecurityOpt {
		profile, isSeccomp := strings.CutPrefix(option, "seccomp=")
		if !isSeccomp {
			profile, isSeccomp = strings.CutPrefix(option, "seccomp:")
		}
		if isSeccomp && profile != "unconfined" && profile != "builtin" && !strings.HasPrefix(profile, "{") {
			content, err := os.ReadFile(absolute(c.dir, filepath.FromSlash(profile)))
			var packed bytes.Buffer
			if err == nil {
				err = json.Compact(&packed, content)
			}
			if err != nil {
				return &spec.Problem{Where: path + ".security_opt." + strconv.Itoa(i), What: fmt.Sprintf("the seccomp profile %s cannot be read: %s", profile, reason(err)), Fix: "name a JSON file, or unconfined"}
			}
			option = "seccomp=" + packed.String()
		}
		s.Container.Security.Options = append(s.Container.Security.Options, option)
	}
	return nil
}
