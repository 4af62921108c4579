package docker

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"

	"bulsa/internal/spec"
)

// networking is the first network; older engines take no more at once.
func (b blueprint) networking() (*network.NetworkingConfig, error) {
	networks := b.launch.Release.Service.Container.Network.Networks
	if len(networks) == 0 {
		return nil, nil
	}
	first := networks[0]
	first.Endpoint.MAC = cmp.Or(first.Endpoint.MAC, b.launch.Release.Service.Container.Network.MAC)
	e, err := b.endpoint(first)
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{networks[0].Name: e}}, err
}

// endpoint joins a network under the service's name, as in Compose.
func (b blueprint) endpoint(n spec.Network) (*network.EndpointSettings, error) {
	e := &network.EndpointSettings{Aliases: b.aliases(n), Links: b.links()}
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
	return e, b.stand(n, e)
}

// aliases are the names under which the containers of a network find this one:
// the service's, as in Compose, and all that the file calls it.
func (b blueprint) aliases(n spec.Network) []string {
	s := b.launch.Release.Service
	names := append([]string{s.Name, b.launch.Worker, b.name(), s.Container.Name, s.Container.Network.Hostname}, n.Aliases...)
	var out []string
	for _, name := range names {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// links are NAME:ALIAS, as the engine wants them: the alias is led to the name
// whenever it is asked for, so that a service stands for all its containers.
func (b blueprint) links() []string {
	var out []string
	n := b.launch.Release.Service.Container.Network
	for _, text := range slices.Concat(n.Links, n.ExternalLinks) {
		name, alias, found := strings.Cut(text, ":")
		if !found {
			alias = name
		}
		out = append(out, name+":"+alias)
	}
	return out
}

// stand fills in how the container stands in a network.
func (b blueprint) stand(n spec.Network, e *network.EndpointSettings) error {
	if n.Endpoint.Nameless {
		e.Aliases = slices.DeleteFunc(e.Aliases, func(alias string) bool { return alias == b.launch.Release.Service.Name })
	}
	e.GwPriority, e.DriverOpts = n.Endpoint.Gateway, maps.Clone(n.Endpoint.Options)
	if n.Endpoint.Interface != "" {
		if e.DriverOpts == nil {
			e.DriverOpts = map[string]string{}
		}
		e.DriverOpts["com.docker.network.endpoint.ifname"] = n.Endpoint.Interface
	}
	if n.Endpoint.MAC != "" {
		mac, err := net.ParseMAC(n.Endpoint.MAC)
		if err != nil {
			return fmt.Errorf("networks.%s: %q is not a MAC address", n.Key, n.Endpoint.MAC)
		}
		e.MacAddress = network.HardwareAddr(mac)
	}
	for _, text := range n.Endpoint.LinkLocal {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("networks.%s: %q is not an address", n.Key, text)
		}
		if e.IPAMConfig == nil {
			e.IPAMConfig = &network.EndpointIPAMConfig{}
		}
		e.IPAMConfig.LinkLocalIPs = append(e.IPAMConfig.LinkLocalIPs, addr)
	}
	return nil
}
