//go:build !linux

package tcpdiag

import (
	"context"
	"errors"
	"net/netip"
)

// Watch fails: other systems do not tell.
func (c *Closed) Watch(context.Context) error { return errors.ErrUnsupported }

// Listens is true, as where nothing is known.
func Listens(netip.AddrPort) bool { return true }
