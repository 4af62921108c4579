package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/node"
	"bulsa/internal/spec"
)

// defaultPath is searched when a service's environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// plan is what all workers of a release have in common, worked out once, so
// that a dead worker is back within milliseconds.
type plan struct {
	service    spec.Service
	command    node.Command
	path       string   // of the executable that command.Args[0] names
	env        []string // of the service, and what its command needs
	credential *syscall.Credential
	stop       syscall.Signal
	sources    []stamp
}

// joins reports whether Node processes of a worker may join the cluster. Any
// program may lead to some.
func (p *plan) joins() bool {
	mode := p.service.NodeMode
	return mode != spec.NodePort && mode != spec.NodeOff
}

// clustered reports whether a worker is a member of the cluster from its first
// moment, so that bulsa listens for it.
func (p *plan) clustered() bool { return p.joins() && p.command.Kind == node.KindNode }

func planKey(r *spec.Release) string {
	return r.Service.Name + "@" + strconv.Itoa(r.Number) + "@" + r.Digest
}

// stamp is what a file was like when a plan was made of it: a link of its path that
// leads elsewhere, or other content, makes another plan.
type stamp struct {
	path     string
	real     string
	size     int64
	modified time.Time
}

func stampOf(path string) stamp {
	s := stamp{path: path}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		s.real = real
	}
	if info, err := os.Stat(path); err == nil {
		s.size, s.modified = info.Size(), info.ModTime()
	}
	return s
}

func (p *plan) stale() bool {
	return slices.ContainsFunc(p.sources, func(s stamp) bool { return stampOf(s.path) != s })
}

// plan returns the release's plan, from memory while it is what it was made of.
func (e *Engine) plan(r *spec.Release) (*plan, error) {
	e.mu.Lock()
	p := e.plans[planKey(r)]
	e.mu.Unlock()
	if p != nil && !p.stale() {
		return p, nil
	}
	p, err := newPlan(r.Service)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.plans[planKey(r)] = p
	e.mu.Unlock()
	return p, nil
}

func (e *Engine) dropPlan(r *spec.Release) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.plans, planKey(r))
}

// Check finds what keeps every worker of a service from being started: its
// command, working directory, user or stop signal. The error is a *spec.Problem
// whose Where is the key of the service.
func Check(s spec.Service) error {
	_, err := newPlan(s)
	if m, ok := errors.AsType[*mistake](err); ok {
		return &spec.Problem{Where: m.key, What: m.Error()}
	}
	return err
}

// mistake is an error about one key of a service.
type mistake struct {
	key string
	error
}

func (m *mistake) Unwrap() error { return m.error }

func newPlan(s spec.Service) (*plan, error) {
	c := s.Command
	if len(c.Args) == 0 {
		return nil, &mistake{"command", errors.New("the service has no command")}
	}
	if info, err := os.Stat(c.Dir); c.Dir != "" && (err != nil || !info.IsDir()) {
		return nil, &mistake{"working_dir", fmt.Errorf("its working directory does not exist: %s", c.Dir)}
	}
	command, err := node.Resolve(c.Args, c.Dir, c.Env)
	if err != nil {
		return nil, &mistake{"command", err}
	}
	p := &plan{service: s, command: command, env: unique(c.Env, command.Env)}
	for _, path := range command.Sources {
		p.sources = append(p.sources, stampOf(path))
	}
	if p.path, err = lookPath(command.Args[0], command.Dir, p.env); err != nil {
		return nil, &mistake{"command", err}
	}
	if p.credential, err = credential(c.User); err != nil {
		return nil, &mistake{"user", err}
	}
	if p.stop = syscall.SIGTERM; s.Stop.Signal != "" {
		p.stop = engine.SignalNumber(s.Stop.Signal)
	}
	if p.stop == 0 {
		return nil, &mistake{"stop_signal", fmt.Errorf("unknown stop signal %q (use a name as SIGTERM)", s.Stop.Signal)}
	}
	return p, nil
}

// lookPath finds an executable as a shell in the worker's place would.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return path, executable(path, name)
	}
	search, ok := variable(env, "PATH")
	if !ok {
		search = defaultPath
	}
	for _, folder := range filepath.SplitList(search) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		path := filepath.Join(folder, name)
		if executable(path, name) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("command not found: %s (looked in PATH=%s)", name, search)
}

func executable(path, name string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("command not found: %s", name)
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("command is a folder: %s", name)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("command is not executable: %s (chmod +x, or name its interpreter)", name)
	}
	return nil
}

// credential resolves user[:group]; nil means bulsa's own.
func credential(name string) (*syscall.Credential, error) {
	if name == "" {
		return nil, nil
	}
	userName, groupName, grouped := strings.Cut(name, ":")
	uid, gid, extra, err := lookUser(userName)
	if err != nil {
		return nil, err
	}
	if grouped {
		extra = nil
		if gid, err = lookGroup(groupName); err != nil {
			return nil, err
		}
	}
	own := os.Geteuid()
	if int(uid) == own && int(gid) == os.Getegid() {
		return nil, nil
	}
	if own != 0 {
		return nil, fmt.Errorf("user: %s needs bulsa to run as root (it runs as uid %d)", name, own)
	}
	return &syscall.Credential{Uid: uid, Gid: gid, Groups: extra}, nil
}

// lookUser accepts a name or a number; a number needs no entry in passwd(5).
func lookUser(name string) (uid, gid uint32, groups []uint32, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		n, bad := strconv.ParseUint(name, 10, 32)
		if bad != nil {
			return 0, 0, nil, fmt.Errorf("user: unknown user %q", name)
		}
		return uint32(n), 0, nil, nil
	}
	ids, _ := u.GroupIds() // a system that cannot tell them has none to give
	for _, id := range ids {
		groups = append(groups, number(id))
	}
	return number(u.Uid), number(u.Gid), groups, nil
}

func lookGroup(name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("user: unknown group %q", name)
	}
	return number(g.Gid), nil
}

func number(id string) uint32 {
	n, _ := strconv.ParseUint(id, 10, 32)
	return uint32(n)
}

// unique joins environments; of several values the last one stays, because
// programs differ in which of two they see.
func unique(parts ...[]string) []string {
	var all []string
	at := map[string]int{}
	for _, part := range parts {
		for _, entry := range part {
			key, _, _ := strings.Cut(entry, "=")
			if i, ok := at[key]; ok {
				all[i] = entry
				continue
			}
			at[key] = len(all)
			all = append(all, entry)
		}
	}
	return all
}
