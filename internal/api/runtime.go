package api

import (
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

func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil // missing: made on the way; unreadable: the next step says so
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && stat.Uid != 0 && int(stat.Uid) != os.Getuid() && os.Getuid() != 0 {
		return fmt.Errorf("%s belongs to another user (uid %d): set BULSA_RUNTIME_DIR to a folder of your own", dir, stat.Uid)
	}
	return nil
}
