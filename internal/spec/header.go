package spec

import (
	"strconv"
	"strings"
)

const (
	defaultHeader = 16 << 10 // what Node's servers take (--max-http-header-size)
	mostHeader    = 1 << 20
)

// HeaderLimit is how large the head of a request may be: as configured, or where
// nothing is, as a Node command says of its own servers.
func (s Service) HeaderLimit() int {
	if s.Limits.Header != defaultHeader {
		return s.Limits.Header
	}
	words := s.Command.Args
	for _, variable := range s.Command.Env {
		if options, ok := strings.CutPrefix(variable, "NODE_OPTIONS="); ok {
			words = append(strings.Fields(options), words...) // the command line counts before
		}
	}
	limit := s.Limits.Header
	for i, word := range words {
		name, value, given := strings.Cut(word, "=")
		if strings.ReplaceAll(name, "_", "-") != "--max-http-header-size" {
			continue
		}
		if !given && i+1 < len(words) {
			value = words[i+1]
		}
		if n, err := strconv.Atoi(value); err == nil && n >= 1024 {
			limit = min(n, mostHeader)
		}
	}
	return limit
}
