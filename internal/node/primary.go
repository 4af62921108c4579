package node

import (
	"encoding/json"
	"net"
	"sync"
)

// maxShared is how many servers of one service keep shared data; a service has
// a handful, and a worker that asks for ever must not fill the memory.
const maxShared = 256

// Primary is bulsa's side of the cluster protocol for all workers of one service.
type Primary struct {
	id string

	mu   sync.Mutex
	data map[string]json.RawMessage // by key: the first worker's data, for all
}

// NewPrimary makes a primary. id is the uuid that MASTER_ID questions are answered with.
func NewPrimary(id string) *Primary {
	return &Primary{id: id, data: make(map[string]json.RawMessage)}
}

// Attach speaks the protocol over conn, bulsa's end of the socketpair, until it
// closes. The channel owns conn. Its two goroutines have ended when
// Handler.Down is called.
func (p *Primary) Attach(worker int, conn *net.UnixConn, h Handler) *Channel {
	c := newChannel(p, worker, conn, h)
	go c.write()
	go c.read()
	return c
}

// shared returns the data that all workers of a server get. It outlives the
// workers, so that TLS session tickets are good after a restart.
func (p *Primary) shared(key string, own json.RawMessage, ownIsSet bool) json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d, ok := p.data[key]; ok {
		return d
	}
	if ownIsSet && len(p.data) < maxShared {
		p.data[key] = append(json.RawMessage(nil), own...)
	}
	return own
}
