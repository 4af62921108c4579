//go:build !linux

package proxy

import (
	"context"
	"net"

	"bulsa/internal/balance"
)

// loops are there on Linux alone.
type loops struct{ off bool }

func (*loops) sweep([]*balance.Pool) {}
func (*loops) drain()                {}
func (*loops) cut()                  {}
func (*loops) stop()                 {}

func (*Server) acceptOnLoops(context.Context, string, net.Listener) bool { return false }
