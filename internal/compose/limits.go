package compose

import (
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// resources reads what bounds a container: Compose's own fields, then deploy.resources.
func (c *converter) resources(_ string, from types.ServiceConfig, s *spec.Service) error {
	l := &s.Container.Resources
	l.CPUs, l.Memory, l.MemoryReservation, l.PIDs = float64(from.CPUS), int64(from.MemLimit), int64(from.MemReservation), from.PidsLimit
	for _, g := range from.Gpus {
		l.Requests = append(l.Requests, deviceRequest(g, "gpu"))
	}
	if from.Deploy == nil {
		return nil
	}
	if most := from.Deploy.Resources.Limits; most != nil {
		override(&l.CPUs, float64(most.NanoCPUs)) // compose-go's name misleads: it holds CPUs
		override(&l.Memory, int64(most.MemoryBytes))
		override(&l.PIDs, most.Pids)
	}
	if least := from.Deploy.Resources.Reservations; least != nil {
		override(&l.MemoryReservation, int64(least.MemoryBytes))
		for _, d := range least.Devices {
			l.Requests = append(l.Requests, deviceRequest(d))
		}
	}
	return nil
}

// deviceRequest is a request for devices with these capabilities and one more.
func deviceRequest(d types.DeviceRequest, more ...string) spec.DeviceRequest {
	return spec.DeviceRequest{Driver: d.Driver, Count: int(d.Count), IDs: d.IDs, Options: d.Options, Capabilities: append(slices.Clone(d.Capabilities), more...)}
}

func renderResources(l spec.Resources, out section) {
	limits, reservations := section{}, section{}
	if l.CPUs != 0 {
		limits["cpus"] = strconv.FormatFloat(l.CPUs, 'g', -1, 64)
	}
	put(limits, "memory", renderSize(l.Memory))
	put(limits, "pids", l.PIDs)
	put(reservations, "memory", renderSize(l.MemoryReservation))
	put(reservations, "devices", renderRequests(l.Requests))
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
}

func renderRequests(requests []spec.DeviceRequest) []any {
	var out []any
	for _, r := range requests {
		one := section{"capabilities": r.Capabilities}
		put(one, "driver", r.Driver)
		put(one, "count", r.Count)
		put(one, "device_ids", r.IDs)
		put(one, "options", escapeMap(r.Options))
		out = append(out, one)
	}
	return out
}

func renderSize(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
