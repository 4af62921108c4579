package node

import (
	"regexp"
	"strings"
)

// splitSimple splits a shell line that is one command of literal words, with
// assignments before it, as the shell would. simple is false for anything that
// needs a shell: variables, patterns, pipes, lists, substitutions, escapes.
func splitSimple(line string) (assignments, words []string, simple bool) {
	all, ok := splitWords(line)
	if !ok {
		return nil, nil, false
	}
	assignment := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
	for i, w := range all {
		switch {
		case assignment.MatchString(w):
			if strings.HasPrefix(w, "PATH=") {
				return nil, nil, false
			}
			assignments = append(assignments, w)
		case (w == "exec" || w == "cross-env") && i+1 < len(all):
		default:
			return assignments, all[i:], true
		}
	}
	return nil, nil, false
}

func splitWords(line string) ([]string, bool) {
	var words []string
	var word strings.Builder
	inWord, quoted := false, rune(0)
	for _, c := range line {
		switch {
		case quoted != 0 && c == quoted:
			quoted = 0
		case quoted == '\'':
			word.WriteRune(c)
		case strings.ContainsRune("$`\\", c), quoted == 0 && strings.ContainsRune("|&;<>()*?[]{}#~!\n\r", c):
			return nil, false
		case quoted != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quoted, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, quoted == 0
}

// quote makes one literal word of s for the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoted are arguments as they follow a command; "" for none.
func quoted(args []string) string {
	var all strings.Builder
	for _, a := range args {
		all.WriteString(" " + quote(a))
	}
	return all.String()
}
