package api

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxSocketPath is the longest path of a unix socket on every system that bulsa
// knows (sockaddr_un: 108 bytes on Linux, 104 on macOS and the BSDs, with the final NUL).
const maxSocketPath = 103

// memoryFolder can be written where nothing else can: Docker gives one even to a
// container whose file system is read-only, or has no folder for temporary files.
const memoryFolder = "/dev/shm"

// RuntimeRoot is the folder that holds one folder for each running project:
// $BULSA_RUNTIME_DIR, else $XDG_RUNTIME_DIR/bulsa, else /run/bulsa for root and
// bulsa-UID in the folder for temporary files for others, or in memory where
// that cannot be written.
func RuntimeRoot() string {
	if dir := os.Getenv("BULSA_RUNTIME_DIR"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "bulsa")
	}
	own := fmt.Sprintf("bulsa-%d", os.Getuid())
	first := filepath.Join(os.TempDir(), own)
	if os.Getuid() == 0 {
		first = "/run/bulsa"
	}
	if last := filepath.Join(memoryFolder, own); !CanWrite(first) && CanWrite(last) {
		return last
	}
	return first
}

// CanWrite reports whether a folder can be written, or made.
func CanWrite(dir string) bool {
	const write, search = 2, 1 // access(2)
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return syscall.Access(dir, write|search) == nil
		}
		dir = filepath.Dir(dir)
	}
}

// RuntimeDir is the folder of one project: its socket, its lock, its token and
// the output of a detached bulsa.
func RuntimeDir(project string) string { return filepath.Join(RuntimeRoot(), project) }

// SocketPath is the control socket of a project.
func SocketPath(project string) string { return filepath.Join(RuntimeDir(project), "control.sock") }

// DaemonLog is where a detached bulsa writes what it would print in the foreground.
func DaemonLog(project string) string { return filepath.Join(RuntimeDir(project), "daemon.log") }

// CheckRuntime makes sure that the project's folder may hold its socket: the
// name is one, the path fits into a socket address, and the folder, where it exists, belongs
// to this user (the folder for temporary files is open to all).
func CheckRuntime(project string) error {
	if project == "" || strings.ContainsAny(project, "/\x00") || strings.HasPrefix(project, ".") {
		return fmt.Errorf("%q is not a project name: it has small letters, digits, - and _ only", project)
	}
	if path := SocketPath(project); len(path) > maxSocketPath {
		return fmt.Errorf("the path of the control socket is longer than %d bytes: %s: set BULSA_RUNTIME_DIR to a shorter folder", maxSocketPath, path)
	}
	for _, dir := range []string{RuntimeRoot(), RuntimeDir(project)} {
		if err := checkOwner(dir); err != nil {
			return err
		}
	}
	return nil
}

// checkOwner refuses a folder of somebody else. Where nobody has chosen the place it lies
// in a folder that is open to all, and neither a link that somebody else has made nor a
// folder that others may write is taken for ours.
func checkOwner(dir string) error {
	link, err := os.Lstat(dir)
	if err != nil {
		return nil // missing: made on the way; unreadable: the next step says so
	}
	if owner := ownerOf(link); !chosen() && !trusted(owner) {
		return notOurs(dir, owner)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil
	case !trusted(ownerOf(info)) && (!chosen() || os.Getuid() != 0):
		return notOurs(dir, ownerOf(info))
	case !info.IsDir():
		return fmt.Errorf("%s is no folder: remove it, or set BULSA_RUNTIME_DIR to a folder of your own", dir)
	case !chosen() && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by others (mode %04o): chmod 700 it, or set BULSA_RUNTIME_DIR to a folder of your own", dir, info.Mode().Perm())
	}
	return nil
}

func notOurs(dir string, owner int) error {
	return fmt.Errorf("%s belongs to another user (uid %d): set BULSA_RUNTIME_DIR to a folder of your own", dir, owner)
}

// chosen reports whether the user, or who logged the user in, says where the folder is.
func chosen() bool { return os.Getenv("BULSA_RUNTIME_DIR") != "" || os.Getenv("XDG_RUNTIME_DIR") != "" }

// trusted reports whether what a user has made may be used: it is this one, or root.
func trusted(owner int) bool { return owner == 0 || owner == os.Getuid() }

// ownerOf is the user that a file belongs to; this one where the system does not tell.
func ownerOf(info os.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return os.Getuid()
}

// PlainFile opens a file for use by its owner alone, and refuses what is none: a FIFO
// would keep its opener waiting, a device would take what is written.
func PlainFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.EISDIR) { // open(2): a FIFO that nobody reads
		return nil, notPlain(path)
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, notPlain(path)
	}
	return f, nil
}

func notPlain(path string) error { return fmt.Errorf("%s is no ordinary file: remove it", path) }
