package compose

import (
	"fmt"
	"strconv"
	"time"

	"bulsa/internal/spec"
)

// shared are the parts of a project that its containers refer to by name.
type shared struct{ networks, volumes, secrets, configs section }

func (d shared) addTo(doc section) {
	for key, part := range map[string]section{"networks": d.networks, "volumes": d.volumes, "secrets": d.secrets, "configs": d.configs} {
		if len(part) > 0 {
			doc[key] = part
		}
	}
}

func renderContainer(s spec.Service, out section, d shared) {
	c := s.Container
	renderProcess(s, out)
	renderCommand(s.Command, out)
	delete(out, "stop_signal")
	if len(s.Command.Args) == 0 {
		delete(out, "command")
	}
	if s.Command.Dir == "" {
		delete(out, "working_dir")
	}
	if c.Entrypoint != nil {
		out["entrypoint"] = escapeAll(c.Entrypoint)
	}
	put(out, "image", escape(c.Image))
	put(out, "pull_policy", c.Pull)
	put(out, "platform", c.Platform)
	put(out, "stop_signal", c.StopSignal)
	put(out, "labels", escapeMap(c.Labels))
	put(out, "tmpfs", escapeAll(c.Tmpfs))
	out["healthcheck"] = renderGiven(c.Healthcheck, s.Health.Disabled)
	logging := section{"options": section{}}
	put(logging, "driver", c.Log.Driver)
	put(logging, "options", escapeMap(c.Log.Options))
	out["logging"] = logging
	if c.Build != nil {
		out["build"] = renderBuild(*c.Build, d)
	}
	renderHostPorts(c, out)
	renderNetworking(c.Network, out, d)
	renderMounts(c, out, d)
	renderFiles(c, out, d)
	renderResources(c.Resources, out)
	renderSecurity(c.Security, out)
}

// put sets what is not empty.
func put[T any](out section, key string, value T) {
	switch v := any(value).(type) {
	case string:
		if v == "" {
			return
		}
	case bool:
		if !v {
			return
		}
	case int:
		if v == 0 {
			return
		}
	case int64:
		if v == 0 {
			return
		}
	case float64:
		if v == 0 {
			return
		}
	case uint32:
		if v == 0 {
			return
		}
	case time.Duration:
		if v != 0 {
			out[key] = v.String()
		}
		return
	case []string:
		if len(v) == 0 {
			return
		}
	case map[string]string:
		if len(v) == 0 {
			return
		}
	case []any:
		if len(v) == 0 {
			return
		}
	}
	out[key] = value
}

func escapeMap(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, value := range m {
		out[escape(name)] = escape(value)
	}
	return out
}

