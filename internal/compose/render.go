package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"bulsa/internal/spec"
)

// Render writes the resolved configuration in Compose's shape, as "yaml" or
// "json". Loading it again gives services with the same digests, if nothing
// else is inherited: every default is spelled out, and $ is doubled.
func Render(p spec.Project, format string) ([]byte, error) {
	services := make(section, len(p.Services))
	d := shared{networks: section{}, volumes: section{}, secrets: section{}, configs: section{}}
	for _, s := range p.Services {
		services[s.Name] = renderService(s, d)
	}
	doc := section{"name": p.Name, "services": services}
	d.addTo(doc)
	switch format {
	case "yaml":
		var out bytes.Buffer
		encoder := yaml.NewEncoder(&out)
		encoder.SetIndent(2)
		if err := encoder.Encode(doc); err != nil {
			return nil, fmt.Errorf("cannot write the configuration as YAML: %w", err)
		}
		return out.Bytes(), encoder.Close()
	case "json":
		out, err := json.MarshalIndent(doc, "", "  ")
		return append(out, '\n'), err
	}
	return nil, &spec.Problem{Where: "--format", What: fmt.Sprintf("%q is not a format", format), Fix: "use yaml or json"}
}

// section is one mapping of the rendered file.
type section = map[string]any

func renderService(s spec.Service, d shared) section {
	out := section{
		"healthcheck": renderHealth(s.Health),
		"x-bulsa":     renderExtension(s),
	}
	if s.Pool != "" {
		if target := s.Ports[0].Target; target != 0 && s.Engine == spec.EngineProcess { // a container renders its own
			out["expose"] = []string{strconv.Itoa(target)}
		}
	} else if len(s.Ports) > 0 {
		out["ports"] = renderPorts(s.Ports)
	}
	if len(s.DependsOn) > 0 {
		dependencies := section{}
		for _, d := range s.DependsOn {
			dependencies[d.Service] = section{"condition": d.Condition, "restart": d.Restart, "required": d.Required}
		}
		out["depends_on"] = dependencies
	}
	switch s.Engine {
	case spec.EngineProcess:
		renderProcess(s, out)
		renderCommand(s.Command, out)
	case spec.EngineDocker:
		renderContainer(s, out, d)
	}
	return out
}

// renderProcess adds what only the life of a process has.
func renderProcess(s spec.Service, out section) {
	out["deploy"] = renderDeploy(s)
	out["stop_signal"] = s.Stop.Signal
	out["stop_grace_period"] = s.Stop.Grace.String()
	out["logging"] = section{"options": section{
		"max-size": strconv.FormatInt(s.Logs.MaxSize, 10),
		"max-file": strconv.Itoa(s.Logs.MaxFiles),
	}}
}

func renderCommand(c spec.Command, out section) {
	out["command"] = escapeAll(c.Args)
	out["working_dir"] = escape(c.Dir)
	if len(c.Env) > 0 {
		environment := section{}
		for name, value := range spec.Environment(c.Env) {
			environment[escape(name)] = escape(value)
		}
		out["environment"] = environment
	}
	if c.User != "" {
		out["user"] = escape(c.User)
	}
	if c.Init {
		out["init"] = true
	}
}

func renderPorts(ports []spec.Port) []any {
	var list []any
	for _, p := range ports {
		port := section{"target": p.Target, "published": strconv.Itoa(p.Published)}
		if p.Host != "" {
			port["host_ip"] = p.Host
		}
		if p.Protocol != spec.ProtocolAuto {
			port["app_protocol"] = string(p.Protocol)
		}
		list = append(list, port)
	}
	return list
}

func renderHealth(h spec.Health) section {
	out := section{
		"interval":       h.Interval.String(),
		"timeout":        h.Timeout.String(),
		"retries":        h.Retries,
		"start_interval": h.StartInterval.String(),
	}
	if h.StartPeriod > 0 {
		out["start_period"] = h.StartPeriod.String()
	} else if h.StartInterval == spec.NewService("").Health.StartInterval {
		delete(out, "start_interval") // without a start_period it only raises a warning
	}
	if h.Disabled {
		out["disable"] = true
	}
	if len(h.Test) > 0 {
		out["test"] = escapeAll(h.Test)
	}
	return out
}

func renderDeploy(s spec.Service) section {
	update := section{"parallelism": s.Update.Parallelism, "delay": s.Update.Delay.String()}
	if s.Update.Order != "" {
		update["order"] = string(s.Update.Order)
	}
	out := section{"replicas": s.Replicas, "update_config": update}
	if s.Restart.Condition != spec.RestartServing { // else its runs decide: nothing that Compose could say
		out["restart_policy"] = section{"condition": string(s.Restart.Condition), "max_attempts": s.Restart.MaxAttempts}
	}
	return out
}

// escape keeps Compose from interpolating a text.
func escape(text string) string {
	return strings.ReplaceAll(text, "$", "$$")
}

func escapeAll(list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = escape(text)
	}
	return out
}
