package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"bulsa/internal/spec"
)

// suggestion is what to change about an unknown key.
func suggestion(key string, known []string) string {
	if near := spec.Nearest(key, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 || len(known) > 25 {
		return "remove it"
	}
	return "known are " + strings.Join(known, ", ")
}

// serviceSuggestion is what to change about a key that Compose does not have in a
// service: the word is bulsa's own, another program's, or misspelled. To begin it
// with x- is no advice: that would switch it off.
func serviceSuggestion(key string, known []string) string {
	own := slices.Sorted(maps.Keys((&converter{}).extensionKeys(types.ServiceConfig{}, &spec.Service{})))
	if slices.Contains(own, key) {
		return fmt.Sprintf("did you mean x-bulsa: {%s: ...}?", key)
	}
	if there := elsewhere(key); there != "" {
		return fmt.Sprintf("did you mean %s?", there)
	}
	if near := spec.Nearest(key, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if near := spec.Nearest(key, own); near != "" {
		return fmt.Sprintf("did you mean x-bulsa: {%s: ...}?", near)
	}
	return "remove it (docs/configuration.md has all keys)"
}

// elsewhere is where Compose has what PM2, Docker's flags, Kubernetes and old
// Compose files call by another name, or put in another place.
func elsewhere(key string) string {
	switch strings.ToLower(strings.ReplaceAll(key, "-", "_")) {
	case "replicas", "instances", "count":
		return "deploy: {replicas: N}"
	case "env", "envs", "environments":
		return `"environment"`
	case "memory", "mem", "max_memory_restart":
		return "mem_limit, or deploy: {resources: {limits: {memory: ...}}}"
	case "cpu":
		return `"cpus"`
	case "limits", "resources":
		return "deploy: {resources: ...}"
	case "cmd", "script", "args", "run", "exec":
		return `"command"`
	case "cwd", "workdir", "dir":
		return `"working_dir"`
	case "health", "health_check", "livenessprobe", "readinessprobe":
		return `"healthcheck"`
	case "autorestart", "restart_policy":
		return "restart, or deploy: {restart_policy: ...}"
	case "update_config", "placement":
		return fmt.Sprintf("deploy: {%s: ...}", key)
	case "kill_timeout", "grace_period":
		return `"stop_grace_period"`
	case "name":
		return `"container_name"`
	case "dockerfile":
		return "build: {dockerfile: ...}"
	case "net":
		return `"network_mode"`
	}
	return ""
}

// firstVersion reads what the schema says of a file of Compose's first version,
// whose services stand at the top.
func (s *source) firstVersion() *spec.Problem {
	if s.values["services"].line != 0 {
		return nil
	}
	first, least := "", 0
	for path, at := range s.values {
		name, key, below := strings.Cut(path, ".")
		if below && slices.Contains([]string{"image", "build", "command", "ports"}, key) && (first == "" || at.line < least) {
			first, least = name, at.line
		}
	}
	if first == "" {
		return nil
	}
	return &spec.Problem{
		Where: s.where(first), What: fmt.Sprintf("%q is a service at the top of the file, as in Compose files before version 2", first),
		Fix: "write services: above, and indent what is below it",
	}
}
