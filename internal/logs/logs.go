// Package logs keeps the output of workers: line by line, capped, rotated, and
// followed by readers who are never waited for.
//
// On disk a worker's output is one text file and its predecessors, DIR/app.1.log,
// DIR/app.1.log.1 (the next older) and so on. Each line holds a timestamp
// (RFC 3339, UTC, always nine digits of nanoseconds, strictly increasing within a
// worker), a space, a letter for the stream, a space, and the bytes as the worker
// wrote them:
//
//	2026-01-02T15:04:05.123456789Z o listening on 3000
//
// o is standard output, e standard error, b a remark of bulsa itself (lines were
// lost here). A line longer than 64 KiB is kept in pieces: O and E mark a piece
// that the next line of the same stream continues.
package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Streams of a Line.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	Bulsa  = "bulsa" // bulsa's own remark: lines were lost here
)

// Line is one line of output.
type Line struct {
	At      time.Time
	Worker  string // SERVICE.N
	Stream  string // stdout | stderr | bulsa
	Text    string // without the line end; valid UTF-8, NULs and broken bytes replaced
	Partial bool   // a piece of a line longer than 64 KiB that the stream's next Line continues
}

// Limits caps a worker's files.
type Limits struct {
	MaxSize  int64 // bytes a file; 10 MiB when zero. One line that is longer still gets a file of its own
	MaxFiles int   // the current one included; 5 when zero
}

const (
	defaultMaxSize  = 10 << 20
	defaultMaxFiles = 5
)

func (l Limits) withDefaults() Limits {
	if l.MaxSize <= 0 {
		l.MaxSize = defaultMaxSize
	}
	if l.MaxFiles <= 0 {
		l.MaxFiles = defaultMaxFiles
	}
	return l
}

// How long a disk that hangs may delay those who want what is on it.
const (
	flushPatience = time.Second
	closePatience = 2 * time.Second
)

// readerBatch is how many lines a reader can take without a switch of goroutines.
const readerBatch = 64

// streamBatch is readerBatch for one of many readers: a line may be long.
const streamBatch = 16

// Store keeps the output of all workers of a project under one folder.
type Store struct {
	dir     string
	notices *noticeboard

	mu       sync.Mutex
	sinks    map[string]*sink
	captures map[*capture]struct{}
	closed   bool

	followers atomic.Pointer[[]*follower] // replaced as a whole, under mu
}

// Open makes a store in dir, which is created with mode 0700. notice is called
// (rarely, from one goroutine, never while a lock is held) when lines are lost
// and when that is over, with one line for people; it may be nil.
func Open(dir string, notice func(worker, message string)) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the folder for logs: %w", err)
	}
	s := &Store{
		dir:      dir,
		notices:  newNoticeboard(notice),
		sinks:    map[string]*sink{},
		captures: map[*capture]struct{}{},
	}
	s.followers.Store(&[]*follower{})
	return s, nil
}

// Capture reads r (the read end of a worker's stdout or stderr) until EOF in its
// own goroutine, closes it, and returns a function that waits for that end. It
// never makes the worker wait for a slow disk or reader: what cannot be kept is
// dropped, counted and told. A line without its end is kept when the stream (or
// the store) ends. A second Capture of the same stream begins the worker's next
// run, which goes on in the same files.
func (s *Store) Capture(worker, stream string, l Limits, r io.ReadCloser) (wait func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &capture{stream: stream, r: r, done: make(chan struct{}), closed: s.closed}
	if !s.closed {
		c.sink = s.sink(worker)
		c.run = c.sink.begin(stream, l.withDefaults())
		s.captures[c] = struct{}{}
	}
	go func() {
		defer close(c.done)
		c.copy()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.captures, c)
	}()
	return func() { <-c.done }
}

// Add keeps lines of a worker's that come by another way than its streams. Like
// Capture it makes nobody wait. Those of a worker that was never captured are dropped.
func (s *Store) Add(worker, stream, text string) {
	k := s.known(worker)
	if k == nil {
		return
	}
	k.mu.Lock()
	r := k.current
	k.mu.Unlock()
	for rest := []byte(text); len(rest) > 0 && r != nil; {
		piece := rest[:runeBoundary(rest, maxLine)]
		rest = rest[len(piece):]
		k.append(r, stream, piece, len(rest) > 0)
	}
}

// sink returns the worker's sink, making it first. Caller holds s.mu.
func (s *Store) sink(worker string) *sink {
	k := s.sinks[worker]
	if k == nil {
		k = newSink(worker, newRotation(s.path(worker)), &s.followers, s.notices)
		s.sinks[worker] = k
		go k.write()
	}
	return k
}

// path is the worker's current file; "" for a name that is none, so that no
// name leads out of the folder.
func (s *Store) path(worker string) string {
	if worker == "" || strings.ContainsAny(worker, "/\\\x00") {
		return ""
	}
	return filepath.Join(s.dir, worker+suffix)
}

// Last returns the line of the worker's current run that tells most about its
// death, at most 512 bytes: the last of stderr, else of stdout, that is neither
// empty nor part of a stack trace; "" if there is none.
func (s *Store) Last(worker string) string {
	k := s.known(worker)
	if k == nil {
		return ""
	}
	return k.last()
}

// Tail returns the last n lines of each of the named workers (all when none is named), in
// order of time; all lines when n is negative. A name is a worker (app.1) or a
// service (app: all its workers). It holds them all: Stream is for those who want many.
func (s *Store) Tail(n int, workers ...string) ([]Line, error) {
	p, err := s.past(n, workers)
	if err != nil {
		return nil, err
	}
	var all []Line
	for {
		line, ok := p.next()
		if !ok {
			return all, nil
		}
		all = append(all, line)
	}
}

