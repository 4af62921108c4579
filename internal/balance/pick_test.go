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

func BenchmarkPick(b *testing.B) {
	for _, policy := range policies {
		for _, n := range []int{4, 64} {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				p := pool(b, policy, names(n)...)
				r := Request{Now: start, Client: client(1)}
				for b.Loop() {
					p.Pick(r).leave()
				}
			})
		}
	}
}
