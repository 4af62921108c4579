package balance

import "math"

// Up to this many endpoints least_latency looks at all of them, above at two.
const lookAtAll = 8

const (
	// loopPenalty: a tick that has lasted this many ns weighs as much as one request
	// in flight. A lower mean latency is noise, and a higher one weighs no more: a
	// loop that turns now is as good as it was bad. (A quarter of a request in its
	// place is a fifth better in blocked_test.go and was four times worse in
	// bench/mixed's S4, on a busy machine.) Of a tick that is under way
	// loopNoise is noise: the loop's clock has milliseconds.
	loopPenalty = 10e6
	loopNoise   = 2e6
	// A tick that was under way is believed to last for loopTrust after the look, which
	// is when the next look is due. On a full machine looks are late: every loop that
	// happened to turn at the last one would seem to hang, and the one that does not,
	// because a request has blocked it since, would be preferred.
	loopTrust = 5e6
	// An answer time counts as slow from twice the reference on and as at most
	// eight times slower, so that one odd answer cannot starve a worker.
	slowFrom, slowMax = 2, 8
	// Answer times (µs) below this are equally good. A worker that was idle for a
	// while is some milliseconds slower than one that is warm, on a busy machine
	// more: less than this would let the warm one have everything.
	fastAnswer = 10000
)

// byConns in place of a reference answer time: only requests in flight count.
const byConns = 0

// stuck finds the endpoint that the sticky cookie names.
func (g *group) stuck(r *Request, now int64, allowed level) *Endpoint {
	for _, e := range g.endpoints {
		if e.sticky == r.Sticky && r.can(e, now, max(allowed, silent)) {
			return e
		}
	}
	return nil
}

// inTurn is smooth weighted round robin. Those that cannot take the request
// lose their turn to the next, and the counter moves on with it, so that the
// others keep sharing by weight.
func (p *Pool) inTurn(g *group, r *Request, now int64, allowed level) *Endpoint {
	turn := p.turn.Add(1) - 1
	at := int(turn % uint64(len(g.order)))
	var shy *Endpoint
	for skipped := range g.order {
		e := g.endpoints[g.order[at]]
		if at++; at == len(g.order) {
			at = 0
		}
		if !r.can(e, now, allowed) {
			continue
		}
		if e.growing(now) && e.holdsBack(turn+uint64(skipped), now) {
			shy = e
			continue
		}
		if skipped > 0 {
			p.turn.CompareAndSwap(turn+1, turn+1+uint64(skipped))
		}
		return e
	}
	if shy == nil {
		p.giveBack(turn)
	}
	return shy
}

// giveBack takes back a turn that nobody could have. Otherwise a Pick that goes
// on to the next level would always take every second turn.
func (p *Pool) giveBack(turn uint64) { p.turn.CompareAndSwap(turn+1, turn) }

// holdsBack says whether an endpoint in slow start passes on this turn. The
// golden ratio's multiples spread evenly, so that it takes just its share.
func (e *Endpoint) holdsBack(turn uint64, now int64) bool {
	spread := float64(turn*0x9e3779b97f4a7c15) / math.MaxUint64
	return spread >= e.share(now)
}

// leastLatency compares all endpoints of a small group, and two at random of a
// big one: nearly as good as all (Mitzenmacher 1996), and many proxies with the
// same view do not all run to the same endpoint.
func (p *Pool) leastLatency(g *group, r *Request, now int64, allowed level) *Endpoint {
	n := len(g.endpoints)
	if n <= lookAtAll {
		return p.least(g, r, now, allowed, reference(g.endpoints))
	}
	turn := p.turn.Add(1)
	a, b := g.two(turn)
	if !r.can(a, now, allowed) || a.growing(now) && a.holdsBack(turn, now) {
		a = nil
	}
	if !r.can(b, now, allowed) || b.growing(now) && b.holdsBack(turn, now) {
		b = nil
	}
	switch {
	case a == nil && b == nil:
		return p.least(g, r, now, allowed, reference(g.endpoints))
	case a == nil:
		return b
	case b == nil:
		return a
	}
	pair := [2]*Endpoint{a, b}
	ref := reference(pair[:])
	if b.wait(now, ref) < a.wait(now, ref) {
		return b
	}
	return a
}

// two draws different endpoints, by weight: from the table of turns.
func (g *group) two(turn uint64) (a, b *Endpoint) {
	random := mix(turn)
	size := uint64(len(g.order))
	i := g.order[(random>>32)*size>>32]
	j := g.order[(random&math.MaxUint32)*size>>32]
	if i == j {
		j = (i + 1) % int32(len(g.endpoints))
	}
	return g.endpoints[i], g.endpoints[j]
}

