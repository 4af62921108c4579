// Package balance decides which endpoint gets a request. It holds endpoints,
// the published snapshot of usable ones, the policies, requests in flight,
// drain, passive failures and the panic rule. Picking takes no lock and
// allocates nothing.
package balance

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Connector opens upstream connections to one endpoint: TCP, a unix socket,
// or one end of a socketpair whose other end is passed to a worker.
type Connector interface {
	// Connect opens one connection. An error means that nothing of a request
	// has reached the worker, so the request may go elsewhere.
	Connect(ctx context.Context) (net.Conn, error)
}

// Begun is an interim answer by which a worker says that its application now
// gets the request at hand. It is meant for the proxy, not for the client. On a
// connection whose Tells() is true it comes for every request that must not
// happen twice, but for upgrades.
const Begun = "HTTP/1.1 102 Processing\r\nBulsa: begun\r\n\r\n"

// Passer is a Connector that can hand a whole client connection to the worker,
// who then owns it: for TLS and HTTP/2 that the application speaks itself.
type Passer interface {
	// Pass gives the connection's descriptor to the worker and returns when the
	// worker has accepted it. The caller closes its own copy in any case; an
	// error means the worker did not take it and another may be tried.
	Pass(ctx context.Context, fd uintptr) error
}

// Config describes an Endpoint; it does not change afterwards.
type Config struct {
	Worker      string // SERVICE.N, for messages and metrics
	Instance    string // the run of the worker that this address belongs to
	Address     string // for messages: host:port, unix:/path, or "ipc"
	Connector   Connector
	Weight      int           // at least 1
	Backup      bool          // used only while no ordinary endpoint can be
	MaxFails    int           // 0: failures never take it out
	FailTimeout time.Duration // window for MaxFails, and the time out of rotation; 0: 10 s
	MaxConns    int           // requests in flight at most; 0: no limit
	SlowStart   time.Duration // the share grows to whole over this time from Ready
	Ready       time.Time     // when it joined; zero: no slow start
}

// Request is what a Pick may look at. It stays on the caller's stack.
type Request struct {
	Now    time.Time   // a clock that is set does no harm beyond one FailTimeout
	Client netip.Addr  // for ip_hash; not valid (a unix socket's client): round robin
	Sticky string      // value of the sticky cookie (StickyID), or ""
	Tried  []*Endpoint // endpoints that already failed this request: not picked again
}
