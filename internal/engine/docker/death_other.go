//go:build !linux

package docker

import "errors"

// process is the first process of a container. Only on Linux do containers run
// on the same system as bulsa.
type process struct{}

func openProcess(int, string) (*process, error) { return nil, errors.ErrUnsupported }

func (*process) await() bool { return false }

func (*process) close() {}
