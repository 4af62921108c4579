package compose

import (
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
	tree := newKeyTree()
	for path, at := range s.values {
		if message := ignoredKey(tree, path, p); message != "" {
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
func ignoredKey(tree *keyTree, path string, p spec.Project) string {
	ofContainers := func(g *keyGroup) fate { return g.containers }
	ofProcesses := func(g *keyGroup) fate { return g.processes }
	rest, inService := strings.CutPrefix(path, "services.")
	if !inService {
		of := ofProcesses
		if slices.ContainsFunc(p.Services, func(s spec.Service) bool { return s.Engine == spec.EngineDocker }) {
			of = ofContainers
		}
		if path == "version" {
			return "" // the loader says so
		}
		return tree.warning("", path, of)
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
			return tree.warning(s.Name, key, ofContainers)
		}
		return tree.warning(s.Name, key, ofProcesses)
	}
	return ""
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
	return key + " of service " + service + " is ignored: somebody else runs its servers"
}
