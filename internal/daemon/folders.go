package daemon

import (
	"os"
	"path/filepath"

	"bulsa/internal/api"
)

// runtimeDir is the project's folder beside its control socket.
func runtimeDir(project string) string { return filepath.Dir(api.SocketPath(project)) }

// logDir is where workers' output is kept: with the state of the system, for it
// may be many megabytes, or beside the control socket where that was moved or
// nothing else can be written.
func logDir(project string) string {
	if os.Getenv("BULSA_RUNTIME_DIR") == "" {
		if dir := logFolder(project); dir != "" && api.CanWrite(dir) {
			return dir
		}
	}
	return filepath.Join(runtimeDir(project), "logs")
}

// stateDir is where what must outlive a reboot is kept.
func stateDir(project string) string {
	if os.Getenv("BULSA_RUNTIME_DIR") != "" {
		return runtimeDir(project)
	}
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "bulsa", project)
	}
	if os.Getuid() == 0 {
		return filepath.Join("/var/lib/bulsa", project)
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "bulsa", project)
	}
	return runtimeDir(project)
}

// logFolder is the system's place for such things; "" where it has none.
func logFolder(project string) string {
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "bulsa", project)
	}
	if os.Getuid() == 0 {
		return filepath.Join("/var/log/bulsa", project)
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "bulsa", project)
	}
	return ""
}

// cacheDir is where what takes long to find out is kept, for all projects; ""
// where there is no place for it.
func cacheDir() string {
	if os.Getuid() == 0 && os.Getenv("XDG_CACHE_HOME") == "" {
		return "/var/cache/bulsa"
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "bulsa")
}
