package compose

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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

func renderExtension(s spec.Service) section {
	out := section{
		"engine":       string(s.Engine),
		"balance":      s.Balance.Policy,
		"max_fails":    s.Balance.MaxFails,
		"fail_timeout": s.Balance.FailTimeout.String(),
		"slow_start":   s.Balance.SlowStart.String(),
		"max_conns":    s.Balance.MaxConns,
		"probe":        renderProbe(s.Health),
		"on_unhealthy": unhealthyWord(s.Health),
		"node":         string(s.NodeMode),
		"relay":        renderRelay(s.Relay),
		"hold":         s.Forward.Hold.String(),
		"timeouts": durations(map[string]time.Duration{
			"header": s.Forward.HeaderTimeout, "idle": s.Forward.IdleTimeout,
			"connect": s.Forward.ConnectTimeout, "answer": s.Forward.AnswerTimeout, "drain": s.Stop.Drain, "websockets": s.Forward.WebSockets,
			"write": s.Forward.WriteTimeout, "retry": s.Forward.RetryTimeout,
		}),
		"limits":     renderLimits(s.Limits),
		"event_loop": renderEventLoop(s.EventLoop),
		"restart":    renderRestart(s.Restart),
	}
	if s.Command.StdinOpen {
		out["stdin"] = "open"
	}
	if s.ClientAddress != spec.ClientSocket {
		out["client_address"] = string(s.ClientAddress)
	}
	if s.Balance.Weight != 1 {
		out["weight"] = s.Balance.Weight
	}
	if s.Pool != "" {
		renderJoined(s, out)
		return out
	}
	renderForward(s, out)
	if s.TLS.Enabled() {
		out["tls"] = renderTLS(s.TLS)
	}
	if len(s.Routes) > 0 {
		out["routes"] = renderRoutes(s.Routes)
	}
	if l := s.AccessLog; l.Format != "" {
		out["access_log"] = section{"format": l.Format, "file": escape(l.File), "sample": l.Sample}
	}
	if s.Restart.Condition == spec.RestartServing {
		delete(out, "restart") // nothing of it was given, and giving it means always
	}
	if len(s.Servers) > 0 {
		out["servers"] = renderServers(s.Servers)
	}
	if s.Container != nil && s.Container.Workers != "" {
		out["workers"] = s.Container.Workers
	}
	return out
}

func renderRelay(names []string) any {
	switch {
	case len(names) == 0:
		return "auto"
	case slices.Contains(names, spec.RelayOff):
		return "off"
	}
	return names
}

// renderForward adds what of the way through the proxy is not as usual.
func renderForward(s spec.Service, out section) {
	switch {
	case s.Balance.Sticky != "":
		out["sticky"] = section{"cookie": escape(s.Balance.Sticky)}
	case !s.Forward.Sessions:
		out["sticky"] = "off"
	}
	if len(s.Forward.TrustedProxies) > 0 {
		out["trusted_proxies"] = s.Forward.TrustedProxies
	}
	if s.Forward.Recall {
		out["recall"] = true
	}
	if s.Forward.ProxyProtocol {
		out["proxy_protocol"] = true
	}
	if s.Forward.SendProxy != "" {
		out["send_proxy"] = string(s.Forward.SendProxy)
	}
	if s.Forward.Upstream != spec.UpstreamHTTP1 {
		out["upstream"] = string(s.Forward.Upstream)
	}
}

func renderLimits(l spec.Limits) section {
	return section{
		"body": l.Body, "header": l.Header, "connections": l.Connections, "connections_per_address": l.ConnectionsPerAddress,
		"min_rate": l.MinRate, "queue": l.Queue, "queue_timeout": l.QueueTimeout.String(),
	}
}

func renderTLS(t spec.TLS) section {
	out := section{"min_version": cmp.Or(t.MinVersion, "1.2")}
	var pairs []any
	for _, c := range t.Certificates {
		pairs = append(pairs, section{"cert": escape(c.Cert), "key": escape(c.Key)})
	}
	if len(pairs) > 0 {
		out["certificates"] = pairs
	}
	if len(t.Domains) > 0 {
		out["domains"] = t.Domains
	}
	for name, value := range map[string]string{"email": t.Email, "ca": t.CA, "hsts": t.HSTS} {
		if value != "" {
			out[name] = escape(value)
		}
	}
	switch {
	case t.NoRedirect:
		out["redirect"] = false
	case len(t.PlainPorts) > 0:
		out["redirect"] = t.PlainPorts
	}
	if t.HTTP3 {
		out["http3"] = true
	}
	return out
}

// renderJoined leaves out what the pool's owner says.
func renderJoined(s spec.Service, out section) {
	out["pool"] = s.Pool
	for _, key := range spec.PoolKeys() {
		delete(out, key)
	}
	out["timeouts"] = section{"drain": s.Stop.Drain.String()}
	if len(s.Servers) > 0 {
		out["servers"] = renderServers(s.Servers)
	}
}

func renderRoutes(routes []spec.Route) []any {
	var list []any
	for _, r := range routes {
		route := section{"path": escape(r.Path)}
		if r.Host != "" {
			route["host"] = escape(r.Host)
		}
		if r.StripPrefix {
			route["strip_prefix"] = true
		}
		list = append(list, route)
	}
	return list
}

func renderProbe(h spec.Health) section {
	out := section{"passes": h.Passes}
	if h.HTTP != "" {
		out["http"] = escape(h.HTTP)
	}
	if h.TCP {
		out["tcp"] = true
	}
	if h.Loop {
		out["loop"] = true
	}
	return out
}

func renderEventLoop(l spec.EventLoop) section {
	out := section{"monitor": l.Monitor}
	if l.UnhealthyAfter != nil {
		out["unhealthy_after"] = l.UnhealthyAfter.String()
	}
	return out
}

func unhealthyWord(h spec.Health) string {
	if h.Replace {
		return "restart"
	}
	return "none"
}

func renderRestart(r spec.Restart) section {
	out := durations(map[string]time.Duration{
		"delay": r.Delay, "max_delay": r.MaxDelay, "reset_after": r.ResetAfter, "window": r.Window, "failed_retry": r.FailedRetry,
	})
	out["jitter"] = r.Jitter
	out["budget"] = r.Budget
	return out
}

func renderServers(servers []spec.Server) []any {
	var list []any
	for _, s := range servers {
		list = append(list, section{
			"address": escape(s.Address), "weight": s.Weight, "max_fails": s.MaxFails,
			"fail_timeout": s.FailTimeout.String(), "max_conns": s.MaxConns, "backup": s.Backup, "down": s.Down,
		})
	}
	return list
}

func durations(values map[string]time.Duration) section {
	out := section{}
	for key, d := range values {
		out[key] = d.String()
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
