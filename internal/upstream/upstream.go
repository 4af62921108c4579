// Package upstream is the contract between the engines, which know how to reach a
// worker, and the data path, which sends requests to it. What an engine's connector or
// connection does beyond the least is one of the interfaces here; whoever implements one
// says so where it stands (var _ upstream.Recaller = ...), so that a method that is
// renamed on one side alone does not compile.
package upstream

import (
	"context"
	"net"
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

// RawOnly is a Connector whose worker does not speak HTTP/1.1 in the clear: every
// connection goes to it untouched, by a Passer.
type RawOnly interface{ RawOnly() bool }

// Speaker is a Connector that knows what its worker speaks.
type Speaker interface {
	// Speaks is "http", "tcp", or "" where nobody has said.
	Speaks() string
}

// LeftUnread is a connection whose end tells whether the worker left unread what
// was written in one piece.
type LeftUnread interface{ LeftUnread(err error) bool }

// Accountant is a connection that knows, after err has ended it, how many bytes of what
// was sent the worker had not read; it may take a moment. 0: unknown, or none.
type Accountant interface{ Unread(err error) int }

// Mortal is a connection that knows, after its end, whether the worker has ended.
type Mortal interface{ Died() bool }

// Teller is a connection that knows whether the worker gives Begun.
type Teller interface{ Tells() bool }

// Promiser is a Teller whose worker has said, when it began to listen, whether Tells
// will be true of its connections.
type Promiser interface{ WillTell() bool }

// Observed is a connection whose bytes mean more than its descriptor shows: what its
// Read knows, a loop asks for.
type Observed interface {
	// Greeting are first bytes that are not part of an answer. They may not come;
	// if they do, Tells is true.
	Greeting() string
	Promiser
	// CutOff says, after the end of the stream, whether the worker died with the
	// connection open: then what came is not all.
	CutOff() bool
}

// Recaller is a connection that can take back what its worker has not read: up to
// n bytes. It returns how many came back: n, the worker has seen nothing; 0, it
// has read them.
type Recaller interface{ Recall(n int) int }
