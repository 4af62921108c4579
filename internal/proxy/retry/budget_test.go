package retry

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestTheBudgetIsAFifthOfTheRequestsInFlight(t *testing.T) {
	for inFlight, want := range map[int64]int{0: 3, 1: 3, 15: 3, 19: 3, 20: 4, 100: 20} {
		var b budget
		n := 0
		for b.take(inFlight) {
			n++
		}
		if n != want {
			t.Errorf("%d in flight: %d retries, want %d", inFlight, n, want)
		}
		b.give()
		if !b.take(inFlight) || b.take(inFlight) {
			t.Errorf("%d in flight: what was given back does not count", inFlight)
		}
	}
}

func TestTheBudgetHoldsAmongMany(t *testing.T) {
	var b budget
	var now, most atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 1000 {
				if b.take(50) {
					n := now.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					now.Add(-1)
					b.give()
				}
			}
		})
	}
	all.Wait()
	if most.Load() > 10 || b.spent.Load() != 0 {
		t.Errorf("%d at a time of 10, %d left", most.Load(), b.spent.Load())
	}
}
