package compose

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// exposed reads expose, and the ports that Docker itself shall publish.
func (c *converter) exposed(path string, from types.ServiceConfig, s *spec.Service) error {
	for i, text := range from.Expose {
		number, protocol, _ := strings.Cut(text, "/")
		first, last, err := portRange(number)
		if err != nil {
			return spec.At(fmt.Sprintf("%s.expose.%d", path, i), err)
		}
		for n := first; n <= last; n++ {
			if protocol != "" && protocol != "tcp" {
				s.Container.ExposeOther = append(s.Container.ExposeOther, fmt.Sprintf("%d/%s", n, protocol))
			} else {
				s.Container.Expose = append(s.Container.Expose, n)
			}
		}
	}
	for i, p := range from.Ports {
		if p.Mode != "host" && balanced(p) {
			continue
		}
		port := spec.HostPort{Host: p.HostIP, Target: int(p.Target), Protocol: p.Protocol}
		if p.Published != "" {
			first, last, err := portRange(p.Published)
			if err != nil {
				return spec.At(fmt.Sprintf("%s.ports.%d", path, i), err)
			}
			port.Published = first
			if last > first {
				port.Last = last
			}
		}
		s.Container.HostPorts = append(s.Container.HostPorts, port)
	}
	return nil
}

// portRange reads 3000 or 3000-3010.
func portRange(text string) (first, last int, err error) {
	one, other, isRange := strings.Cut(text, "-")
	if !isRange {
		other = one
	}
	a, errA := strconv.ParseUint(one, 10, 16)
	b, errB := strconv.ParseUint(other, 10, 16)
	if errA != nil || errB != nil || b < a || a == 0 && b > 0 {
		return 0, 0, &spec.Problem{What: fmt.Sprintf("%q is not a port", text), Fix: "give a port from 1 to 65535, or a range such as 3000-3010"}
	}
	return int(a), int(b), nil
}

func renderHostPorts(c *spec.Container, out section) {
	ports, _ := out["ports"].([]any)
	for _, p := range c.HostPorts {
		port := section{"target": p.Target, "mode": "host", "protocol": p.Protocol}
		put(port, "host_ip", p.Host)
		if p.Published != 0 {
			port["published"] = strconv.Itoa(p.Published)
		}
		if p.Last != 0 {
			port["published"] = fmt.Sprintf("%d-%d", p.Published, p.Last)
		}
		ports = append(ports, port)
	}
	put(out, "ports", ports)
	var expose []string
	for _, n := range c.Expose {
		expose = append(expose, strconv.Itoa(n))
	}
	put(out, "expose", append(expose, c.ExposeOther...))
}

// networks fills in the networks of a service that has any.
func (c *converter) networks(_ string, from types.ServiceConfig, s *spec.Service) error {
	if from.NetworkMode != "" {
		return nil
	}
	for _, key := range from.NetworksByPriority() {
		s.Container.Network.Networks = append(s.Container.Network.Networks, c.network(key, from.Networks[key]))
	}
	return nil
}

// borrowed checks who else's namespaces and volumes a container uses.
func (c *converter) borrowed(path string, from types.ServiceConfig, _ *spec.Service) error {
	uses := map[string]string{"network_mode": from.NetworkMode, "pid": from.Pid, "ipc": from.Ipc}
	for i, text := range from.VolumesFrom {
		if !strings.HasPrefix(text, types.ContainerPrefix) {
			name, _, _ := strings.Cut(text, ":")
			uses[fmt.Sprintf("volumes_from.%d", i)] = types.ServicePrefix + name
		}
	}
	for _, key := range slices.Sorted(maps.Keys(uses)) {
		name, _ := spec.Borrowed(uses[key])
		if name == "" {
			continue
		}
		other, known := c.model.Services[name]
		switch {
		case !known:
			return &spec.Problem{Where: path + "." + key, What: fmt.Sprintf("there is no service %q", name), Fix: "name one of the file's services"}
		case engineOf(other) != spec.EngineDocker:
			return &spec.Problem{Where: path + "." + key, What: fmt.Sprintf("service %q is not a container", name), Fix: "give it an image, or remove " + strings.Split(key, ".")[0]}
		}
	}
	return nil
}

func (c *converter) network(key string, use *types.ServiceNetworkConfig) spec.Network {
	def := c.model.Networks[key]
	n := spec.Network{
		Key: key, Name: def.Name, External: bool(def.External), Internal: def.Internal, Driver: def.Driver,
		Options: def.DriverOpts, Labels: def.Labels, WithIPv6: def.EnableIPv6 != nil && *def.EnableIPv6,
		NoIPv4: def.EnableIPv4 != nil && !*def.EnableIPv4, Open: def.Attachable, IPAM: spec.IPAM{Driver: def.Ipam.Driver, Options: def.Ipam.Options},
	}
	for _, pool := range def.Ipam.Config {
		n.Subnets = append(n.Subnets, spec.Subnet{Subnet: pool.Subnet, Gateway: pool.Gateway, IPRange: pool.IPRange, Aux: pool.AuxiliaryAddresses})
	}
	if use != nil {
		n.Aliases, n.IPv4, n.IPv6 = use.Aliases, use.Ipv4Address, use.Ipv6Address
		n.Endpoint = spec.Endpoint{
			MAC: use.MacAddress, LinkLocal: use.LinkLocalIPs, Gateway: use.GatewayPriority, Interface: use.InterfaceName,
			Options: use.DriverOpts, Nameless: use.UseServiceNameAlias != nil && !*use.UseServiceNameAlias,
		}
	}
	return n
}

func renderNetworks(n spec.Networking, out section, d shared) {
	uses := section{}
	for i, network := range n.Networks {
		use := section{"priority": len(n.Networks) - i}
		put(use, "aliases", escapeAll(network.Aliases))
		put(use, "ipv4_address", network.IPv4)
		put(use, "ipv6_address", network.IPv6)
		put(use, "mac_address", network.Endpoint.MAC)
		put(use, "link_local_ips", network.Endpoint.LinkLocal)
		put(use, "gw_priority", network.Endpoint.Gateway)
		put(use, "interface_name", network.Endpoint.Interface)
		put(use, "driver_opts", escapeMap(network.Endpoint.Options))
		if network.Endpoint.Nameless {
			use["use_service_name_alias"] = false
		}
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
	put(out, "attachable", n.Open)
	if n.NoIPv4 {
		out["enable_ipv4"] = false
	}
	var pools []any
	for _, s := range n.Subnets {
		pool := section{}
		put(pool, "subnet", s.Subnet)
		put(pool, "gateway", s.Gateway)
		put(pool, "ip_range", s.IPRange)
		put(pool, "aux_addresses", s.Aux)
		pools = append(pools, pool)
	}
	ipam := section{}
	put(ipam, "config", pools)
	put(ipam, "driver", n.IPAM.Driver)
	put(ipam, "options", escapeMap(n.IPAM.Options))
	put(out, "ipam", ipam)
	return out
}
