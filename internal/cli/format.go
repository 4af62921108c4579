package cli

import (
	"slices"
	"strings"
)

// checkFormat refuses a --format that a command does not have.
func checkFormat(format string, known ...string) error {
	if slices.Contains(known, format) {
		return nil
	}
	return usage("--format: %q is none of %s", format, strings.Join(known, ", "))
}
