// Package external is the engine for servers that somebody else runs: bulsa
// balances over them, checks them, and owns no process. Server i of a service
// is its worker i+1.
package external

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// closeGrace is how long Close waits for commands and for the reader of facts.
const closeGrace = 10 * time.Second

var errClosed = errors.New("bulsa is closing: no worker is started any more")

// Engine keeps the list of servers in use. Make one with New.
type Engine struct {
	facts chan engine.Fact
	ctx   context.Context // ends with Close
	end   context.CancelFunc
	work  sync.WaitGroup // senders of facts, commands

	mu     sync.Mutex
	closed bool
	runs   map[engine.InstanceID]*run
	queue  []engine.Fact
	pumps  bool // a goroutine delivers the queue
}

// run is one server in use.
type run struct {
	instance engine.Instance
	ctx      context.Context // of the commands that check it
	end      context.CancelFunc
}

var _ engine.Engine = (*Engine)(nil)

// New makes an engine.
func New() *Engine {
	e := &Engine{facts: make(chan engine.Fact, 64), runs: map[engine.InstanceID]*run{}}
	e.ctx, e.end = context.WithCancel(context.Background())
	return e
}

// Properties of the engine: it starts nothing, so two runs never disturb each other.
func (e *Engine) Properties() engine.Properties { return engine.Properties{Isolated: true} }

// Start takes the server of the worker's number into use.
func (e *Engine) Start(ctx context.Context, l engine.Launch) (engine.Instance, error) {
	if err := ctx.Err(); err != nil {
		return engine.Instance{}, err
	}
	servers := l.Release.Service.Servers
	if l.Number < 1 || l.Number > len(servers) {
		return engine.Instance{}, fmt.Errorf("cannot start %s: the service has %d servers", l.Worker, len(servers))
	}
	c, err := parse(servers[l.Number-1])
	if err != nil {
		return engine.Instance{}, fmt.Errorf("cannot start %s: %w", l.Worker, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return engine.Instance{}, fmt.Errorf("cannot start %s: %w", l.Worker, errClosed)
	}
	if e.runs[l.ID] != nil {
		return engine.Instance{}, fmt.Errorf("cannot start %s: instance %s runs already", l.Worker, l.ID)
	}
	r := &run{instance: engine.Instance{ID: l.ID, Worker: l.Worker, Ref: servers[l.Number-1].Address, Started: time.Now()}}
	r.ctx, r.end = context.WithCancel(e.ctx)
	e.runs[l.ID] = r
	e.send(engine.Fact{Kind: engine.Listening, Instance: l.ID, Port: engine.Main, Address: r.instance.Ref, Connector: c, Message: "in use, not checked"})
	return r.instance, nil
}

// Signal is refused: the server's processes are not bulsa's.
func (e *Engine) Signal(_ context.Context, id engine.InstanceID, signal string) error {
	r := e.find(id)
	if r == nil {
		return engine.ErrNoInstance
	}
	return fmt.Errorf("cannot send %s to %s: bulsa does not run the server at %s", signal, r.instance.Worker, r.instance.Ref)
}

// Stop takes the server out of use.
func (e *Engine) Stop(_ context.Context, id engine.InstanceID) error { return e.drop(id) }

// Kill takes the server out of use.
func (e *Engine) Kill(_ context.Context, id engine.InstanceID) error { return e.drop(id) }

// List returns the servers in use, sorted by ID.
func (e *Engine) List(context.Context) ([]engine.Instance, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]engine.Instance, 0, len(e.runs))
	for _, r := range e.runs {
		list = append(list, r.instance)
	}
	slices.SortFunc(list, func(a, b engine.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// Facts is the stream of what happens.
func (e *Engine) Facts() <-chan engine.Fact { return e.facts }

// Close takes all servers out of use.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	for id, r := range e.runs {
		e.gone(id, r)
	}
	e.mu.Unlock()
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		e.work.Wait()
	}()
	select {
	case <-delivered:
	case <-time.After(closeGrace): // nobody reads the facts any more
	}
	e.end()
	<-delivered
	close(e.facts)
	return nil
}

func (e *Engine) find(id engine.InstanceID) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

func (e *Engine) drop(id engine.InstanceID) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.runs[id]
	if r == nil {
		return engine.ErrNoInstance
	}
	e.gone(id, r)
	return nil
}

// gone ends a run. Caller holds e.mu.
func (e *Engine) gone(id engine.InstanceID, r *run) {
	r.end()
	delete(e.runs, id)
	e.send(engine.Fact{Kind: engine.Exited, Instance: id})
}

// send queues a fact; a goroutine delivers it, so that no caller waits for the
// reader. Caller holds e.mu.
func (e *Engine) send(f engine.Fact) {
	f.At = time.Now()
	e.queue = append(e.queue, f)
	if !e.pumps {
		e.pumps = true
		e.work.Go(e.deliver)
	}
}

func (e *Engine) deliver() {
	for {
		e.mu.Lock()
		batch := e.queue
		e.queue = nil
		e.pumps = len(batch) > 0
		e.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, f := range batch {
			select {
			case e.facts <- f:
			case <-e.ctx.Done():
				return
			}
		}
	}
}

// connector opens connections to a server.
type connector struct{ network, address string }

func (c connector) Connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, c.network, c.address)
}

func parse(s spec.Server) (connector, error) {
	if path, ok := strings.CutPrefix(s.Address, "unix:"); ok {
		if path == "" {
			return connector{}, fmt.Errorf("server address %q names no path (unix:/path)", s.Address)
		}
		return connector{network: "unix", address: path}, nil
	}
	if _, port, err := net.SplitHostPort(s.Address); err != nil || port == "" {
		return connector{}, fmt.Errorf("server address %q is not host:port or unix:/path", s.Address)
	}
	return connector{network: "tcp", address: s.Address}, nil
}
