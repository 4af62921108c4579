package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/logs"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
)

// maxUnsaid is how many lines of bulsa's own wait for a terminal that stands
// still; what comes then is lost.
const maxUnsaid = 4096

// console is the foreground's terminal: the workers' lines on standard output,
// bulsa's own on standard error. It may be slow, or stand still (Ctrl-S, a pipe
// that nobody reads); nothing waits for it but its own goroutines.
type console struct {
	out io.Writer
	err io.Writer
	wg  sync.WaitGroup

	mu      sync.Mutex
	unsaid  []string
	unheard int           // lines lost since the terminal stood still
	silent  chan struct{} // closed when all is said; nil while nobody speaks
}

func newConsole(out, err io.Writer) *console {
	if err == nil {
		err = io.Discard
	}
	return &console{out: out, err: err}
}

// say prints one line of bulsa's own, soon.
func (c *console) say(format string, args ...any) {
	line := fmt.Sprintf("bulsa: "+format+"\n", args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unsaid) >= maxUnsaid {
		c.unheard++
		return
	}
	c.unsaid = append(c.unsaid, line)
	if c.silent == nil {
		c.silent = make(chan struct{})
		go c.speak(c.silent)
	}
}

// speak prints until nothing is left to say.
func (c *console) speak(silent chan<- struct{}) {
	defer close(silent)
	for {
		lines, unheard := c.takeUnsaid()
		if len(lines) == 0 {
			return
		}
		for _, line := range lines {
			io.WriteString(c.err, line)
		}
		if unheard > 0 {
			fmt.Fprintf(c.err, "bulsa: %d lines were not shown: nobody read them\n", unheard)
		}
	}
}

func (c *console) takeUnsaid() (lines []string, unheard int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines, unheard = c.unsaid, c.unheard
	c.unsaid, c.unheard = nil, 0
	if len(lines) == 0 {
		c.silent = nil
	}
	return lines, unheard
}

// handler writes log records as lines of bulsa's own.
func (c *console) handler() slog.Handler {
	return slog.NewTextHandler(consoleWriter{c}, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey) {
			return slog.Attr{}
		}
		return a
	}})
}

type consoleWriter struct{ c *console }

func (w consoleWriter) Write(b []byte) (int, error) {
	w.c.say("%s", strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

// follow prints what workers write and what happens to them, until ctx ends.
func (c *console) follow(ctx context.Context, store *logs.Store, s *supervisor.Supervisor) {
	_, events := s.Events(ctx, true)
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		for e := range events {
			if c.tells(e) {
				c.say("%s", eventLine(e))
			}
		}
	}()
	if c.out == nil {
		return
	}
	lines := store.Follow(ctx)
	c.wg.Go(func() { c.print(lines) })
}

// print writes workers' lines, several at once where they come fast.
func (c *console) print(lines <-chan logs.Line) {
	out := bufio.NewWriterSize(c.out, 64<<10)
	for l := range lines {
		fmt.Fprintf(out, "%s | %s\n", l.Worker, l.Text)
		if len(lines) == 0 {
			out.Flush() // what a closed terminal does not take is in the logs
		}
	}
}

// tells reports whether an event is printed. What happens inside of a container
// stands in the container's own output, where that is shown.
func (c *console) tells(e supervisor.Event) bool {
	return !quiet(e.Kind) && (c.out == nil || !api.IsInside(e.Worker))
}

// quiet reports a step on the way to something that is said; `bulsa events` has it.
func quiet(kind string) bool {
	switch kind {
	case "starting", "draining", "stopping", "unusable":
		return true
	}
	return false
}

// eventLine is an event for people: who, what, why.
func eventLine(e supervisor.Event) string {
	who := e.Worker
	if who == "" {
		who = e.Service
	}
	line := strings.TrimSpace(who + " " + e.Message)
	if e.Cause != "" {
		line += " (" + e.Cause + ")"
	}
	return line
}

// flush waits, not for long, until what was said is printed.
func (c *console) flush() {
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	printed := make(chan struct{})
	go func() {
		c.wg.Wait()
		close(printed)
	}()
	select {
	case <-printed:
	case <-patience.C:
		return
	}
	select {
	case <-c.speaking(): // the events' goroutine has said its last by now
	case <-patience.C:
	}
}

// speaking is closed when all that was said up to now is printed.
func (c *console) speaking() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent != nil {
		return c.silent
	}
	silence := make(chan struct{})
	close(silence)
	return silence
}

// summary is a service in one line: "4 workers of node app.js on 0.0.0.0:3333".
func summary(sv spec.Service, ports []string) string {
	what := fmt.Sprintf("%d %s of %s", sv.Replicas, plural(sv.Replicas, "worker"), strings.Join(sv.Command.Args, " "))
	switch sv.Engine {
	case spec.EngineExternal:
		what = fmt.Sprintf("%d external %s", len(sv.Servers), plural(len(sv.Servers), "server"))
	case spec.EngineDocker:
		what = fmt.Sprintf("%d %s of %s", sv.Replicas, plural(sv.Replicas, "container"), sv.Container.Image)
	}
	if len(ports) == 0 {
		return what
	}
	return what + " on " + strings.Join(ports, ", ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// oneAtATime lets several goroutines write to one stream, each its lines whole.
type oneAtATime struct {
	mu  sync.Mutex
	out io.Writer
}

func (o *oneAtATime) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out.Write(b)
}
