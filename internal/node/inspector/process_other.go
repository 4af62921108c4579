//go:build !linux

package inspector

import (
	"errors"
	"net/netip"
	"syscall"
)

const openSignal = syscall.SIGUSR1

// errUnsupported: what makes sure that SIGUSR1 does no harm is Linux's own.
var errUnsupported = errors.New("looking into a process is possible on Linux only")

// listener is a TCP socket that listens.
type listener struct {
	inode   uint64
	address netip.AddrPort
}

func startOf(int) (string, error)                          { return "", errUnsupported }
func (p *process) isNode() error                           { return errUnsupported }
func (p *process) commandLine() ([]string, string, error)  { return nil, "", errUnsupported }
func (p *process) waitsForSignal() error                   { return errUnsupported }
func (p *process) listening() (map[uint64]listener, error) { return nil, errUnsupported }
func (p *process) owns(map[uint64]listener) (map[uint64]listener, error) {
	return nil, errUnsupported
}
func (p *process) uninterruptible() string { return "" }
func (p *process) state() string           { return "" }
