// Package probe runs one health check once and says whether it passed, with its
// output and its cost. When to check, and what a result means, is worker's
// business.
package probe

import (
	"context"
	"net"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// Target is the worker to check.
type Target struct {
	Engine   engine.Engine
	Instance engine.InstanceID
	Connect  func(ctx context.Context) (net.Conn, error) // opens a connection to the worker; nil while it does not listen
	Host     string                                      // for the Host header of an http check
}

// Run runs the service's check once against t, within h.Timeout. It returns
// when the check and everything it started have ended.
func Run(ctx context.Context, h spec.Health, t Target) worker.CheckResult {
	return worker.CheckResult{}
}
