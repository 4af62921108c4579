package accesslog

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

const (
	logRing     = 1 << 20 // bytes of lines that may wait for the file
	logWrite    = 64 << 10
	logPause    = 50 * time.Millisecond // between two writes: one write for many lines
	logRotation = time.Second           // how often the file's name is looked at
)

// File takes lines from all goroutines and writes them in one of its own. A
// file that was renamed or removed, as logrotate does, is opened anew within a
// second; it needs no signal.
type File struct {
	path   string // "" for a stream
	out    io.Writer
	log    *slog.Logger
	lines  *ring
	lost   atomic.Uint64
	asleep atomic.Bool // the writer waits for wake
	wake   chan struct{}
}

// Open appends to the file at path, which it makes where it is missing.
func Open(path string, logger *slog.Logger) (*File, error) {
	file, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	l := NewStream(file, logger)
	l.path = path
	return l, nil
}

// NewStream writes to out, which may block: then lines are lost.
func NewStream(out io.Writer, logger *slog.Logger) *File {
	return &File{out: out, log: logger, lines: newRing(logRing), wake: make(chan struct{}, 1)}
}

func openAppend(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
}

// Lost counts the lines that the file could not take in time, or at all.
func (l *File) Lost() uint64 { return l.lost.Load() }

func (l *File) put(line []byte) {
	if !l.lines.put(line) {
		l.lost.Add(1)
	}
	if l.asleep.Load() && l.asleep.CompareAndSwap(true, false) {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Run writes until ctx ends, then what is left, and closes the file.
func (l *File) Run(ctx context.Context) {
	w := logWriter{File: l, looked: time.Now()}
	for ctx.Err() == nil {
		if w.flush() {
			pause(ctx, logPause)
			continue
		}
		l.asleep.Store(true)
		if !l.lines.empty() {
			l.asleep.Store(false)
			pause(ctx, time.Millisecond) // somebody is about to finish a line
			continue
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		}
	}
	for w.flush() {
	}
	if file, ok := l.out.(*os.File); ok && l.path != "" {
		_ = file.Close()
	}
}

// logWriter is what only the goroutine of Run knows.
type logWriter struct {
	*File
	buffer []byte
	looked time.Time // at the file's name
	told   uint64    // lost lines that were told
	failed bool      // the last write
}

// flush writes what is there; false when nothing was.
func (w *logWriter) flush() bool {
	w.followRotation(time.Now())
	any := false
	for {
		b, lines := w.lines.take(w.buffer[:0], logWrite)
		w.buffer = b
		if lines == 0 {
			w.tell()
			return any
		}
		any = true
		_, err := w.out.Write(b)
		if err != nil {
			w.lost.Add(uint64(lines))
		}
		if err != nil && !w.failed {
			w.log.Warn("cannot write the access log", "file", w.path, "error", err)
		}
		w.failed = err != nil
	}
}

// tell says how many lines were lost since it said so last.
func (w *logWriter) tell() {
	lost := w.lost.Load()
	if n := lost - w.told; n > 0 && !w.failed {
		w.log.Warn("the access log could not keep up; lines are lost", "file", w.path, "lost", n)
	}
	w.told = lost
}

// followRotation opens the file anew when its name means another one, or none.
func (w *logWriter) followRotation(now time.Time) {
	old, ok := w.out.(*os.File)
	if !ok || w.path == "" || now.Sub(w.looked) < logRotation {
		return
	}
	w.looked = now
	is, err1 := old.Stat()
	named, err2 := os.Stat(w.path)
	if err1 == nil && err2 == nil && os.SameFile(is, named) {
		return
	}
	fresh, err := openAppend(w.path)
	if err != nil {
		w.log.Warn("cannot open the access log anew; going on with the old file", "file", w.path, "error", err)
		return
	}
	w.out = fresh
	_ = old.Close()
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
