package logs

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLast is how many bytes of a line are remembered as a cause of death.
const maxLast = 512

// run remembers the ends of one run's streams.
type run struct {
	has    map[string]bool // streams that are captured
	stdout ending
	stderr ending
}

// ending is the end of a stream: its last line that is not empty, and the last
// that says something by itself. A program that dies of an exception ends with a
// stack trace, whose last lines are indented, and Node adds its version.
type ending struct {
	line    []byte
	telling []byte
}

func (r *run) note(stream string, text []byte) {
	if stream == Stderr {
		r.stderr.note(text)
		return
	}
	r.stdout.note(text)
}

func (e *ending) note(text []byte) {
	text = bytes.TrimRight(text, " \t\r\x00")
	if len(text) == 0 {
		return
	}
	text = text[:runeBoundary(text, maxLast)]
	e.line = append(e.line[:0], text...)
	if tells(text) {
		e.telling = append(e.telling[:0], text...)
	}
}

func tells(text []byte) bool {
	indented := text[0] == ' ' || text[0] == '\t'
	return !indented && !bytes.HasPrefix(text, []byte("Node.js v")) && bytes.ContainsFunc(text, isWord)
}

func isWord(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= 0x80
}

// last prefers stderr, where programs say why they die.
func (r *run) last() string {
	for _, b := range [][]byte{r.stderr.telling, r.stderr.line, r.stdout.telling, r.stdout.line} {
		if len(b) > 0 {
			return cut(strings.TrimSpace(plain(clean(b))), maxLast)
		}
	}
	return ""
}

// cut shortens s to at most n bytes, whole characters only: replaced bytes make it longer.
func cut(s string, n int) string {
	return strings.Clone(s[:runeBoundary([]byte(s), n)])
}

// plain removes colors and other commands to a terminal (ECMA-48's control
// sequences), because a cause is shown in tables.
func plain(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if after, ok := strings.CutPrefix(s, "\x1b["); ok {
			s = strings.TrimLeftFunc(after, func(r rune) bool { return r >= 0x20 && r <= 0x3f })
			_, size := utf8.DecodeRuneInString(s)
			s = s[size:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		if unicode.IsControl(r) {
			r = ' '
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String()
}
