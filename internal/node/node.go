// Package node is what is special about Node.js: bulsa as the primary of
// Node's cluster protocol, the small preload, and how a command line or a
// package.json becomes a Node process.
//
// The protocol is private to Node but has not changed from version 18 to 26
// (lib/internal/cluster/child.js). What a worker keeps to itself never reaches
// the primary: listen({exclusive: true}), listen({reusePort: true}), a server
// that a worker thread opens. Such a server binds its own port.
package node

import (
	"encoding/json"
	"fmt"
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
	Tells       bool   // of what it begins: preload/begun.cjs
	Speaks      string // "http" or "tcp"; "": it has not said
	Script      string // the program's main file, as the preload tells it; "": not known
	Metrics     bool   // the process has loaded prom-client
}

// Key names the server that the ask is about. It is the same in all workers of
// a service, and it is what Connect, Pass and Handler.Closed call the server.
func (a Ask) Key() string {
	key := fmt.Sprintf("%s:%d:%s:%d", a.Address, a.Port, a.AddressType, a.FD)
	if a.Port == 0 {
		key += fmt.Sprintf(":%d", a.Index)
	}
	return key
}

// UDP reports whether the ask is for a datagram socket. It needs Grant.Shared.
func (a Ask) UDP() bool { return a.AddressType == "udp4" || a.AddressType == "udp6" }

// Grant answers an Ask. A Shared TCP socket must be bound to the very port that
// was asked for (unless that is 0), else Node reports EADDRINUSE.
type Grant struct {
	Errno  syscall.Errno // not 0: refused with it; the application gets it as the server's 'error' event
	Host   string        // what server.address() says; an IP address
	Port   int           // for an ask with port 0; any other ask is told its own
	Shared uintptr       // descriptor of a listening or UDP socket the worker shall use itself (duplicated by the callee); 0: the primary accepts
}

// Handler is told what one worker does. Its methods are called from the
// channel's reading goroutine, in order, and must not block for long. They may
// call the Channel's methods, except Connect and Pass: these wait for the same
// goroutine.
type Handler interface {
	// Online: the runtime is up; before any user code.
	Online()
	// Query: the worker wants to listen. The answer is sent when Query returns.
	Query(a Ask) Grant
	// Listening: ready; connections may be passed under key. a.Port is the real
	// port. key is "" when the worker never asked (Bun, which binds by itself)
	// and the path of the unix socket in listen mode.
	Listening(key string, a Ask)
	// Closed: the worker closed that server.
	Closed(key string)
	// Disconnecting: cluster.worker.disconnect() or kill(); it will end by itself.
	Disconnecting()
	// Message is a process.send of the application, but what the primary answers itself.
	Message(m json.RawMessage)
	// Down: the channel is closed; nothing follows. err is nil when either side
	// closed it in order, else the reason.
	Down(err error)
}

// Start is how a worker is started so that it joins the cluster.
type Start struct {
	Args []string // the command, possibly changed (app.js -> node app.js)
	Dir  string
	Env  []string         // additions to the environment; a later KEY=VALUE wins over an earlier one
	FDs  map[int]*os.File // descriptors the child must find under these numbers; the caller closes them once the child runs
}
