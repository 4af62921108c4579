package compose

import (
	"reflect"
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
	for _, key := range plainKeys() {
		put(out, key.name, key.write(c))
	}
	renderPull(c, out)
	out["healthcheck"] = renderGiven(c.Healthcheck, s.Health.Disabled)
	logging := section{"options": section{}}
	put(logging, "driver", c.Log.Driver)
	put(logging, "options", escapeMap(c.Log.Options))
	out["logging"] = logging
	if c.Build != nil {
		out["build"] = renderBuild(*c.Build, d)
	}
	put(out, "security_opt", escapeAll(c.Security.Options))
	renderHostPorts(c, out)
	renderNetworks(c.Network, out, d)
	renderMounts(c, out, d)
	renderFiles(c, out, d)
	renderResources(c.Resources, out)
}

// put sets what is not empty.
func put(out section, key string, value any) {
	v := reflect.ValueOf(value)
	if !v.IsValid() || v.IsZero() || (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0 {
		return
	}
	if d, isDuration := value.(time.Duration); isDuration {
		value = d.String()
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
