package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"bulsa/internal/engine"
)

const stateName = "processes.json"

// savedState is what the next bulsa needs to find what this one left behind.
type savedState struct {
	Boot   string     `json:"boot"`   // of the system; numbers of an earlier boot mean nothing
	Master string     `json:"master"` // BULSA_MASTER_ID of the runs
	Runs   []savedRun `json:"runs"`
}

type savedRun struct {
	Instance engine.InstanceID `json:"instance"`
	PID      int               `json:"pid"`
	Started  uint64            `json:"started"` // clock ticks since boot
}

// stateFile remembers the running workers on disk. Changes are written by a
// goroutine of its own, so that no start waits for the disk.
type stateFile struct {
	path    string
	before  savedState // of the bulsa before this one
	changed chan struct{}

	mu  sync.Mutex
	now savedState
}

// openState reads what an earlier bulsa left. A file that cannot be understood
// is as good as none: it may have been cut by a full disk.
func openState(dir, master string) (*stateFile, error) {
	s := &stateFile{path: filepath.Join(dir, stateName), changed: make(chan struct{}, 1)}
	s.now = savedState{Boot: bootID(), Master: master}
	b, err := os.ReadFile(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if json.Unmarshal(b, &s.before) != nil {
		s.before = savedState{}
	}
	return s, nil
}

func (s *stateFile) add(i engine.Instance) {
	p, ok := readProcess(i.PID)
	if !ok {
		return
	}
	s.mu.Lock()
	s.now.Runs = append(s.now.Runs, savedRun{Instance: i.ID, PID: i.PID, Started: p.started})
	s.mu.Unlock()
	s.touch()
}

func (s *stateFile) remove(id engine.InstanceID) {
	s.mu.Lock()
	s.now.Runs = slices.DeleteFunc(s.now.Runs, func(r savedRun) bool { return r.Instance == id })
	s.mu.Unlock()
	s.touch()
}

func (s *stateFile) touch() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// keep writes changes until ctx ends. An error is told once: a full disk must
// not fill the log too.
func (s *stateFile) keep(ctx context.Context, log *slog.Logger) {
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		if err := s.write(); err != nil && !failed {
			failed = true
			log.Warn("cannot write down which workers run; after a crash of bulsa they may stay behind", "file", s.path, "error", err)
		}
	}
}

// discard removes the file once nothing runs any more.
func (s *stateFile) discard() { os.Remove(s.path) }

func (s *stateFile) write() error {
	s.mu.Lock()
	b, err := json.Marshal(s.now)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	temporary := s.path + ".new"
	if err := os.WriteFile(temporary, b, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, s.path)
}

// killLeftovers ends workers of an earlier bulsa that was killed. The kernel
// has killed their leaders with it; their children may live.
func (e *Engine) killLeftovers() {
	old := e.state.before
	if old.Boot == "" || old.Boot != bootID() {
		return
	}
	for _, r := range old.Runs {
		killed := 0
		for _, p := range e.table.read(tableAge) {
			if r.left(p, old.Master) && signalProcess(p, syscall.SIGKILL) == nil {
				killed++
			}
		}
		if killed > 0 {
			e.log.Info(fmt.Sprintf("killed %d processes that an earlier bulsa left of %s", killed, r.Instance))
		}
	}
}

// left reports whether p is what a bulsa before this one left of the run. The
// numbers alone prove nothing: they may have been used again since.
func (r savedRun) left(p processInfo, master string) bool {
	if p.zombie || p.started < r.Started {
		return false
	}
	if p.pid == r.PID && p.started == r.Started {
		return true
	}
	env := environment(p.pid)
	return slices.Contains(env, instanceMark+string(r.Instance)) && slices.Contains(env, masterMark+master)
}
