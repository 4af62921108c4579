package spec

import (
	"errors"
	"strings"
)

// Problem is a mistake in what the user asked for. The command line exits
// with status 2 on it; nothing has been started or changed.
type Problem struct {
	Where string // file:line, a flag, or a path such as services.app.ports
	What  string // what is wrong
	Fix   string // what to change; may be empty where What says it
}

// Error is one line: "WHERE: WHAT; FIX".
func (p *Problem) Error() string {
	line := p.What
	if p.Where != "" {
		line = p.Where + ": " + line
	}
	if p.Fix != "" {
		line += "; " + p.Fix
	}
	return oneLine(line)
}

// oneLine keeps control characters and line breaks of user input out of a
// message that promises to be one line.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\u0085'
	}), " ")
}

// Nearest is the candidate most like word, for "did you mean"; empty when
// none is near.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", max(len(word)/3, 1)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of single-character edits from a to b, where two neighbours
// that changed places are one (optimal string alignment).
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			row[j] = min(last[j], row[j-1]) + 1
			if a[i-1] == b[j-1] {
				row[j] = min(row[j], last[j-1])
			} else {
				row[j] = min(row[j], last[j-1]+1)
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// At says where err happened; err itself says what is wrong. The result is
// always a *Problem.
func At(where string, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		if p.Where == "" {
			return &Problem{Where: where, What: p.What, Fix: p.Fix}
		}
		return p
	}
	return &Problem{Where: where, What: err.Error()}
}
