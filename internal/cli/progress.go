package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"bulsa/internal/api"
)

// progress shows a line for each service while a command waits, as docker compose does:
// its state, and how long it has taken. Where there is no terminal it shows nothing.
type progress struct {
	out    io.Writer
	width  int // of the terminal; 0: there is none
	height int
	stops  bool // what is waited for is an end
	began  time.Time
	took   map[string]time.Duration // of the services that are done
	drawn  int                      // lines that stand on the screen
}

func (p *program) newProgress(now time.Time, stops bool) *progress {
	width, height := terminalSize(p.stderr)
	return &progress{out: p.stderr, width: width, height: height, stops: stops, began: now, took: map[string]time.Duration{}}
}

// shows reports whether there is a place for it. A project of more services than the
// terminal has lines would scroll away at every look.
func (g *progress) shows(p api.Project) bool {
	return g.width > 0 && len(p.Services) < g.height
}

// draw shows the project in place of what was shown before.
func (g *progress) draw(now time.Time, p api.Project) {
	if !g.shows(p) {
		return
	}
	var b strings.Builder
	if g.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", g.drawn)
	}
	lines := g.lines(now, p)
	for _, line := range lines {
		b.WriteString("\x1b[2K" + cut(line, g.width) + "\n")
	}
	if g.drawn > len(lines) {
		b.WriteString("\x1b[J")
	}
	g.drawn = len(lines)
	fmt.Fprint(g.out, b.String())
}

// lines is a line for each service.
func (g *progress) lines(now time.Time, p api.Project) []string {
	longest := 0
	for _, s := range p.Services {
		longest = max(longest, len(s.Name))
	}
	var lines []string
	for _, s := range p.Services {
		mark, state := g.state(now, p, s)
		since := now.Sub(g.began)
		if mark == markDone {
			if _, known := g.took[s.Name]; !known {
				g.took[s.Name] = since
			}
			since = g.took[s.Name]
		} else {
			delete(g.took, s.Name)
		}
		lines = append(lines, fmt.Sprintf(" %s %-*s  %.1fs  %s", mark, longest, s.Name, since.Seconds(), oneLine(state)))
	}
	return lines
}

const (
	markDone = "✔"
	markBusy = "·"
	markFail = "✘"
)

// state is what a service does, in a few words.
func (g *progress) state(now time.Time, p api.Project, s api.Service) (mark, text string) {
	p.Services = []api.Service{s}
	if g.stops {
		if r := p.Stopped(now); !r.Ready {
			return markBusy, "stops"
		}
		return markDone, "stopped"
	}
	p.Ready = false // of the whole project: a service may be ready before it
	r := p.Settled(now)
	done := len(r.Waiting) == 0
	text = strings.TrimPrefix(strings.Join(r.Waiting, "; "), s.Name+": ")
	switch {
	case done && s.State == "completed":
		return markDone, "completed"
	case done:
		return markDone, fmt.Sprintf("%d of %d workers ready", s.Ready, s.Desired)
	case r.Failing:
		return markFail, text
	}
	return markBusy, text
}

// cut shortens a line to the width of the terminal.
func cut(line string, width int) string {
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:max(0, width-1)]) + "…"
}
