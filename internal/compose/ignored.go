package compose

import (
	"fmt"
	"slices"
	"strings"

	"bulsa/internal/spec"
)

// ignored warns of every key that Compose allows and that has no effect on
// the services of p, in the order of the file.
func (s *source) ignored(p spec.Project) []spec.Warning {
	type finding struct {
		at      position
		message string
	}
	var findings []finding
	for path, at := range s.values {
		if message := ignoredKey(path, p); message != "" {
			findings = append(findings, finding{at, message})
		}
	}
	slices.SortFunc(findings, func(a, b finding) int {
		if a.at.file != b.at.file {
			return strings.Compare(a.at.file, b.at.file)
		}
		if a.at.line != b.at.line {
			return a.at.line - b.at.line
		}
		return strings.Compare(a.message, b.message)
	})
	var warnings []spec.Warning
	for _, f := range findings {
		warnings = append(warnings, spec.Warning{Where: f.at.String(), Message: f.message})
	}
	return warnings
}

// ignoredKey is the warning about one key, or empty.
func ignoredKey(path string, p spec.Project) string {
	switch path {
	case "jobs", "models":
		return fmt.Sprintf("%s is ignored: they are not part of this version", path)
	case "networks", "volumes", "secrets", "configs":
		if !slices.ContainsFunc(p.Services, func(s spec.Service) bool { return s.Engine == spec.EngineDocker }) {
			return fmt.Sprintf("%s is ignored: there are no containers", path)
		}
	}
	rest, inService := strings.CutPrefix(path, "services.")
	if !inService {
		return ""
	}
	for _, s := range p.Services {
		key, found := strings.CutPrefix(rest, s.Name+".")
		if !found {
			continue
		}
		switch s.Engine {
		case spec.EngineExternal:
			return ignoredByExternal(s.Name, key)
		case spec.EngineDocker:
			return ignoredByContainer(s.Name, key)
		}
		return ignoredByProcess(s.Name, key)
	}
	return ""
}

func ignoredByProcess(service, key string) string {
	if reason, known := notYet(key); known {
		return fmt.Sprintf("%s of service %s is ignored: %s", key, service, reason)
	}
	if strings.Contains(key, ".") || strings.HasPrefix(key, "x-") || understood(key) {
		return ""
	}
	return fmt.Sprintf("%s of service %s is ignored: it has no meaning for a process", key, service)
}

// ignoredByContainer names what Compose knows and bulsa does not ask Docker for.
func ignoredByContainer(service, key string) string {
	reason := ""
	switch key {
	case "deploy.resources", "deploy.resources.limits", "deploy.resources.reservations.memory":
		return ""
	case "container_name":
		reason = "bulsa names its containers PROJECT-SERVICE-N"
	case "deploy.resources.reservations.cpus", "deploy.resources.reservations.devices", "deploy.resources.reservations.generic_resources",
		"blkio_config", "cgroup", "cgroup_parent", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime",
		"credential_spec", "device_cgroup_rules", "external_links", "gpus", "isolation", "links", "mac_address", "mem_swappiness",
		"oom_kill_disable", "post_start", "pre_start", "pre_stop", "pull_refresh_after", "stdin_open", "storage_opt", "tty",
		"use_api_socket", "uts", "volumes_from", "models", "provider", "attach", "umask":
		reason = "it is not part of this version"
	case "deploy.mode", "deploy.endpoint_mode", "deploy.placement":
		reason = "only a swarm knows it"
	default:
		reason, _ = notYet(key)
	}
	if reason == "" {
		return ""
	}
	return fmt.Sprintf("%s of service %s is ignored: %s", key, service, reason)
}

// ignoredByExternal: of servers that somebody else runs, only ports, checks
// and x-bulsa say anything.
func ignoredByExternal(service, key string) string {
	if strings.Contains(key, ".") || strings.HasPrefix(key, "x-") {
		return ""
	}
	switch key {
	case "ports", "healthcheck", "depends_on", "profiles", "labels", "extends", "command", "entrypoint", "annotations", "expose":
		return ""
	}
	return fmt.Sprintf("%s of service %s is ignored: somebody else runs its servers", key, service)
}

// understood are the keys of a service that have an effect, or whose absence
// of one surprises nobody.
func understood(key string) bool {
	switch key {
	case "command", "entrypoint", "working_dir", "environment", "env_file", "user", "ports", "expose",
		"healthcheck", "deploy", "scale", "restart", "stop_signal", "stop_grace_period", "depends_on",
		"init", "logging", "profiles", "build", "develop", "labels", "label_file", "annotations", "extends":
		return true
	}
	return false
}

// notYet are nested keys that are valid but have no effect in this version.
func notYet(key string) (reason string, known bool) {
	const process = "it has no meaning for a process"
	switch key {
	case "develop.watch":
		return "files are not watched in this version", true
	case "deploy.resources":
		return "limits are not enforced on processes", true
	case "deploy.rollback_config":
		return "a failed deploy keeps the old workers", true
	case "deploy.update_config.failure_action", "deploy.update_config.monitor", "deploy.update_config.max_failure_ratio":
		return "a new worker must prove its health before an old one goes", true
	case "deploy.mode", "deploy.endpoint_mode", "deploy.placement":
		return process, true
	}
	return "", false
}
