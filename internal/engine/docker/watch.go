package docker

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"bulsa/internal/engine"
)

const (
	// reconcileEvery is what a missed event costs.
	reconcileEvery = time.Second
	// retryEvery is how often an engine that is away is asked again.
	retryEvery = 500 * time.Millisecond
)

// watch follows the events of the project's containers until Close. Whenever
// the stream breaks, the containers that run go on and stay in rotation.
func (e *Engine) watch(conn *connection) {
	for e.ctx.Err() == nil {
		err := e.follow(conn)
		if e.ctx.Err() != nil {
			return
		}
		e.away(unreachable(conn.Client, err))
		select {
		case <-time.After(retryEvery):
		case <-e.ctx.Done():
		}
	}
}

// follow returns when the stream of events breaks, with the reason.
func (e *Engine) follow(conn *connection) error {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	ping, done := context.WithTimeout(ctx, callTimeout)
	_, err := conn.Ping(ping, client.PingOptions{})
	done()
	if err != nil {
		return err
	}
	stream := conn.Events(ctx, client.EventsListOptions{Filters: ofProject(e.cfg.Project).Add("type", string(events.ContainerEventType))})
	if err := e.reconcile(ctx, conn); err != nil {
		return err
	}
	e.returned()
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		select {
		case m := <-stream.Messages:
			e.happened(ctx, conn, m)
		case err := <-stream.Err:
			return err
		case <-tick.C:
			if err := e.reconcile(ctx, conn); err != nil {
				return err
			}
		}
	}
}

// happened looks at the container that an event is about.
func (e *Engine) happened(ctx context.Context, conn *connection, m events.Message) {
	r := e.holder(m.Actor.ID)
	if r == nil {
		return
	}
	switch m.Action {
	case events.ActionKill:
		r.signalled(m.Actor.Attributes["signal"])
	case events.ActionDie, events.ActionDestroy, events.ActionStart, events.ActionPause, events.ActionUnPause, events.ActionRestart,
		events.ActionHealthStatusHealthy, events.ActionHealthStatusUnhealthy, events.ActionHealthStatusRunning, events.ActionHealthStatus:
		r.look(ctx, conn, m.Actor.Attributes["exitCode"])
	}
}

// reconcile lists the containers, and looks at those that are not as they were.
func (e *Engine) reconcile(ctx context.Context, conn *connection) error {
	e.mu.Lock()
	held := maps.Clone(e.holders)
	e.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := conn.ContainerList(call, client.ContainerListOptions{All: true, Filters: ofProject(e.cfg.Project)})
	if err != nil {
		return err
	}
	byID := make(map[string]container.Summary, len(list.Items))
	for _, c := range list.Items {
		byID[c.ID] = c
	}
	for id, r := range held {
		c, there := byID[id]
		if !there || r.differs(glance(c)) {
			r.look(call, conn, "")
		}
	}
	return nil
}

// away notes that the engine is gone, and tells once.
func (e *Engine) away(reason error) {
	e.mu.Lock()
	first := e.lost == nil
	e.lost = reason
	if first {
		e.back = make(chan struct{})
	}
	runs := e.all()
	e.mu.Unlock()
	if first {
		e.tell(runs, fmt.Sprintf("%v; its containers stay in rotation", reason))
	}
}

// returned notes that the engine is there again.
func (e *Engine) returned() {
	e.mu.Lock()
	was := e.lost
	e.lost = nil
	if e.back != nil {
		close(e.back)
		e.back = nil
	}
	runs, left := e.all(), e.left
	e.left = nil
	conn := e.conn
	e.mu.Unlock()
	for _, id := range left {
		e.work.Go(func() { e.retire(conn, id) })
	}
	if was != nil {
		e.tell(runs, "the Docker engine is back")
	}
}

// awaitBack returns a channel that is closed when the engine is there; nil when
// it was never reached: nobody watches it yet.
func (e *Engine) awaitBack() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.back
}

// all are the runs. Caller holds e.mu.
func (e *Engine) all() []*run {
	runs := make([]*run, 0, len(e.runs))
	for _, r := range e.runs {
		runs = append(runs, r)
	}
	return runs
}

func (e *Engine) tell(runs []*run, message string) {
	for _, r := range runs {
		r.emit(engine.Fact{Kind: engine.Notice, Message: message})
	}
}
