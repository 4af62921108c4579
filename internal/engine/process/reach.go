package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"bulsa/internal/engine"
)

// joins reports whether Node processes of this run may join the cluster: its user
// must be able to load the preload, without which Node would not start.
func (r *run) joins() bool {
	return r.plan.joins() && r.stranger == ""
}

// meetUser finds out whether the worker's user is kept out of bulsa's own folder.
func (r *run) meetUser() {
	c := r.plan.credential
	if c == nil || !r.plan.joins() {
		return
	}
	r.stranger = closedFolder(r.engine.cfg.RuntimeDir, c)
}

// tellStranger says what that means.
func (r *run) tellStranger() {
	if r.stranger != "" {
		r.emit(engine.Fact{Kind: engine.Notice, Message: fmt.Sprintf(
			"its user %s cannot enter %s, where bulsa's preload for Node is: it is served as a program that listens on $PORT (run bulsa as that user, or set BULSA_RUNTIME_DIR to a folder that it may enter)",
			r.plan.service.Command.User, r.stranger)})
	}
}

// closedFolder is the topmost folder of the path that a user may not enter; "" if
// there is none.
func closedFolder(path string, c *syscall.Credential) string {
	path, err := filepath.Abs(path)
	if err != nil || c.Uid == 0 {
		return ""
	}
	closed := ""
	for ; ; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err == nil && !mayEnter(info, c) {
			closed = path
		}
		if path == filepath.Dir(path) {
			return closed
		}
	}
}

func mayEnter(info os.FileInfo, c *syscall.Credential) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	const own, group, other = 0o100, 0o010, 0o001 // search permission, path_resolution(7)
	mask := os.FileMode(other)
	switch {
	case stat.Uid == c.Uid:
		mask = own
	case stat.Gid == c.Gid, slices.Contains(c.Groups, stat.Gid):
		mask = group
	}
	return info.Mode()&mask != 0
}
