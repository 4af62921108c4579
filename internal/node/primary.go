package node

import "net"

// Primary is bulsa's side of the cluster protocol for all workers of one service.
type Primary struct{}

// NewPrimary makes a primary. id is the uuid that MASTER_ID questions are answered with.
func NewPrimary(id string) *Primary { return &Primary{} }

// Attach speaks the protocol over conn, bulsa's end of the socketpair, until it
// closes. The channel owns conn.
func (p *Primary) Attach(worker int, conn *net.UnixConn, h Handler) *Channel { return &Channel{} }
