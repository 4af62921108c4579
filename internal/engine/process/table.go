package process

import (
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// processInfo is one row of the process table.
type processInfo struct {
	pid, parent, group, session int
	zombie                      bool
	started                     uint64 // clock ticks since boot
}

// tableAge is how old the process table may be where that does no harm: many
// workers that start together share one reading.
const tableAge = 8 * time.Millisecond

// processTable caches the process table for a moment.
type processTable struct {
	mu   sync.Mutex
	at   time.Time
	rows []processInfo
}

// read returns the table as it was at most maxAge ago.
func (t *processTable) read(maxAge time.Duration) []processInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at.IsZero() || time.Since(t.at) > maxAge {
		t.at = time.Now()
		t.rows = listProcesses()
	}
	return t.rows
}

// members returns the living processes of a child's session or group.
func members(rows []processInfo, leader int) []processInfo {
	var list []processInfo
	for _, p := range rows {
		if !p.zombie && (p.session == leader || p.group == leader) {
			list = append(list, p)
		}
	}
	return list
}

// descendants returns the living processes below bulsa that left the sessions
// which it made.
func (e *Engine) descendants(rows []processInfo) []processInfo {
	own := os.Getpid()
	below := map[int]bool{own: true}
	for grown := true; grown; {
		grown = false
		for _, p := range rows {
			if !below[p.pid] && below[p.parent] {
				below[p.pid] = true
				grown = true
			}
		}
	}
	var list []processInfo
	for _, p := range rows {
		if below[p.pid] && p.pid != own && !p.zombie && !e.children.owns(p.session) {
			list = append(list, p)
		}
	}
	return list
}

// left returns all that lives of a run: its session, its group, and what
// escaped from both.
func (e *Engine) left(r *run) []processInfo { return e.processes(r, 0) }

// processes is the same as it was at most maxAge ago.
func (e *Engine) processes(r *run, maxAge time.Duration) []processInfo {
	rows := e.table.read(maxAge)
	list := members(rows, r.child.pid)
	mark := instanceMark + string(r.launch.ID)
	for _, p := range e.descendants(rows) {
		env := environment(p.pid)
		if slices.Contains(env, mark) && slices.Contains(env, masterMark+e.cfg.MasterID) && !slices.ContainsFunc(list, p.same) {
			list = append(list, p)
		}
	}
	return list
}

// alive looks again whether p still is. A dying process has no environment any
// more, so one that was found by it must be remembered.
func (p processInfo) alive() bool {
	now, ok := readProcess(p.pid)
	return ok && now.started == p.started && !now.zombie
}

func (p processInfo) same(q processInfo) bool { return p.pid == q.pid }

// owns reports whether session belongs to a child that is not reaped yet.
func (c *children) owns(session int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[session] != 0
}

// variable returns the value of an environment variable; the last one counts.
func variable(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}
