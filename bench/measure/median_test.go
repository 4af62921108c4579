package measure

import (
	"math/rand/v2"
	"testing"
)

func TestTheMiddleIsFoundAmongNoise(t *testing.T) {
	const truth, runs, count = 1.01, 400, 30
	random := rand.New(rand.NewPCG(1, 2))
	missed := 0
	for range runs {
		values := make([]float64, count)
		for i := range values {
			values[i] = truth + 0.03*random.NormFloat64()
			if random.IntN(10) == 0 {
				values[i] += random.NormFloat64() // something else ran
			}
		}
		middle, low, high := Middle(values)
		if middle < low || middle > high {
			t.Fatalf("%v is not between %v and %v", middle, low, high)
		}
		if truth < low || truth > high {
			missed++
		}
	}
	if missed < runs/100 || missed > runs/10 {
		t.Errorf("%d of %d intervals miss the true value: that should be one of 20", missed, runs)
	}
}

func TestFewValues(t *testing.T) {
	if middle, low, high := Middle([]float64{3, 1}); middle != 2 || low != 1 || high != 3 {
		t.Errorf("%v, %v to %v", middle, low, high)
	}
	if middle, low, high := Middle(nil); middle != 0 || low != 0 || high != 0 {
		t.Errorf("of nothing: %v, %v to %v", middle, low, high)
	}
	if first, third := Quartiles([]float64{4, 1, 3, 2}); first != 2 || third != 4 {
		t.Errorf("%v and %v", first, third)
	}
}
