package stats

import (
	"testing"
	"time"
)

func TestHistogramBucketsHoldWhatTheyShould(t *testing.T) {
	for d := time.Microsecond; d < 4*time.Minute; d += d/7 + 1 {
		b := bucketOf(d)
		if d >= BucketBound(b) || b > 0 && d < BucketBound(b-1) {
			t.Fatalf("%v in bucket %d below %v", d, b, BucketBound(b))
		}
	}
	var h Durations
	for ms := range 1000 {
		h.Add(time.Duration(ms) * time.Millisecond)
	}
	if p := h.snapshot().Quantile(0.99); p < 900*time.Millisecond || p > 1200*time.Millisecond {
		t.Fatal(p)
	}
}
