package compose

import (
	"slices"
	"strings"

	"bulsa/internal/spec"
)

// stdin is what a worker finds as its standard input.
func stdin(s *spec.Service) key {
	return key{set: func(path string, value any) error {
		if value != "open" && value != "closed" {
			return wrong(path, "open or closed")
		}
		s.Command.StdinOpen = value == "open"
		return nil
	}, get: func() any {
		if s.Command.StdinOpen {
			return "open"
		}
		return nil
	}}
}

// relays reads auto, off, or a list of packages.
func relays(s *spec.Service) key {
	return key{set: func(path string, value any) error {
		switch value {
		case "auto":
			s.Relay = nil
			return nil
		case "off", false: // YAML 1.1 takes off for false
			s.Relay = []string{spec.RelayOff}
			return nil
		}
		want := "auto, off, or a list of " + strings.Join(spec.Relays(), ", ")
		if err := textList(&s.Relay).set(path, value); err != nil {
			return wrong(path, want)
		}
		for _, name := range s.Relay {
			if !slices.Contains(spec.Relays(), name) {
				return wrong(path, want)
			}
		}
		return nil
	}, get: func() any {
		switch {
		case len(s.Relay) == 0:
			return "auto"
		case slices.Contains(s.Relay, spec.RelayOff):
			return "off"
		}
		return s.Relay
	}}
}

// nodeMode accepts YAML's false for off, which YAML 1.1 readers write.
func nodeMode(s *spec.Service) key {
	row := word(&s.NodeMode)
	return key{set: func(path string, value any) error {
		if value == false {
			value = string(spec.NodeOff)
		}
		return row.set(path, value)
	}, get: row.get}
}