// least chooses the endpoint with the shortest wait. Equal ones take turns.
func (p *Pool) least(g *group, r *Request, now int64, allowed level, ref uint32) *Endpoint {
	turn := p.turn.Add(1) - 1
	first := int(g.order[turn%uint64(len(g.order))])
	var best, shy *Endpoint
	var bestWait float64
	skipped, at := 0, first
	for step := range g.endpoints {
		e := g.endpoints[at]
		if at++; at == len(g.endpoints) {
			at = 0
		}
		if !r.can(e, now, allowed) {
			continue
		}
		if e.growing(now) && e.holdsBack(turn, now) {
			shy = e
			continue
		}
		if wait := e.wait(now, ref); best == nil || wait < bestWait {
			best, bestWait, skipped = e, wait, step
			if wait == 0 {
				break // nobody can be better
			}
		}
	}
	if best == nil {
		if shy == nil {
			p.giveBack(turn)
		}
		return shy
	}
	if skipped > 0 && g.uniform {
		// The chosen one has had its turn; otherwise it would have two: its own
		// and that of its neighbor that was passed over.
		p.turn.CompareAndSwap(turn+1, turn+1+uint64(skipped))
	}
	return best
}

// wait is the expected wait in units of a request, not of time: requests in
// flight for its weight, and how late its event loop is. Where there is no loop
// to be watched, recent answers that were slow beside the reference stretch the
// queue; of a loop that turns they only say that the last requests were slow ones. A worker that has answered nothing yet
// gets its first request as an equal and further ones only like a slow one:
// what has just joined is neither starved nor flooded.
func (e *Endpoint) wait(now int64, ref uint32) float64 {
	queue := float64(int64(e.state.Load()&inFlightMask)) * e.perWeight
	if e.growing(now) {
		queue /= e.share(now)
	}
	if ref == byConns {
		return queue
	}
	a := answerTime(e.answers.Load())
	since := e.running.Load()
	switch {
	case a == 0:
		queue *= slowMax
	case since == unwatched && a.micros()/slowFrom >= ref:
		slow := a.slowness(now, ref)
		return queue*slow + (slow - 1)
	}
	if since == unwatched {
		return queue
	}
	return queue + e.delay(now, since)
}

// delay is what the event loop makes a request wait, in units of a request: how
// long the tick at hand has lasted (one that has lasted long lasts long still, on
// average), and one more where the loop has been late of late.
func (e *Endpoint) delay(now, since int64) float64 {
	looked := e.looked.Load()
	delay := float64(looked & 1)
	if tick := min(now, looked) - since; since != polling && tick > loopNoise {
		delay += float64(tick) / loopPenalty
	}
	return delay
}

// slowness is how many times slower than the reference it answers: 1 (as good)
// to slowMax. It halves with every second without an answer, because an
// endpoint that gets no requests cannot prove that it has recovered.
func (a answerTime) slowness(now int64, ref uint32) float64 {
	slow := min(float64(a.micros())/float64(ref), slowMax)
	if age := a.age(now); age >= 1000 {
		slow /= float64(uint64(1) << min(age/1000, 32))
	}
	return max(slow, 1)
}

// reference is the shortest smoothed answer time in µs.
func reference(endpoints []*Endpoint) uint32 {
	shortest := uint32(math.MaxUint32)
	for _, e := range endpoints {
		if t := answerTime(e.answers.Load()).micros(); t > 0 && t < shortest {
			shortest = t
		}
	}
	return max(shortest, fastAnswer)
}

// rendezvous is weighted highest-random-weight hashing (Thaler, Ravishankar
// 1996): every client ranks the workers and takes the first that can. When one
// leaves, only its clients move, each to its own second choice, and they return
// when it comes back. Nginx's rehash loop takes a position in the list instead,
// so that a shorter list moves most clients.
func (g *group) rendezvous(r *Request, now int64, allowed level) *Endpoint {
	client := hashClient(r.Client)
	var best *Endpoint
	var bestRank uint64
	for _, e := range g.endpoints {
		if !r.can(e, now, allowed) {
			continue
		}
		if rank := g.rank(e, client, now); best == nil || rank > bestRank {
			best, bestRank = e, rank
		}
	}
	return best
}

// rank is weight / -ln(u), u evenly in (0, 1), which gives each worker clients
// in proportion to its weight. With equal weights the hash has the same order.
// Positive floating-point numbers sort like their bits.
func (g *group) rank(e *Endpoint, client uint64, now int64) uint64 {
	hash := mix(client ^ e.key)
	if g.uniform && !g.grows {
		return hash
	}
	u := (float64(hash>>11) + 0.5) / (1 << 53)
	rank := float64(e.cfg.Weight) / -math.Log(u)
	if e.growing(now) {
		rank *= e.share(now)
	}
	return math.Float64bits(rank)
}
