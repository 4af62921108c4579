package balance

import (
	"fmt"
	"testing"
	"time"
)

func TestPickAllocatesNothing(t *testing.T) {
	for _, policy := range policies {
		for _, n := range []int{1, 4, 64} {
			es := names(n)
			p := pool(t, policy, es...)
			r := Request{Now: start, Client: client(1), Sticky: "none", Tried: es[1:min(2, n)]}
			if got := testing.AllocsPerRun(1000, func() {
				p.Pick(r).Release(start, true, time.Millisecond)
			}); got != 0 {
				t.Errorf("%s of %d allocates %v times", policy, n, got)
			}
		}
	}
}

// BenchmarkPick has requests in flight at every endpoint, so that the policies
// have something to compare; BenchmarkPickIdle has none.
func BenchmarkPick(b *testing.B)     { benchmarkPick(b, 3) }
func BenchmarkPickIdle(b *testing.B) { benchmarkPick(b, 0) }

// BenchmarkPickWatched has loops that are watched, one of them in a long tick.
func BenchmarkPickWatched(b *testing.B) {
	benchmarkPick(b, 3, func(es []*Endpoint) {
		for _, e := range es {
			e.SetLoop(Loop{})
		}
		es[0].SetLoop(Loop{Since: start.Add(-50 * time.Millisecond)})
	})
}

func benchmarkPick(b *testing.B, inFlight int, prepare ...func([]*Endpoint)) {
	for _, policy := range policies {
		for _, n := range []int{4, 64} {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				es := names(n)
				for _, e := range es {
					e.state.Add(uint64(inFlight))
					e.succeed(start.UnixNano(), 2*time.Millisecond)
				}
				for _, f := range prepare {
					f(es)
				}
				p := pool(b, policy, es...)
				r := Request{Now: start, Client: client(1)}
				for b.Loop() {
					p.Pick(r).leave()
				}
			})
		}
	}
}
