package retry

import "sync/atomic"

const (
	budgetShare = 5 // one in five of the requests in flight
	leastBudget = 3
)

// budget bounds how many requests of a service are with a worker for another
// time because one that may have seen them failed. What makes one worker fail
// them may make all fail: without a bound each client would count many times,
// and those that could recover would not (Envoy calls it a retry budget). A
// request that no worker can have seen costs nothing when it goes to another.
type budget struct{ spent atomic.Int64 }

// take is true when one more may go; it is owed a give.
func (b *budget) take(inFlight int64) bool {
	limit := max(inFlight/budgetShare, leastBudget)
	for {
		n := b.spent.Load()
		if n >= limit {
			return false
		}
		if b.spent.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (b *budget) give() { b.spent.Add(-1) }
