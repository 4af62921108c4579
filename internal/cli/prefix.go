package cli

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

const (
	firstColor = 31 // SGR foreground colors 31 to 36: red to cyan
	colors     = 6
)

// prefixer makes the "app.1 | " in front of lines, aligned and one color a worker.
type prefixer struct {
	width  int
	color  bool
	number map[string]int // of a worker, in the order in which they were first seen
}

func newPrefixer(names []string, color bool) *prefixer {
	p := &prefixer{color: color, number: map[string]int{}}
	for _, name := range names {
		p.number[name] = len(p.number)
		p.width = max(p.width, len(name))
	}
	return p
}

func (p *prefixer) of(name string) string {
	n, seen := p.number[name]
	if !seen {
		n = len(p.number)
		p.number[name] = n
		p.width = max(p.width, len(name))
	}
	text := fmt.Sprintf("%-*s |", p.width, name)
	if !p.color {
		return text + " "
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m ", firstColor+(n+1)%colors, text)
}

// hasColor reports whether w is a terminal that shows colors (no-color.org).
func hasColor(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	return term.IsTerminal(int(f.Fd()))
}

// terminalWidth is the number of columns of the terminal behind w; 0: w is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// terminalSize is the number of columns and lines of the terminal behind w; 0: w is none,
// or one that cannot move its cursor.
func terminalSize(w io.Writer) (width, height int) {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}
