package node

import (
	"path"
	"slices"
	"strings"
)

// entry is the file of the preload that Node is told of.
const entry = "bulsa.cjs"

// membership are the variables that make a process a worker, or a descendant of
// one: what Prepare sets (tree.cjs hides the same from the application), Node's own
// ones, and those of a socket that was passed (sd_listen_fds(3)). What they name
// is one process's: a descriptor that nobody else has, or a place that is taken.
var membership = []string{
	"BULSA_ID", "BULSA_JOIN", "BULSA_SOCK", "BULSA_LOOP", "BULSA_PORT", "BULSA_CLIENT", "BULSA_BELOW", "BULSA_FIRST",
	"NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID",
	"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID",
}

// Outside is the environment of a command that runs beside a worker and is none:
// that of the worker, as its application sees it. isNode says that the application
// is known to be a Node program, which a worker from its first moment always is.
func Outside(env []string, isNode bool) []string {
	told := lookup(env, "BULSA_PORT")
	if !isNode && lookup(env, "BULSA_FIRST") == "" {
		told = ""
	}
	out := make([]string, 0, len(env))
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case slices.Contains(membership, name):
			continue
		case name == "PORT" && told != "":
			variable = "PORT=" + told // as tellPort in tree.cjs
		case name == "NODE_OPTIONS":
			own, preloads := withoutPreload(value)
			if preloads && own == "" {
				continue
			}
			variable = "NODE_OPTIONS=" + own
		}
		out = append(out, variable)
	}
	return out
}

// withoutPreload is the inverse of options: the user's own NODE_OPTIONS, and whether
// the preload stood before them.
func withoutPreload(text string) (own string, preloads bool) {
	rest, found := strings.CutPrefix(text, "--require ")
	if !found {
		return text, false
	}
	file, after, _ := strings.Cut(rest, " ")
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		end := closingQuote(quoted)
		if end < 0 {
			return text, false
		}
		file, after = quoted[:end], quoted[end+1:]
	}
	if path.Base(file) != entry {
		return text, false
	}
	return strings.TrimSpace(after), true
}

// closingQuote is where a string of C ends whose opening quote was cut off; -1: nowhere.
func closingQuote(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
