package diagnose

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"bulsa/internal/admin"
	"bulsa/internal/api"
	"bulsa/internal/engine"
	"bulsa/internal/node/inspector"
)

const (
	hotShown = 10
	// answerSlack is how much longer than it takes a look may take: a blocked loop
	// answers late.
	answerSlack = 20 * time.Second
	// longestHeap bounds a heap snapshot, which may be of gigabytes.
	longestHeap = 10 * time.Minute
)

// Profile samples a worker's main thread for a time.
func (e *Examiner) Profile(ctx context.Context, worker string, span time.Duration) (api.Profile, error) {
	p := api.Profile{Worker: worker, Seconds: span.Seconds(), Stack: []api.Frame{}, Hot: []api.Hot{}}
	err := e.lookInto(ctx, worker, span, func(ctx context.Context, s *inspector.Session) error {
		p.PID = s.PID()
		stack, err := s.Stack(ctx)
		if err != nil {
			return err
		}
		for _, f := range stack {
			p.Stack = append(p.Stack, api.Frame(f))
		}
		p.Profile, err = s.CPUProfile(ctx, span)
		return err
	})
	if err != nil {
		return api.Profile{}, err
	}
	sum, err := inspector.Summarize(p.Profile, hotShown)
	p.Busy, p.Collector = sum.Busy, sum.Collector
	for _, h := range sum.Hot {
		p.Hot = append(p.Hot, api.Hot{Frame: api.Frame(h.Frame), Share: h.Share})
	}
	return p, err
}

// Phases traces a worker's event loop for a time.
func (e *Examiner) Phases(ctx context.Context, worker string, span time.Duration) (api.Phases, error) {
	out := api.Phases{Worker: worker, Tasks: []api.PoolTask{}}
	err := e.lookInto(ctx, worker, span, func(ctx context.Context, s *inspector.Session) error {
		seen, err := s.Phases(ctx, span)
		out.PID, out.Seconds, out.Iterations = s.PID(), seen.Seconds, seen.Iterations
		out.Phases, out.Inside = phases(seen.Phases), phases(seen.Inside)
		for _, t := range seen.Tasks {
			out.Tasks = append(out.Tasks, api.PoolTask{Kind: t.Kind, Count: t.Count, RunSeconds: t.Run, WaitSeconds: t.Waited, LongestWait: t.Longest})
		}
		return err
	})
	return out, err
}

func phases(rows []inspector.Phase) []api.Phase {
	out := make([]api.Phase, 0, len(rows))
	for _, row := range rows {
		p := api.Phase{Name: row.Name, Count: row.Count, Known: row.Known, Note: row.Note}
		if row.Known != inspector.Unknown {
			p.Seconds = &row.Seconds
		}
		out = append(out, p)
	}
	return out
}

// Heap writes a snapshot of a worker's heap.
func (e *Examiner) Heap(ctx context.Context, worker string, w io.Writer) error {
	return e.lookInto(ctx, worker, longestHeap, func(ctx context.Context, s *inspector.Session) error {
		return s.HeapSnapshot(ctx, w)
	})
}

// lookInto opens the inspector of a worker that runs now.
func (e *Examiner) lookInto(ctx context.Context, worker string, span time.Duration, use func(context.Context, *inspector.Session) error) error {
	ctx, cancel := context.WithTimeout(ctx, span+answerSlack)
	defer cancel()
	if api.IsInside(worker) {
		return admin.Conflict(fmt.Sprintf("%s is inside of a container: run bulsa profile there (docker exec CONTAINER bulsa ps has its name, docker cp fetches the file)", worker))
	}
	id, err := Running(ctx, e.Processes, worker)
	if err != nil {
		return err
	}
	err = e.Processes.Inspect(ctx, id, use)
	if err != nil {
		return admin.Conflict(err.Error())
	}
	return nil
}

// Lister is an engine that says what it runs.
type Lister interface {
	List(ctx context.Context) ([]engine.Instance, error)
}

// Running is the newest run of a worker.
func Running(ctx context.Context, e Lister, worker string) (engine.InstanceID, error) {
	instances, err := e.List(ctx)
	if err != nil {
		return "", err
	}
	var newest engine.Instance
	for _, i := range instances {
		if i.Worker == worker && !i.Started.Before(newest.Started) {
			newest = i
		}
	}
	if newest.ID == "" {
		return "", admin.Conflict(fmt.Sprintf("%s does not run as a process of bulsa; see bulsa ps -a", worker))
	}
	return newest.ID, nil
}

// place is a frame in few words: "app.js:31".
func place(f inspector.Frame) string {
	if f.File == "" {
		return ""
	}
	if f.Line == 0 {
		return filepath.Base(f.File)
	}
	return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
}
