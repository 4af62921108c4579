package diagnose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/engine"
	"bulsa/internal/eventloop"
	"bulsa/internal/node/inspector"
)

const (
	blocksKept   = 10 // of each worker
	profilesKept = 5  // of each worker
	// largestProfile bounds one file; a profile of a blocked loop is far smaller.
	largestProfile = 32 << 20
	// lastProfile is how long a worker that is about to be replaced is profiled.
	lastProfile = 300 * time.Millisecond
	// firstAnswer is how long JavaScript that blocks a loop may take to say where it
	// is. Some ten milliseconds are enough, unless the machine is full.
	firstAnswer = time.Second
)

// Blocks returns what was found to block a worker's event loop, oldest first.
func (e *Examiner) Blocks(worker string) []api.Diagnosis {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.kept[worker])
}

// Diagnose implements eventloop.Diagnoser.
func (e *Examiner) Diagnose(ctx context.Context, s eventloop.Subject) (eventloop.Diagnosis, error) {
	found := eventloop.Diagnosis{At: time.Now()}
	if !s.Last {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, firstAnswer)
		defer cancel()
	}
	err := e.Processes.Inspect(ctx, engine.InstanceID(s.Instance), func(ctx context.Context, x *inspector.Session) error {
		stack, err := x.Stack(ctx)
		if err != nil {
			return err
		}
		culprit, ok := inspector.Culprit(stack)
		if !ok {
			return errors.New("its event loop turns again")
		}
		found.Function, found.Place = nameOf(culprit), place(culprit)
		for _, f := range stack {
			found.Stack = append(found.Stack, frameText(f))
		}
		if s.Last {
			found.Profile, err = e.profile(ctx, s, x)
		}
		return err
	})
	if native, ok := errors.AsType[*inspector.NativeError](err); ok && found.Function == "" {
		found.Function, found.Stack = "code that cannot be interrupted", []string{native.State}
	}
	if found.Function == "" {
		return found, err
	}
	e.keep(s, found, err)
	return found, nil // without its profile a diagnosis still is one
}

func (e *Examiner) keep(s eventloop.Subject, found eventloop.Diagnosis, err error) {
	d := api.Diagnosis{
		At: found.At, Blocked: s.For.Seconds(), Function: found.Function, Place: found.Place, Where: found.Where(),
		Stack: found.Stack, Profile: found.Profile,
	}
	if err != nil {
		d.Error = err.Error()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := append(e.kept[s.Worker], d)
	e.kept[s.Worker] = all[max(0, len(all)-blocksKept):]
}

// profile takes a short profile and writes it into the folder, of which the
// oldest of this worker go.
func (e *Examiner) profile(ctx context.Context, s eventloop.Subject, x *inspector.Session) (string, error) {
	raw, err := x.CPUProfile(ctx, lastProfile)
	if err != nil {
		return "", err
	}
	if len(raw) > largestProfile {
		return "", fmt.Errorf("its profile of %d bytes is too large to keep", len(raw))
	}
	if err := os.MkdirAll(e.Dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot keep its profile: %w", err)
	}
	path := filepath.Join(e.Dir, s.Worker+"-"+time.Now().UTC().Format("20060102T150405.000")+".cpuprofile")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return "", fmt.Errorf("cannot keep its profile: %w", err)
	}
	old, _ := filepath.Glob(filepath.Join(e.Dir, s.Worker+"-*.cpuprofile")) // the names sort by time
	for _, name := range old[:max(0, len(old)-profilesKept)] {
		os.Remove(name)
	}
	return path, nil
}

func nameOf(f inspector.Frame) string {
	if f.Function == "" {
		return "(anonymous)"
	}
	return f.Function
}

// frameText is a frame as eventloop.Diagnosis has them: "fib (/srv/app.js:31:5)".
func frameText(f inspector.Frame) string {
	if f.File == "" {
		return nameOf(f)
	}
	return fmt.Sprintf("%s (%s:%d:%d)", nameOf(f), f.File, f.Line, f.Column)
}
