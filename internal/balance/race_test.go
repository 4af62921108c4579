package balance

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNothingIsInFlightAfterDrain swaps and drains endpoints under load. Each
// request counts itself at its endpoint; when the drain channel is closed the
// endpoint is marked stopped, and a request that holds it then has lost. It ends
// when so many drains have met a request in flight: most of them do not.
func TestNothingIsInFlightAfterDrain(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) { drainRace(t, policy, 500) })
	}
}

// account is the test's own count of an endpoint's requests. It travels as the
// connector, so that the requests share no map.
type account struct {
	Connector
	holding, stopped atomic.Int64
}

func drainRace(t *testing.T, policy string, wanted int) {
	const goroutines, workers = 8, 4
	fresh := func(i int) *Endpoint {
		c := Config{Worker: fmt.Sprintf("app.%d", i), Weight: 1, Connector: &account{}}
		if i%2 == 0 {
			c.MaxConns, c.MaxFails, c.FailTimeout = 3, 2, time.Millisecond
		}
		return NewEndpoint(c)
	}
	list := make([]*Endpoint, workers)
	for i := range list {
		list[i] = fresh(i)
	}
	p := pool(t, policy, list...)

	var wg sync.WaitGroup
	var lost, served atomic.Int64
	var over atomic.Bool
	for g := range goroutines {
		wg.Go(func() {
			for i := 0; !over.Load(); i++ {
				e := p.Pick(Request{Now: time.Now(), Client: client(i + g)})
				if e == nil {
					continue
				}
				a := e.cfg.Connector.(*account)
				a.holding.Add(1)
				if a.stopped.Load() != 0 {
					lost.Add(1)
				}
				if i%8 == 0 {
					runtime.Gosched() // a drain may begin
				}
				a.holding.Add(-1)
				e.Release(time.Now(), i%50 != 0, time.Microsecond)
				served.Add(1)
			}
		})
	}
	swaps := 0
	for met := 0; met < wanted; swaps++ {
		i := swaps % workers
		old := list[i]
		list[i] = fresh(i)
		p.Publish(list)
		a := old.cfg.Connector.(*account)
		if a.holding.Load() > 0 {
			met++
		}
		<-old.Drain()
		a.stopped.Store(1)
		if a.holding.Load() != 0 {
			t.Error("the drain channel is closed, and a request is in flight")
		}
	}
	over.Store(true)
	wg.Wait()
	if lost.Load() != 0 {
		t.Errorf("%d requests were acquired from a stopped endpoint", lost.Load())
	}
	for _, e := range list {
		if e.InFlight() != 0 {
			t.Errorf("%d in flight at the end", e.InFlight())
		}
	}
	t.Logf("%d requests, %d swaps", served.Load(), swaps)
}

func TestDrainOfAnIdleEndpointIsDoneAtOnce(t *testing.T) {
	e := worker("a")
	<-e.Drain()
	<-e.Drain()
	if pool(t, "", e).Pick(Request{Now: start}) != nil {
		t.Error("a draining endpoint was picked")
	}
}

func TestDrainWaitsForTheLastRelease(t *testing.T) {
	e := worker("a")
	p := pool(t, "", e)
	p.Pick(Request{Now: start})
	p.Pick(Request{Now: start})
	drained := e.Drain()
	for _, left := range []int{1, 0} {
		select {
		case <-drained:
			t.Fatalf("drained while %d are in flight", e.InFlight())
		default:
		}
		e.Release(start, true, 0)
		if e.InFlight() != left {
			t.Errorf("%d in flight, want %d", e.InFlight(), left)
		}
	}
	<-drained
}

func TestMaxConnsHoldsUnderLoad(t *testing.T) {
	e := worker("a", maxConns(3))
	p := pool(t, "", e)
	var wg sync.WaitGroup
	var holding atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 20_000 {
				if p.Pick(Request{Now: start}) == nil {
					continue
				}
				if holding.Add(1) > 3 {
					t.Error("more than MaxConns in flight")
				}
				holding.Add(-1)
				e.Release(start, true, 0)
			}
		})
	}
	wg.Wait()
}
