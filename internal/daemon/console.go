package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"bulsa/internal/logs"
	"bulsa/internal/spec"
	"bulsa/internal/supervisor"
)

// console is the foreground's terminal: the workers' lines on standard output,
// bulsa's own on standard error. It may be slow; nothing waits for it but its
// own goroutines.
type console struct {
	mu  sync.Mutex
	out io.Writer
	err io.Writer
	wg  sync.WaitGroup
}

func newConsole(out, err io.Writer) *console {
	if err == nil {
		err = io.Discard
	}
	return &console{out: out, err: err}
}

// say prints one line of bulsa's own.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.err, "bulsa: "+format+"\n", args...)
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
			if !quiet(e.Kind) {
				c.say("%s", eventLine(e))
			}
		}
	}()
	if c.out == nil {
		return
	}
	lines := store.Follow(ctx)
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		for l := range lines {
			fmt.Fprintf(c.out, "%s | %s\n", l.Worker, l.Text)
		}
	}()
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
	done := make(chan struct{})
	go func() {
		c.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// summary is a service in one line: "4 workers of node app.js on 0.0.0.0:3333".
func summary(sv spec.Service, ports []string) string {
	what := fmt.Sprintf("%d %s of %s", sv.Replicas, plural(sv.Replicas, "worker"), strings.Join(sv.Command.Args, " "))
	if sv.Engine == spec.EngineExternal {
		what = fmt.Sprintf("%d external %s", len(sv.Servers), plural(len(sv.Servers), "server"))
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
