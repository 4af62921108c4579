package eventloop

import (
	"math/bits"
	"time"
)

const (
	buckets    = 112 // four for each power of two of microseconds, up to two minutes
	halfMemory = 5 * time.Second
)

// histogram counts durations of the last five to ten seconds, each with the time
// that it stands for as its weight.
type histogram struct {
	began    time.Time // of now
	now, old generation
}

type generation struct {
	counts [buckets]uint32 // weight in milliseconds
	weight uint64
	sum    float64 // of durations in ns times weight
	max    time.Duration
}

func (h *histogram) add(now time.Time, d, weight time.Duration) {
	if age := now.Sub(h.began); age >= halfMemory {
		if h.old = h.now; age >= 2*halfMemory {
			h.old = generation{}
		}
		h.began, h.now = now, generation{}
	}
	w := uint32(min(max(weight/time.Millisecond, 1), 1000))
	g := &h.now
	g.counts[bucketOf(d)] += w
	g.weight += uint64(w)
	g.sum += float64(d) * float64(w)
	g.max = max(g.max, d)
}

func (h *histogram) max() time.Duration { return max(h.now.max, h.old.max) }

func (h *histogram) mean() time.Duration {
	weight := h.now.weight + h.old.weight
	if weight == 0 {
		return 0
	}
	return time.Duration((h.now.sum + h.old.sum) / float64(weight))
}

// quantile is exact to a quarter; 0 when nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	want := q * float64(h.now.weight+h.old.weight)
	var seen uint64
	for i := range h.now.counts {
		if seen += uint64(h.now.counts[i]) + uint64(h.old.counts[i]); seen > 0 && float64(seen) >= want {
			return min(bucketBound(i), h.max())
		}
	}
	return 0
}

func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < 4 {
		return int(us)
	}
	shift := bits.Len64(us) - 3
	return min(4+shift*4+int(us>>shift&3), buckets-1)
}

// bucketBound is the upper bound of a bucket; 0 for the one of no delay at all.
func bucketBound(i int) time.Duration {
	if i < 4 {
		return time.Duration(i) * time.Microsecond
	}
	shift := (i - 4) / 4
	return time.Duration((i-4)%4+5) << shift * time.Microsecond
}
