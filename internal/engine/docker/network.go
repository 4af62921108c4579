package docker

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"bulsa/internal/spec"
)

func fileMode(mode uint32) fs.FileMode { return fs.FileMode(mode) }

// ensure makes the networks and volumes that a container needs and that nobody
// has made yet.
func (c *connection) ensure(ctx context.Context, project string, s spec.Service) error {
	for _, n := range s.Container.Network.Networks {
		if err := c.ensureNetwork(ctx, project, n); err != nil {
			return err
		}
	}
	for _, m := range s.Container.Mounts {
		if m.Type != "volume" || m.Key == "" {
			continue
		}
		if err := c.ensureVolume(ctx, project, m); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) ensureNetwork(ctx context.Context, project string, n spec.Network) error {
	_, err := c.NetworkInspect(ctx, n.Name, client.NetworkInspectOptions{})
	switch {
	case err == nil:
		return nil
	case !errdefs.IsNotFound(err):
		return fmt.Errorf("cannot look at network %s: %w", n.Name, err)
	case n.External:
		return fmt.Errorf("network %s is external and does not exist: create it, as with docker network create %s", n.Name, n.Name)
	}
	options := client.NetworkCreateOptions{Driver: n.Driver, Internal: n.Internal, Attachable: n.Open, Options: n.Options, Labels: ownLabels(n.Labels, project)}
	options.Labels[composeNetwork] = n.Key
	if n.WithIPv6 {
		options.EnableIPv6 = &n.WithIPv6
	}
	if n.NoIPv4 {
		options.EnableIPv4 = new(bool)
	}
	if options.IPAM, err = addressing(n); err != nil {
		return err
	}
	if _, err := c.NetworkCreate(ctx, n.Name, options); err != nil && !errdefs.IsConflict(err) { // another worker was faster
		return fmt.Errorf("cannot create network %s: %w", n.Name, err)
	}
	return nil
}

func addressing(n spec.Network) (*network.IPAM, error) {
	if len(n.Subnets) == 0 && n.IPAM.Driver == "" && len(n.IPAM.Options) == 0 {
		return nil, nil
	}
	out := &network.IPAM{Driver: n.IPAM.Driver, Options: n.IPAM.Options}
	for _, s := range n.Subnets {
		pool := network.IPAMConfig{}
		var err error
		if s.Subnet != "" {
			if pool.Subnet, err = netip.ParsePrefix(s.Subnet); err != nil {
				return nil, fmt.Errorf("networks.%s.ipam: %w", n.Key, err)
			}
		}
		if s.IPRange != "" {
			if pool.IPRange, err = netip.ParsePrefix(s.IPRange); err != nil {
				return nil, fmt.Errorf("networks.%s.ipam: %w", n.Key, err)
			}
		}
		if s.Gateway != "" {
			if pool.Gateway, err = netip.ParseAddr(s.Gateway); err != nil {
				return nil, fmt.Errorf("networks.%s.ipam: %w", n.Key, err)
			}
		}
		for name, text := range s.Aux {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("networks.%s.ipam.aux_addresses: %w", n.Key, err)
			}
			if pool.AuxAddress == nil {
				pool.AuxAddress = map[string]netip.Addr{}
			}
			pool.AuxAddress[name] = addr
		}
		out.Config = append(out.Config, pool)
	}
	return out, nil
}

func (c *connection) ensureVolume(ctx context.Context, project string, m spec.Mount) error {
	if m.External {
		if _, err := c.VolumeInspect(ctx, m.Source, client.VolumeInspectOptions{}); err != nil {
			return fmt.Errorf("volume %s is external and cannot be used: %w", m.Source, err)
		}
		return nil
	}
	options := client.VolumeCreateOptions{Name: m.Source, Driver: m.Driver, DriverOpts: m.Options, Labels: ownLabels(m.Labels, project)}
	options.Labels[composeVolume] = m.Key
	if _, err := c.VolumeCreate(ctx, options); err != nil { // one that exists is as good
		return fmt.Errorf("cannot create volume %s: %w", m.Source, err)
	}
	return nil
}

func ownLabels(given map[string]string, project string) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, given)
	labels[labelProject], labels[composeProject] = project, project
	return labels
}

// removeNetworks removes those that were made for the project and that nothing
// else uses. Volumes stay: they hold data.
func (c *connection) removeNetworks(ctx context.Context, project string) error {
	list, err := c.NetworkList(ctx, client.NetworkListOptions{Filters: ofProject(project)})
	if err != nil {
		return fmt.Errorf("cannot list the project's networks: %w", err)
	}
	for _, n := range list.Items {
		if _, err := c.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsPermissionDenied(err) && !errdefs.IsConflict(err) {
			return fmt.Errorf("cannot remove network %s: %w", n.Name, err)
		}
	}
	return nil
}

func ofProject(project string) client.Filters {
	return client.Filters{}.Add("label", labelProject+"="+project)
}
