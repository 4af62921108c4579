package docker

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// target is a port inside a container that bulsa connects to.
type target struct {
	key    engine.Port
	number int
}

// targets are the ports to wait for and to balance over. A publication without
// a target means the one port that the image exposes. What is checked from
// outside but not published is reached at its exposed port.
func targets(s spec.Service, exposed []int) []target {
	var out []target
	for i, p := range s.Ports {
		number := p.Target
		if number == 0 {
			number = p.Published
			if len(exposed) == 1 {
				number = exposed[0]
			}
		}
		key := engine.Main
		if i > 0 && p.Target != 0 && p.Target != s.Ports[0].Target {
			key = engine.Port(strconv.Itoa(p.Target))
		}
		t := target{key, number}
		if number != 0 && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	if len(s.Ports) == 0 && (s.Health.HTTP != "" || s.Health.TCP) {
		if all := append(slices.Clone(s.Container.Expose), exposed...); len(all) > 0 {
			out = append(out, target{engine.Main, all[0]})
		}
	}
	return out
}

// exposedPorts are the TCP ports that the image and the service expose, ascending.
func exposedPorts(c container.InspectResponse) []int {
	var out []int
	for p := range c.Config.ExposedPorts {
		if p.Proto() == network.TCP {
			out = append(out, int(p.Num()))
		}
	}
	slices.Sort(out)
	return out
}

// address is where a port of the container is reached; empty while it has none.
func address(c container.InspectResponse, s spec.Service, number int, loopback bool) string {
	mode := c.HostConfig.NetworkMode
	switch {
	case mode.IsHost():
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
	case loopback:
		return bound(c.NetworkSettings.Ports, number)
	}
	if ip := firstAddress(c.NetworkSettings.Networks, s.Container.Network.Networks); ip.IsValid() {
		return net.JoinHostPort(ip.String(), strconv.Itoa(number))
	}
	return ""
}

// bound is the address on the host that Docker leads to a port.
func bound(ports network.PortMap, number int) string {
	for p, bindings := range ports {
		if p.Proto() != network.TCP || int(p.Num()) != number || len(bindings) == 0 {
			continue
		}
		host := bindings[0].HostIP
		if !host.IsValid() || host.IsUnspecified() {
			host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		return net.JoinHostPort(host.String(), bindings[0].HostPort)
	}
	return ""
}

// firstAddress prefers the networks in the order of the file.
func firstAddress(networks map[string]*network.EndpointSettings, wanted []spec.Network) netip.Addr {
	names := make([]string, 0, len(networks))
	for _, n := range wanted {
		names = append(names, n.Name)
	}
	for name := range networks {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names[len(wanted):])
	for _, name := range names {
		e := networks[name]
		if e == nil {
			continue
		}
		if e.IPAddress.IsValid() {
			return e.IPAddress
		}
		if e.GlobalIPv6Address.IsValid() {
			return e.GlobalIPv6Address
		}
	}
	return netip.Addr{}
}

// exitOf is how a container ended. Docker tells a signal by 128 and its number
// only, as a shell does.
func exitOf(state *container.State) engine.Exit {
	x := engine.Exit{Code: state.ExitCode}
	if name := engine.SignalName(unix.Signal(state.ExitCode - 128)); state.ExitCode > 128 && name != "" {
		x.Code, x.Signal = -1, name
		x.OOM = state.OOMKilled && name == "SIGKILL"
	}
	if state.Error != "" {
		x.Cause = state.Error
	}
	return x
}

// healthOf is Docker's own opinion; ok is false where it makes no checks.
func healthOf(state *container.State) (h engine.Health, ok bool) {
	if state.Health == nil || state.Health.Status == container.NoHealthcheck || state.Health.Status == "" {
		return h, false
	}
	h = engine.Health{Status: string(state.Health.Status), Streak: state.Health.FailingStreak}
	for _, r := range state.Health.Log {
		if r != nil {
			h.Log = append(h.Log, engine.Check{Start: r.Start, End: r.End, ExitCode: r.ExitCode, Output: r.Output})
		}
	}
	slices.SortStableFunc(h.Log, func(a, b engine.Check) int { return a.End.Compare(b.End) })
	return h, true
}

// sameHealth reports whether b tells nothing that a does not.
func sameHealth(a, b engine.Health) bool {
	last := func(h engine.Health) time.Time {
		if len(h.Log) == 0 {
			return time.Time{}
		}
		return h.Log[len(h.Log)-1].End
	}
	return a.Status == b.Status && a.Streak == b.Streak && cmp.Compare(last(a).UnixNano(), last(b).UnixNano()) == 0
}

// glance is what a listing tells of a container: when it differs from what is
// known, the container is looked at in full.
func glance(c container.Summary) string {
	text := string(c.State) + " " + healthWord(c.Status)
	if c.NetworkSettings != nil {
		names := make([]string, 0, len(c.NetworkSettings.Networks))
		for name, e := range c.NetworkSettings.Networks {
			names = append(names, name+"="+e.IPAddress.String()+"/"+e.GlobalIPv6Address.String())
		}
		slices.Sort(names)
		for _, name := range names {
			text += " " + name
		}
	}
	return text
}

// healthWord is the end of Docker's STATUS text: "Up 3 minutes (healthy)".
func healthWord(status string) string {
	for _, word := range []string{"(healthy)", "(unhealthy)", "(health: starting)"} {
		if len(status) >= len(word) && status[len(status)-len(word):] == word {
			return word
		}
	}
	return ""
}
