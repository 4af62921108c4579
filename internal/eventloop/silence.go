package eventloop

import (
	"slices"
	"time"
)

const (
	// SilentAfter is how long a loop may go without turning before it counts as
	// silent, if those beside it do better.
	SilentAfter = 200 * time.Millisecond
	// unusual is how many times longer than usual in its pool that must be.
	unusual = 4
)

// State is one loop of a pool.
type State struct {
	Running time.Duration // how long it has not turned
	Latency time.Duration // how late callbacks run, on average, each counted as SilentAfter at most
	Silent  bool
}

// Judge decides which loops of a pool are silent. Where the whole machine is busy
// every loop is late, and none stands out: the limit grows with what is usual. A
// loop that was silent is so until it has turned, not just become a little less late.
func Judge(pool []State) {
	if len(pool) == 0 {
		return
	}
	late := make([]time.Duration, len(pool))
	for i, s := range pool {
		late[i] = s.Latency
	}
	slices.Sort(late)
	limit := max(SilentAfter, unusual*late[(len(late)-1)/2])
	for i := range pool {
		s := &pool[i]
		if s.Silent {
			s.Silent = s.Running > limit/2
		} else {
			s.Silent = s.Running > limit
		}
	}
}