// renderGiven leaves out what the image decides.
func renderGiven(h spec.Healthcheck, disabled bool) section {
	out := section{}
	if disabled {
		out["disable"] = true
		return out
	}
	put(out, "test", escapeAll(h.Test))
	put(out, "interval", h.Interval)
	put(out, "timeout", h.Timeout)
	put(out, "retries", h.Retries)
	put(out, "start_period", h.StartPeriod)
	put(out, "start_interval", h.StartInterval)
	return out
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

func renderHostPorts(c *spec.Container, out section) {
	ports, _ := out["ports"].([]any)
	for _, p := range c.HostPorts {
		port := section{"target": p.Target, "mode": "host", "protocol": p.Protocol}
		put(port, "host_ip", p.Host)
		if p.Published != 0 {
			port["published"] = strconv.Itoa(p.Published)
		}
		ports = append(ports, port)
	}
	put(out, "ports", ports)
	var expose []string
	for _, n := range c.Expose {
		expose = append(expose, strconv.Itoa(n))
	}
	put(out, "expose", expose)
}

func renderNetworking(n spec.Networking, out section, d shared) {
	put(out, "network_mode", n.Mode)
	put(out, "hostname", escape(n.Hostname))
	put(out, "domainname", escape(n.DomainName))
	put(out, "extra_hosts", escapeAll(n.ExtraHosts))
	put(out, "dns", n.DNS)
	put(out, "dns_search", n.DNSSearch)
	put(out, "dns_opt", n.DNSOptions)
	uses := section{}
	for i, network := range n.Networks {
		use := section{"priority": len(n.Networks) - i}
		put(use, "aliases", escapeAll(network.Aliases))
		put(use, "ipv4_address", network.IPv4)
		put(use, "ipv6_address", network.IPv6)
		uses[network.Key] = use
		d.networks[network.Key] = renderNetwork(network)
	}
	if len(uses) > 0 {
		out["networks"] = uses
	}
}

func renderNetwork(n spec.Network) section {
	out := section{"name": escape(n.Name)}
	if n.External {
		out["external"] = true
		return out
	}
	put(out, "driver", n.Driver)
	put(out, "driver_opts", escapeMap(n.Options))
	put(out, "labels", escapeMap(n.Labels))
	put(out, "internal", n.Internal)
	put(out, "enable_ipv6", n.WithIPv6)
	var pools []any
	for _, s := range n.Subnets {
		pool := section{}
		put(pool, "subnet", s.Subnet)
		put(pool, "gateway", s.Gateway)
		put(pool, "ip_range", s.IPRange)
		pools = append(pools, pool)
	}
	if len(pools) > 0 {
		out["ipam"] = section{"config": pools}
	}
	return out
}

func renderMounts(c *spec.Container, out section, d shared) {
	var list []any
	for _, m := range c.Mounts {
		mount := section{"type": m.Type, "target": escape(m.Target)}
		put(mount, "source", escape(m.Source))
		put(mount, "read_only", m.ReadOnly)
		switch m.Type {
		case "bind":
			bind := section{"create_host_path": m.Create}
			put(bind, "propagation", m.Spread)
			mount["bind"] = bind
		case "tmpfs":
			memory := section{}
			put(memory, "size", m.Size)
			put(memory, "mode", m.Mode)
			if len(memory) > 0 {
				mount["tmpfs"] = memory
			}
		case "volume":
			if m.NoCopy {
				mount["volume"] = section{"nocopy": true}
			}
			if m.Key == "" {
				break
			}
			mount["source"] = m.Key
			volume := section{"name": escape(m.Source)}
			put(volume, "external", m.External)
			put(volume, "driver", m.Driver)
			put(volume, "driver_opts", escapeMap(m.Options))
			put(volume, "labels", escapeMap(m.Labels))
			d.volumes[m.Key] = volume
		}
		list = append(list, mount)
	}
	put(out, "volumes", list)
}

// renderFiles names the variable that a content comes from, never the value.
func renderFiles(c *spec.Container, out section, d shared) {
	var secrets, configs []any
	for _, f := range c.Files {
		key := fmt.Sprintf("file-%d", len(d.secrets)+len(d.configs)+1) // unlike those of other services
		use := section{"source": key, "target": escape(f.Target), "mode": int(f.Mode), "uid": strconv.Itoa(f.UID), "gid": strconv.Itoa(f.GID)}
		def := section{}
		if f.Variable != "" {
			def["environment"] = escape(f.Variable)
		} else {
			def["content"] = escape(f.Content)
		}
		if f.Secret {
			secrets = append(secrets, use)
			d.secrets[key] = def
		} else {
			configs = append(configs, use)
			d.configs[key] = def
		}
	}
	put(out, "secrets", secrets)
	put(out, "configs", configs)
}

func renderResources(l spec.Resources, out section) {
	limits, reservations := section{}, section{}
	if l.CPUs != 0 {
		limits["cpus"] = strconv.FormatFloat(l.CPUs, 'g', -1, 64)
	}
	put(limits, "memory", renderSize(l.Memory))
	put(limits, "pids", l.PIDs)
	put(reservations, "memory", renderSize(l.MemoryReservation))
	resources := section{}
	if len(limits) > 0 {
		resources["limits"] = limits
	}
	if len(reservations) > 0 {
		resources["reservations"] = reservations
	}
	if deploy, ok := out["deploy"].(section); ok && len(resources) > 0 {
		deploy["resources"] = resources
	}
	put(out, "memswap_limit", l.MemorySwap)
	put(out, "shm_size", l.ShmSize)
	put(out, "cpu_shares", l.CPUShares)
	put(out, "cpuset", l.CPUSet)
	put(out, "oom_score_adj", l.OOMScoreAdjust)
	ulimits := section{}
	for _, u := range l.Ulimits {
		ulimits[u.Name] = section{"soft": u.Soft, "hard": u.Hard}
	}
	if len(ulimits) > 0 {
		out["ulimits"] = ulimits
	}
}

func renderSize(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func renderSecurity(s spec.Security, out section) {
	put(out, "cap_add", s.CapAdd)
	put(out, "cap_drop", s.CapDrop)
	put(out, "security_opt", escapeAll(s.Options))
	put(out, "group_add", s.Groups)
	put(out, "sysctls", s.Sysctls)
	put(out, "privileged", s.Privileged)
	put(out, "read_only", s.ReadOnly)
	put(out, "pid", s.PID)
	put(out, "ipc", s.IPC)
	put(out, "userns_mode", s.UserNS)
	put(out, "runtime", s.Runtime)
	var devices []any
	for _, d := range s.Devices {
		device := section{"source": d.Source, "target": d.Target}
		put(device, "permissions", d.Permissions)
		devices = append(devices, device)
	}
	put(out, "devices", devices)
}
