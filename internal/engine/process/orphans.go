package process

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sweepPause keeps a storm of dying orphans from becoming a storm of sweeps.
	sweepPause = 20 * time.Millisecond
	// strangerAge is how long a zombie that may be waited for elsewhere in the
	// program (an os/exec command with a session of its own) is left alone.
	strangerAge = 300 * time.Millisecond
)

// reapOrphans collects dead processes that nobody waits for, until ctx ends and
// once more then. Their parents were workers; the subreaper got them.
func (e *Engine) reapOrphans(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	seen := map[int]time.Time{} // zombies that may belong to others, since when
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			e.working.Wait()
			e.sweep(seen, time.Now())
			return
		case <-died:
			again.Reset(0)
		case <-again.C:
			if e.sweep(seen, time.Now()) {
				again.Reset(strangerAge)
			}
			select {
			case <-ctx.Done():
			case <-time.After(sweepPause):
			}
		}
	}
}

// sweep reaps what is an orphan, and reports whether some zombies must be
// looked at again.
func (e *Engine) sweep(seen map[int]time.Time, now time.Time) bool {
	if !anyEnded() {
		clear(seen)
		return false
	}
	own := os.Getpid()
	session, _ := unix.Getsid(own)
	group := unix.Getpgrp()
	present := map[int]bool{}
	for _, p := range e.table.read(0) {
		if !p.zombie || p.parent != own {
			continue
		}
		if p.session == session && (p.group == group || p.group == p.pid) {
			continue // a command that some other room started
		}
		if p.pid == p.session && now.Sub(since(seen, p.pid, now)) < strangerAge {
			present[p.pid] = true
			continue
		}
		e.children.reapOrphan(p)
	}
	for pid := range seen {
		if !present[pid] {
			delete(seen, pid)
		}
	}
	return len(seen) > 0
}

func since(seen map[int]time.Time, pid int, now time.Time) time.Time {
	if at, ok := seen[pid]; ok {
		return at
	}
	seen[pid] = now
	return now
}

// collect reaps what was killed and may have become our child.
func (c *children) collect(killed []processInfo) {
	for _, p := range killed {
		c.reapOrphan(p)
	}
}

// reapOrphan collects p unless somebody else will. A child that was started
// keeps its number until its owner reaps it, so the check cannot be outrun.
func (c *children) reapOrphan(p processInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[p.pid] != 0 || c.known[p.session] == command {
		return
	}
	var status syscall.WaitStatus
	_, _ = syscall.Wait4(p.pid, &status, syscall.WNOHANG, nil) // it may be gone already, which is as good
}
