package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"bulsa/internal/api"
)

// ErrEnded is matched by the error about a project that ended before it answered.
var ErrEnded = errors.New("ended before it answered")

// ErrNotRunning is matched by the error about a project that does not run.
var ErrNotRunning = errors.New("no running project")

// NotRunning is the error about a project that does not run. errors.Is(err,
// ErrNotRunning) holds.
type NotRunning struct {
	Project string   // "" when none was named
	Running []string // projects that do run
}

func (e *NotRunning) Error() string {
	line := "no running project"
	if e.Project != "" {
		line += fmt.Sprintf(" %q", e.Project)
	}
	line += ": start it with bulsa up or bulsa run"
	if len(e.Running) > 0 {
		line += "; running: " + strings.Join(e.Running, ", ")
	}
	return line
}

// Is makes errors.Is(err, ErrNotRunning) hold.
func (e *NotRunning) Is(target error) bool { return target == ErrNotRunning }

// Running lists the projects whose control socket answers, sorted by name.
func Running() []string {
	entries, err := os.ReadDir(api.RuntimeRoot())
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && answers(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// answers reports whether somebody listens on the project's socket.
func answers(project string) bool {
	conn, err := net.DialTimeout("unix", api.SocketPath(project), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// InDir is the one of the named projects that was started in dir; "" when there is
// none, an error that names them when there are several.
func InDir(ctx context.Context, names []string, dir string) (string, error) {
	var found []string
	for _, name := range names {
		c, err := Dial(name)
		if err != nil {
			continue
		}
		if p, err := c.Project(ctx); err == nil && sameDir(p.Dir, dir) {
			found = append(found, name)
		}
		c.Close()
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several projects run in %s: name one with -p: %s", dir, strings.Join(found, ", "))
}

// sameDir compares folders as the file system does, symbolic links followed.
func sameDir(a, b string) bool {
	if a == b {
		return true
	}
	ai, err := os.Stat(a)
	if err != nil {
		return false
	}
	bi, err := os.Stat(b)
	return err == nil && os.SameFile(ai, bi)
}
