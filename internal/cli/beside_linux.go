package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"bulsa/internal/daemon"
	"bulsa/internal/spec"
)

// besideProcess is a command with the environment, the working directory and the user
// of a process. Linux shows them to who may trace it (proc_pid_environ(5)): its own
// user, and root. It is no member of bulsa's cluster, whose channel the worker has.
func besideProcess(pid int, isNode bool, o daemon.ExecOptions) (*exec.Cmd, error) {
	folder := fmt.Sprintf("/proc/%d", pid)
	content, err := os.ReadFile(filepath.Join(folder, "environ"))
	if errors.Is(err, fs.ErrPermission) {
		return nil, errors.New("it is another user's: run bulsa as root or as that user")
	}
	if err != nil {
		return nil, fmt.Errorf("its environment cannot be read: %s", reason(err))
	}
	own, err := environmentOf(o.Env)
	if err != nil {
		return nil, err
	}
	env := spec.Inherit(own, daemon.Outside(strings.Split(strings.TrimRight(string(content), "\x00"), "\x00"), isNode))
	dir, err := os.Readlink(filepath.Join(folder, "cwd"))
	if err != nil {
		return nil, fmt.Errorf("its working directory cannot be read: %s", reason(err))
	}
	if o.Dir != "" {
		if dir = absolute(dir, o.Dir); !isFolder(dir) {
			return nil, usage("--workdir: there is no folder %s", dir)
		}
	}
	credential, err := credentialOf(folder, o.User)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Args: o.Args, Env: env, Dir: dir, SysProcAttr: &syscall.SysProcAttr{Credential: credential}}
	if cmd.Path, err = lookPath(o.Args[0], dir, spec.Environment(env)["PATH"]); err != nil {
		return nil, &statusError{127, fmt.Sprintf("command not found: %s", o.Args[0])}
	}
	return cmd, nil
}

// credentialOf is the user that is asked for, else that of the process; nil: bulsa's own.
func credentialOf(folder, asked string) (*syscall.Credential, error) {
	info, err := os.Stat(folder)
	if err != nil {
		return nil, errors.New("it has ended")
	}
	owner := info.Sys().(*syscall.Stat_t)
	uid, gid := owner.Uid, owner.Gid
	if asked != "" {
		if uid, gid, err = lookUser(asked); err != nil {
			return nil, err
		}
	}
	if int(uid) == os.Geteuid() && int(gid) == os.Getegid() {
		return nil, nil
	}
	return &syscall.Credential{Uid: uid, Gid: gid, NoSetGroups: os.Geteuid() != 0}, nil
}

// lookUser reads USER[:GROUP], names or numbers.
func lookUser(text string) (uid, gid uint32, err error) {
	name, group, given := strings.Cut(text, ":")
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			n, wrong := strconv.ParseUint(name, 10, 32)
			if wrong != nil {
				return 0, 0, usage("--user: there is no user %q", name)
			}
			u = &user.User{Uid: name, Gid: strconv.FormatUint(n, 10)}
		}
	}
	if given {
		u.Gid = group
		if g, err := user.LookupGroup(group); err == nil {
			u.Gid = g.Gid
		}
	}
	a, errA := strconv.ParseUint(u.Uid, 10, 32)
	b, errB := strconv.ParseUint(u.Gid, 10, 32)
	if errA != nil || errB != nil {
		return 0, 0, usage("--user: there is no group %q", group)
	}
	return uint32(a), uint32(b), nil
}

// lookPath finds a program as a shell in that environment would.
func lookPath(program, dir, path string) (string, error) {
	if strings.Contains(program, "/") {
		return absolute(dir, program), nil
	}
	for _, folder := range filepath.SplitList(path) {
		candidate := filepath.Join(absolute(dir, folder), program)
		if info, err := os.Stat(candidate); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", exec.ErrNotFound
}

func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// asUser has a command run as a user; empty: as this one.
func asUser(cmd *exec.Cmd, name string) error {
	if name == "" {
		return nil
	}
	uid, gid, err := lookUser(name)
	if err != nil || int(uid) == os.Geteuid() && int(gid) == os.Getegid() {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid, NoSetGroups: os.Geteuid() != 0}
	return nil
}
