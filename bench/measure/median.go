package measure

import (
	"math"
	"slices"
)

// Median of an odd or even number of values; 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Quartiles are the values below which one and three quarters lie; 0 of none.
func Quartiles(values []float64) (first, third float64) {
	if len(values) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/4], sorted[len(sorted)*3/4]
}

// Middle estimates the value that noisy ones lie around, and an interval that has
// it 95 times of 100. It is the median of the means of all pairs (Hodges and
// Lehmann 1963), with the interval of Wilcoxon's signed ranks: odd values weigh as
// little as in a median, and half as many are needed. Fewer than six values have
// an interval of their own ends.
func Middle(values []float64) (middle, low, high float64) {
	if len(values) == 0 {
		return 0, 0, 0
	}
	var means []float64
	for i, a := range values {
		for _, b := range values[i:] {
			means = append(means, (a+b)/2)
		}
	}
	slices.Sort(means)
	n := float64(len(values))
	spread := 1.96 * math.Sqrt(n*(n+1)*(2*n+1)/24)
	cut := max(int(n*(n+1)/4-spread), 0)
	return Median(means), means[cut], means[len(means)-1-cut]
}
