package balance

// maxOrder bounds the table of turns, except that everybody has a turn.
const maxOrder = 1024

// group is a list of endpoints and the order of their turns.
type group struct {
	endpoints []*Endpoint
	order     []int32 // positions in endpoints
	uniform   bool    // all weights are equal
	grows     bool    // somebody has a slow start
}

func newGroup(endpoints []*Endpoint) *group {
	weights := make([]int, len(endpoints))
	grows := false
	for i, e := range endpoints {
		weights[i] = e.cfg.Weight
		grows = grows || e.slowUntil != 0
	}
	weights = reduce(weights)
	return &group{
		endpoints: endpoints,
		order:     smoothOrder(weights),
		uniform:   sum(weights) == len(weights),
		grows:     grows,
	}
}

// smoothOrder is one round of nginx's smooth weighted round robin: in each turn
// everybody's credit grows by its weight, the richest has the turn and pays the
// sum of all weights. After a round all credits are zero again, so a table of
// one round, walked by a counter, is the same as the algorithm, without its lock.
func smoothOrder(weights []int) []int32 {
	total := sum(weights)
	order := make([]int32, total)
	if total == len(weights) {
		for i := range order {
			order[i] = int32(i)
		}
		return order
	}
	credit := make([]int, len(weights))
	for turn := range order {
		richest := 0
		for i, w := range weights {
			credit[i] += w
			if credit[i] > credit[richest] {
				richest = i
			}
		}
		credit[richest] -= total
		order[turn] = int32(richest)
	}
	return order
}

// reduce divides the weights by their greatest common divisor. If a round would
// still be longer than maxOrder turns, it scales them down: shares are then
// right to about one turn in maxOrder, and nobody's is less than one turn.
func reduce(weights []int) []int {
	divisor := 0
	for _, w := range weights {
		divisor = gcd(divisor, w)
	}
	reduced := make([]int, len(weights))
	for i, w := range weights {
		reduced[i] = w / divisor
	}
	total := sum(reduced)
	if total <= max(maxOrder, len(weights)) {
		return reduced
	}
	for i, w := range reduced {
		reduced[i] = max(1, int(float64(w)*maxOrder/float64(total)+0.5))
	}
	return reduced
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func sum(xs []int) int {
	total := 0
	for _, x := range xs {
		total += x
	}
	return total
}
