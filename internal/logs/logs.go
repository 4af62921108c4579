// Package logs keeps the output of workers: line by line, capped, rotated, and
// followed by readers who are never waited for.
package logs

import (
	"context"
	"io"
	"time"
)

// Line is one line of output.
type Line struct {
	At     time.Time
	Worker string // SERVICE.N
	Stream string // stdout | stderr
	Text   string // without the line end
}

// Limits caps a worker's files.
type Limits struct {
	MaxSize  int64 // bytes a file
	MaxFiles int   // the current one included
}

// Store keeps the output of all workers of a project under one folder.
type Store struct{}

// Open makes a store in dir, which is created with mode 0700. notice is called
// (rarely, never while a lock is held) when lines are lost, with one line for people.
func Open(dir string, notice func(worker, message string)) (*Store, error) { return &Store{}, nil }

// Capture reads r (the read end of a worker's stdout or stderr) until EOF in its
// own goroutine and returns a function that waits for the end. It never makes the worker wait for
// a slow disk or reader.
func (s *Store) Capture(worker, stream string, l Limits, r io.ReadCloser) (wait func()) {
	return func() {}
}

// Last returns the last line of the worker's output, for causes of death; "" if there is none.
func (s *Store) Last(worker string) string { return "" }

// Tail returns the last n lines of the named workers (all when none is named), in order of time.
func (s *Store) Tail(n int, workers ...string) ([]Line, error) { return nil, nil }

// Follow sends new lines until ctx ends. A reader that is too slow loses lines
// and is told so in a line of its own.
func (s *Store) Follow(ctx context.Context, workers ...string) <-chan Line { return nil }

// Files lists the worker's log files, newest first.
func (s *Store) Files(worker string) []string { return nil }

// Close flushes and closes the files.
func (s *Store) Close() error { return nil }
