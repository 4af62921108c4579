package stats

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations in buckets an eighth of a power of two wide, in
// microseconds, up to four minutes.
type Histogram struct {
	Count  uint64
	Sum    time.Duration
	Counts [histogramBuckets]uint64
}

const (
	histogramBuckets = 208
	exactBuckets     = 16
)

// BucketBound is the upper bound of a Histogram's bucket; a duration equal to it
// belongs to the next.
func BucketBound(bucket int) time.Duration {
	if bucket < exactBuckets {
		return time.Duration(bucket+1) * time.Microsecond
	}
	shift := (bucket-exactBuckets)/8 + 1
	return time.Duration(((bucket-exactBuckets)%8+9)<<shift) * time.Microsecond
}

func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < exactBuckets {
		return int(us)
	}
	shift := bits.Len64(us) - 4
	return min(exactBuckets+(shift-1)*8+int(us>>shift&7), histogramBuckets-1)
}

// Sub is what was counted since the older copy.
func (h Histogram) Sub(older Histogram) Histogram {
	h.Count -= older.Count
	h.Sum -= older.Sum
	for i := range h.Counts {
		h.Counts[i] -= older.Counts[i]
	}
	return h
}

// Quantile is the duration below which the share q (0 to 1) of all lies, within
// an eighth; 0 when nothing was counted.
func (h Histogram) Quantile(q float64) time.Duration {
	var total, seen uint64
	for _, n := range h.Counts {
		total += n
	}
	for i, n := range h.Counts {
		seen += n
		if n > 0 && float64(seen) >= q*float64(total) {
			return BucketBound(i)
		}
	}
	return 0
}

// Below is how many durations were less than d, to the bucket's width.
func (h Histogram) Below(d time.Duration) uint64 {
	var n uint64
	for i := range h.Counts {
		if BucketBound(i) > d {
			break
		}
		n += h.Counts[i]
	}
	return n
}

// Durations count while others read.
type Durations struct {
	sum    atomic.Int64
	counts [histogramBuckets]atomic.Uint64
}

// Add counts one.
func (d *Durations) Add(took time.Duration) {
	d.sum.Add(int64(took))
	d.counts[bucketOf(took)].Add(1)
}

func (d *Durations) snapshot() Histogram {
	out := Histogram{Sum: time.Duration(d.sum.Load())}
	for i := range d.counts {
		out.Counts[i] = d.counts[i].Load()
		out.Count += out.Counts[i]
	}
	return out
}
