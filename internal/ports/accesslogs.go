package ports

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"bulsa/internal/proxy/accesslog"
	"bulsa/internal/spec"
)

// accessLogs are the files that services log their answers to. Several services
// may share one. A file stays open until the project ends: requests in flight
// write to the one that was meant when they came.
type accessLogs struct {
	stdout io.Writer
	logger *slog.Logger

	mu      sync.Mutex
	files   map[string]*accesslog.File
	running sync.WaitGroup
	end     context.CancelFunc
	ctx     context.Context
}

func newAccessLogs(stdout io.Writer, logger *slog.Logger) *accessLogs {
	a := &accessLogs{stdout: stdout, logger: logger, files: map[string]*accesslog.File{}}
	a.ctx, a.end = context.WithCancel(context.Background())
	return a
}

// open opens what p names and is not open yet.
func (a *accessLogs) open(p spec.Project) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, sv := range p.Services {
		path := sv.AccessLog.File
		if sv.AccessLog.Format == "" || a.files[path] != nil {
			continue
		}
		file, err := a.file(path)
		if err != nil {
			return p.Placed(sv.Name, &spec.Problem{Where: "x-bulsa.access_log.file", What: fmt.Sprintf("cannot open the access log: %v", err)})
		}
		a.files[path] = file
		a.running.Go(func() { file.Run(a.ctx) })
	}
	return nil
}

func (a *accessLogs) file(path string) (*accesslog.File, error) {
	if path == spec.StdoutLog {
		return accesslog.NewStream(a.stdout, a.logger), nil
	}
	return accesslog.Open(path, a.logger)
}

// of is how a service's answers are logged; nil: not at all.
func (a *accessLogs) of(l spec.AccessLog) *accesslog.Log {
	if l.Format == "" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	file := a.files[l.File]
	if file == nil {
		return nil
	}
	return &accesslog.Log{File: file, Combined: l.Format == "combined", Sample: l.Sample}
}

// lost counts the lines that each file could not take.
func (a *accessLogs) lost() map[string]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]uint64, len(a.files))
	for _, path := range slices.Sorted(maps.Keys(a.files)) {
		out[path] = a.files[path].Lost()
	}
	return out
}

// close writes what is left, but waits no longer than a moment for a reader.
func (a *accessLogs) close() {
	a.end()
	written := make(chan struct{})
	go func() {
		a.running.Wait()
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(time.Second):
	}
}