// past is at the last n lines of the named workers.
func (s *Store) past(n int, names []string) (*past, error) {
	workers, err := s.workers(names)
	if err != nil {
		return nil, err
	}
	if n != 0 {
		s.flush(workers)
	}
	files := map[string]*rotation{}
	for _, worker := range workers {
		files[worker] = s.files(worker)
	}
	return openPast(files, workers, n)
}

// flush waits for the disk, but for one that hangs only a moment.
func (s *Store) flush(workers []string) {
	var all sync.WaitGroup
	for _, worker := range workers {
		if k := s.known(worker); k != nil {
			all.Go(func() { k.flush(flushPatience) })
		}
	}
	all.Wait()
}

// known returns the worker's sink; nil when nothing of it was captured.
func (s *Store) known(worker string) *sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sinks[worker]
}

// files returns the worker's files: those that are written now, or were by an
// earlier store.
func (s *Store) files(worker string) *rotation {
	if k := s.known(worker); k != nil {
		return k.files
	}
	return newRotation(s.path(worker))
}

// workers returns the known workers that match one of the names, sorted.
func (s *Store) workers(names []string) ([]string, error) {
	known := map[string]struct{}{}
	s.mu.Lock()
	for worker := range s.sinks {
		known[worker] = struct{}{}
	}
	s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the logs: %w", err)
	}
	for _, e := range entries {
		if worker, ok := strings.CutSuffix(e.Name(), suffix); ok {
			known[worker] = struct{}{}
		}
	}
	maps.DeleteFunc(known, func(worker string, _ struct{}) bool { return !matches(names, worker) })
	return slices.Sorted(maps.Keys(known)), nil
}

// matches reports whether one of the names, workers or services, means worker.
func matches(names []string, worker string) bool {
	service := worker
	if i := strings.LastIndexByte(worker, '.'); i >= 0 {
		service = worker[:i]
	}
	return len(names) == 0 || slices.Contains(names, worker) || slices.Contains(names, service)
}

// Follow sends new lines until ctx ends or the store is closed; then the channel
// is closed. Names are as in Tail; workers that come later are included. A reader
// that is too slow loses lines and is told so in a line of its own (Stream bulsa).
func (s *Store) Follow(ctx context.Context, workers ...string) <-chan Line {
	f := newFollower(workers)
	s.subscribe(f)
	out := make(chan Line, readerBatch)
	go func() {
		defer close(out)
		defer s.unsubscribe(f)
		f.pump(ctx, out, nil)
	}()
	return out
}

// Stream sends the last n lines, all when n is negative, and with follow then new ones,
// with no line missing or doubled between the two. It reads the files as its reader takes
// what is sent, and holds a few blocks of them, however long they are. Otherwise as Tail and Follow.
func (s *Store) Stream(ctx context.Context, n int, follow bool, workers ...string) (<-chan Line, error) {
	if !follow {
		return s.read(ctx, n, workers)
	}
	f := newFollower(workers)
	s.subscribe(f)
	past, err := s.past(n, workers)
	if err != nil {
		s.unsubscribe(f)
		return nil, err
	}
	out := make(chan Line, streamBatch)
	go func() {
		defer close(out)
		defer s.unsubscribe(f)
		if past.send(ctx, out) {
			f.pump(ctx, out, past.latest)
		}
	}()
	return out, nil
}

// read sends the last n lines.
func (s *Store) read(ctx context.Context, n int, workers []string) (<-chan Line, error) {
	past, err := s.past(n, workers)
	if err != nil {
		return nil, err
	}
	out := make(chan Line, streamBatch)
	go func() {
		defer close(out)
		past.send(ctx, out)
	}()
	return out, nil
}

// Read is Stream without follow of a folder that nobody needs to have open.
func Read(ctx context.Context, dir string, n int, workers ...string) (<-chan Line, error) {
	return closedStore(dir).read(ctx, n, workers)
}

// Workers are those whose output is in a folder.
func Workers(dir string) ([]string, error) { return closedStore(dir).workers(nil) }

// closedStore finds files, and writes none.
func closedStore(dir string) *Store { return &Store{dir: dir, sinks: map[string]*sink{}} }

func (s *Store) subscribe(f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		f.end()
		return
	}
	all := append(slices.Clone(*s.followers.Load()), f)
	s.followers.Store(&all)
}

func (s *Store) unsubscribe(f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(*s.followers.Load()), func(o *follower) bool { return o == f })
	s.followers.Store(&rest)
}

// Files lists the worker's log files, newest first.
func (s *Store) Files(worker string) []string {
	return s.files(worker).existing()
}

// Close writes what is still in memory, partial lines included, closes the files
// and ends all followers. Output that comes later is read and forgotten, so that
// no worker blocks. A disk that hangs delays it by two seconds at most.
func (s *Store) Close() error {
	sinks, captures := s.shut()
	for _, c := range captures {
		c.end()
	}
	deadline := time.NewTimer(closePatience)
	defer deadline.Stop()
	var errs []error
	for _, k := range sinks {
		k.end()
	}
	for _, k := range sinks {
		select {
		case <-k.done:
		case <-deadline.C:
			deadline.Reset(0)
			errs = append(errs, fmt.Errorf("cannot finish the log of %s: the disk does not answer", k.worker))
		}
	}
	for _, f := range *s.followers.Load() {
		f.end()
	}
	s.notices.close()
	return errors.Join(errs...)
}

// shut marks the store closed and returns what there is to end, once.
func (s *Store) shut() ([]*sink, []*capture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	s.closed = true
	return slices.Collect(maps.Values(s.sinks)), slices.Collect(maps.Keys(s.captures))
}
