// Package balance decides which endpoint gets a request. It holds endpoints,
// the published snapshot of usable ones, the policies, requests in flight,
// drain, passive failures and the panic rule. Picking takes no lock and
// allocates nothing.
package balance

import (
	"net/netip"
	"time"

	"bulsa/internal/upstream"
)

// What reaches an endpoint; see package upstream.
type (
	Connector = upstream.Connector
	Passer    = upstream.Passer
)

// Begun is upstream.Begun.
const Begun = upstream.Begun

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
