package spec

import (
	"maps"
	"slices"
	"strings"
)

// Environment turns KEY=VALUE lines into a map; the last of equal keys counts.
func Environment(lines []string) map[string]string {
	env := make(map[string]string, len(lines))
	for _, line := range lines {
		if name, value, found := strings.Cut(line, "="); found && name != "" {
			env[name] = value
		}
	}
	return env
}

// Inherit is the environment own on top of what is inherited, sorted by key.
func Inherit(own, inherited []string) []string {
	env := Environment(inherited)
	maps.Copy(env, Environment(own))
	return SortEnvironment(env)
}

// SortEnvironment turns a map into KEY=VALUE lines, sorted by key.
func SortEnvironment(env map[string]string) []string {
	lines := make([]string, 0, len(env))
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	slices.SortFunc(lines, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, "=")
		nameB, _, _ := strings.Cut(b, "=")
		return strings.Compare(nameA, nameB)
	})
	return lines
}
