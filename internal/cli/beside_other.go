//go:build !linux

package cli

import (
	"errors"
	"os/exec"

	"bulsa/internal/daemon"
)

// besideProcess needs Linux's /proc, which shows the environment of a process.
func besideProcess(int, bool, daemon.ExecOptions) (*exec.Cmd, error) {
	return nil, errors.New("this system does not show the environment of a process")
}

// asUser knows Linux's way alone.
func asUser(_ *exec.Cmd, name string) error {
	if name != "" {
		return usage("--user: this system is not supported")
	}
	return nil
}
