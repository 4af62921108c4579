package node

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed preload
var preloadFiles embed.FS

// WritePreload writes the preload into dir, which must exist, and returns its
// absolute path. One copy serves all workers. dir should be writable for bulsa
// only (mode 0700); when workers run as another user, that user must be able to
// read it, else Node does not start.
func WritePreload(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot write the preload for Node: %w", err)
	}
	entries, err := preloadFiles.ReadDir("preload")
	if err != nil {
		return "", fmt.Errorf("cannot read the preload for Node: %w", err)
	}
	for _, e := range entries {
		content, err := preloadFiles.ReadFile("preload/" + e.Name())
		if err == nil {
			err = replaceFile(filepath.Join(dir, e.Name()), content)
		}
		if err != nil {
			return "", fmt.Errorf("cannot write the preload for Node: %w", err)
		}
	}
	return filepath.Join(dir, entry), nil
}

// replaceFile never shows a half-written file to a worker that starts meanwhile.
func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".preload-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
