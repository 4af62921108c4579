// Package node is what is special about Node.js: bulsa as the primary of
// Node's cluster protocol, the small preloads, and how a command line or a
// package.json becomes a Node process.
package node

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"syscall"
)

// Ask is a worker's queryServer: its wish to listen.
type Ask struct {
	Address     string // "" for all addresses; a path for unix sockets
	Port        int    // 0: any; -1: unix socket
	AddressType string // "4" "6" "-1" "udp4" "udp6", as Node writes it
	FD          int    // -1: none
	Flags       int    // 1: IPv6 only; 4: reuse the address (UDP)
	Index       int    // counts a worker's asks for the same address
	TLS         bool   // the server speaks TLS itself (it sent ticket keys)
}

// Grant answers an Ask.
type Grant struct {
	Errno  syscall.Errno // not 0: refused with it
	Host   string        // what server.address() says
	Port   int
	Shared uintptr // descriptor of a listening or UDP socket the worker shall use itself (duplicated by the callee); 0: the primary accepts
}

// Handler is told what one worker does. Its methods are called from the
// channel's reading goroutine, in order, and must not block for long.
type Handler interface {
	Online()                     // the runtime is up; before any user code
	Query(a Ask) Grant           // the worker wants to listen
	Listening(key string, a Ask) // ready; connections may be passed under key
	Closed(key string)           // the worker closed that server
	Disconnecting()              // cluster.worker.disconnect() or kill(): it will end by itself
	Message(m json.RawMessage)   // process.send of the application, but what the primary answers itself
	Down(err error)              // the channel is closed; nothing follows
}

// Primary is bulsa's side of the cluster protocol for all workers of one service.
type Primary struct{}

// NewPrimary makes a primary. id is the uuid that MASTER_ID questions are answered with.
func NewPrimary(id string) *Primary { return &Primary{} }

// Attach speaks the protocol over conn, bulsa's end of the socketpair, until it closes.
func (p *Primary) Attach(worker int, conn *net.UnixConn, h Handler) *Channel { return &Channel{} }

// Channel is the line to one worker.
type Channel struct{}

// Connect makes a socketpair, passes one end as a new connection of the server
// key, waits for the worker's acceptance and returns the other end.
func (c *Channel) Connect(ctx context.Context, key string) (net.Conn, error) { return nil, nil }

// Pass hands over a client's connection; see balance.Passer.
func (c *Channel) Pass(ctx context.Context, key string, fd uintptr) error { return nil }

// Disconnect asks the worker to close its servers and end when idle.
func (c *Channel) Disconnect() error { return nil }

// Send sends a user message (process.on('message')).
func (c *Channel) Send(m any) error { return nil }

// Close ends the channel; the worker exits when it notices.
func (c *Channel) Close() error { return nil }

// Start is how a worker is started so that it joins the cluster.
type Start struct {
	Args []string // the command, possibly changed (app.js -> node app.js)
	Dir  string
	Env  []string         // additions to the environment
	FDs  map[int]*os.File // descriptors the child must find under these numbers
	Late bool             // it joins late, through a wrapper (npm, npx, tsx, a shell)
}
