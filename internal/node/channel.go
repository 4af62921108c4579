package node

import (
	"context"
	"errors"
	"net"
)

// Errors of Connect, Pass, Disconnect and Send.
var (
	// ErrDown: the channel to the worker is closed.
	ErrDown = errors.New("the channel to the worker is closed")
	// ErrRefused: the worker did not take the connection (its server is closed, or full).
	ErrRefused = errors.New("the worker refused the connection")
	// ErrUncertain, from Pass only: the connection was sent, and ctx ended (or
	// Close was called) before the worker's answer. It may serve it yet, so
	// the connection must not be given to another worker.
	ErrUncertain = errors.New("the worker may have taken the connection")
)

// Channel is the line to one worker.
type Channel struct{}

// Connect makes a socketpair, passes one end as a new connection of the server
// key, waits for the worker's acceptance and returns the other end. An error
// means that the worker will read nothing from it.
func (c *Channel) Connect(ctx context.Context, key string) (net.Conn, error) { return nil, nil }

// Pass hands over a client's connection; see balance.Passer. fd is duplicated.
func (c *Channel) Pass(ctx context.Context, key string, fd uintptr) error { return nil }

// Disconnect asks the worker to close its servers and end when idle.
func (c *Channel) Disconnect() error { return nil }

// Send sends a user message (process.on('message')). It does not wait.
func (c *Channel) Send(m any) error { return nil }

// PID is the process that speaks at the other end, as our preload reports it:
// behind a wrapper not the one that was started. 0: not known (yet).
func (c *Channel) PID() int { return 0 }

// Close ends the channel; the worker exits when it notices.
func (c *Channel) Close() error { return nil }
