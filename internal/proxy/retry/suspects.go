package retry

import (
	"bytes"
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bulsa/internal/balance"
)

const (
	// convicting is how many workers in a row must have died with a request, and with
	// none like it answered in between, until it counts as what has killed them; twice
	// as many where more than few like it were in one worker, or where only its path is
	// that of the others: what many ask for is in most workers that somebody kills.
	convicting = 2
	few        = 3
	// convictFor and suspectFor are how long that is remembered after the last death.
	convictFor = 10 * time.Minute
	suspectFor = time.Minute
	// mostSuspects bounds what is remembered: the oldest is forgotten.
	mostSuspects = 256
	// sparing is how long a request waits that has been with a worker when it died, or is
	// a convict, for a worker without suspects and a second one that serves the others
	// meanwhile: a worker that a request has ended is back by then. Others like it wait
	// for isolating: an answer to one of them acquits all.
	sparing   = 3 * time.Second
	isolating = 400 * time.Millisecond
	// oneDeath is within what time all requests of a worker learn of its death.
	oneDeath = time.Second
)

// rank says how much is known against a request.
type rank uint8

const (
	unknown rank = iota
	suspect      // a worker has died with one like it
	convict      // enough of them have
)

// keys are what requests are known by: method and path, and with the query.
type keys [2]uint64

// suspects remembers the requests that workers have died with, by their keys.
//
// A death does not say which of the requests in the worker has caused it. The blame goes
// to those of which most was known before: the others have an alibi. Where nothing was
// known all are suspects, until one like them is answered. What kills is never answered,
// so that a second death convicts it; suspects go to workers that have no other, so that
// the next death tells them apart and who was blamed in vain is answered. A convict is
// given to one worker, and to that of others like it.
type suspects struct {
	known  atomic.Int32 // records; all that is looked at while it is 0
	mu     sync.Mutex
	seed   maphash.Seed
	seeded bool
	by     map[uint64]*record
	deaths [16]death // the latest
	next   int       // of deaths, to be written
	killed time.Time // when a convict has ended a worker last
}

// record is what is known of the requests with one key.
type record struct {
	rank   rank
	deaths int // of workers with one of them, in a row
	most   int // of them in one worker
	last   time.Time
	aboard []*balance.Endpoint // once for each of them that is with a worker
}

// death is the end of one worker.
type death struct {
	ep      *balance.Endpoint
	at      time.Time
	rank    rank           // of the worst request in it
	charged map[uint64]int // requests that were blamed, by key
}

// any says whether anything is remembered at all.
func (s *suspects) any() bool { return s.known.Load() > 0 }

// keys are those of a request with the first words line.
func (s *suspects) keys(line []byte) keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seeded {
		s.seed, s.seeded = maphash.MakeSeed(), true
	}
	path, _, _ := bytes.Cut(line, []byte("?"))
	return keys{maphash.Bytes(s.seed, path), maphash.Bytes(s.seed, line)}
}

// records are those of the keys.
func (s *suspects) records(k keys) iter.Seq2[uint64, *record] {
	return func(yield func(uint64, *record) bool) {
		if r := s.by[k[0]]; r != nil && !yield(k[0], r) || k[1] == k[0] {
			return
		}
		if r := s.by[k[1]]; r != nil {
			yield(k[1], r)
		}
	}
}

func (s *suspects) rank(k keys) (of rank) {
	for _, r := range s.records(k) {
		of = max(of, r.rank)
	}
	return of
}

// died says whether a request is to blame for the death of the worker that has had it
// since then, and whether it is convicted now. Workers that die in the same moment do
// not die in a row: what was sent before the last death was known proves nothing more.
func (s *suspects) died(k keys, ep *balance.Endpoint, since, now time.Time) (blamed, convicted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	d := s.death(ep, now)
	if s.rank(k) < d.rank {
		return false, false
	}
	d.rank = s.rank(k) // it may have become known after the worker got it
	for i, key := range k {
		if i == 0 || key != k[0] {
			s.charge(key, d, since, now)
			s.judge(key, key == k[1])
		}
	}
	if convicted = s.rank(k) == convict; convicted {
		s.killed = now
	}
	return true, convicted
}

func (s *suspects) charge(key uint64, d *death, since, now time.Time) {
	r := s.by[key]
	if r == nil {
		r = s.add(key)
	}
	d.charged[key]++
	r.most = max(r.most, d.charged[key])
	if d.charged[key] > 1 || r.deaths > 0 && since.Before(r.last) {
		return
	}
	r.deaths++
	r.last = now
}

// judge convicts the requests with a key if enough workers have died with them. whole
// says whether they are alike with their query.
func (s *suspects) judge(key uint64, whole bool) {
	r := s.by[key]
	if r.deaths >= 2*convicting || r.deaths >= convicting && r.most <= few && whole {
		r.rank = convict
	}
}

// killedSince says whether a convict has ended a worker since then.
func (s *suspects) killedSince(then time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.killed.After(then)
}

// death is that of ep, which may have been told of by another of its requests.
func (s *suspects) death(ep *balance.Endpoint, now time.Time) *death {
	for i := range s.deaths {
		if d := &s.deaths[i]; d.ep == ep && now.Sub(d.at) < oneDeath {
			return d
		}
	}
	d := &s.deaths[s.next]
	s.next = (s.next + 1) % len(s.deaths)
	*d = death{ep: ep, at: now, charged: map[uint64]int{}}
	for _, r := range s.by {
		if slices.Contains(r.aboard, ep) {
			d.rank = max(d.rank, r.rank)
		}
	}
	return d
}

func (s *suspects) add(key uint64) *record {
	if s.by == nil {
		s.by = make(map[uint64]*record)
	}
	if len(s.by) >= mostSuspects {
		s.forgetOldest()
	}
	r := &record{rank: suspect}
	s.by[key] = r
	s.known.Store(int32(len(s.by)))
	return r
}

func (s *suspects) forgetOldest() {
	var oldest uint64
	for key, r := range s.by {
		if o := s.by[oldest]; o == nil || r.last.Before(o.last) {
			oldest = key
		}
	}
	delete(s.by, oldest)
}

// forget drops what is too old.
func (s *suspects) forget(now time.Time) {
	for key, r := range s.by {
		keep := suspectFor
		if r.rank == convict {
			keep = convictFor
		}
		if now.Sub(r.last) > keep {
			delete(s.by, key)
		}
	}
	s.known.Store(int32(len(s.by)))
}

// acquit forgets what is known against requests of which one is answered.
func (s *suspects) acquit(k keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, k[0])
	delete(s.by, k[1])
	s.known.Store(int32(len(s.by)))
}

// board notes that a worker gets a request, if something is known against it.
func (s *suspects) board(k keys, ep *balance.Endpoint) (noted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records(k) {
		r.aboard = append(r.aboard, ep)
		noted = true
	}
	return noted
}

// leave takes back what board has noted.
func (s *suspects) leave(k keys, ep *balance.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records(k) {
		if i := slices.Index(r.aboard, ep); i >= 0 {
			r.aboard = slices.Delete(r.aboard, i, i+1)
		}
	}
}

// company says what is known against a request, and which workers have others against
// which something is known, and which some like it.
func (s *suspects) company(k keys, now time.Time) (of rank, others, alike []*balance.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	for key, r := range s.by {
		if key == k[0] || key == k[1] {
			alike = append(alike, r.aboard...)
		} else {
			others = append(others, r.aboard...)
		}
	}
	return s.rank(k), others, alike
}

// keys are what the suspects know the request by.
func (t *Try) keys() keys { return t.route.Service.suspects.keys(t.Request.Line) }

// shun says which endpoints the request must not go to because of what it, or others
// in them, may do to a worker; none: it has to wait. A suspect that has waited for long
// enough goes anywhere. So does a convict, unless others have ended workers meanwhile:
// then there is none for it.
func (t *Try) shun(now time.Time) (shun []*balance.Endpoint, none bool) {
	known := t.keys()
	of, others, alike := t.route.Service.suspects.company(known, now)
	if of == unknown {
		return others, false
	}
	t.known, t.rank = known, of
	if of == convict {
		shun = t.beside(alike, now)
	}
	if of == convict && shun != nil || t.spared(others, now) { // it joins those like it, or gets a worker
		t.shunned = time.Time{}
		if shun == nil {
			shun = others
		}
		return shun, false
	}
	if t.shunned.IsZero() {
		t.shunned = now
	}
	patience := sparing
	if of == suspect && t.blamed == 0 {
		patience = isolating
	}
	if now.Before(t.until) && now.Sub(t.shunned) < patience {
		return nil, true
	}
	if t.spurned = of == convict && t.route.Service.suspects.killedSince(t.shunned); t.spurned {
		return nil, true
	}
	t.shunned = time.Time{}
	return nil, false
}

// beside are the endpoints that have none like it; nil: none has any.
func (t *Try) beside(alike []*balance.Endpoint, now time.Time) (shun []*balance.Endpoint) {
	found := false
	shun = make([]*balance.Endpoint, 0, len(t.route.Pool.Endpoints()))
	for _, ep := range t.route.Pool.Endpoints() {
		if slices.Contains(alike, ep) && good(ep, now) {
			found = true
		} else {
			shun = append(shun, ep)
		}
	}
	if !found {
		return nil
	}
	return shun
}

// spared says whether there is a worker for the request and a second for all that
// nothing is known against.
func (t *Try) spared(others []*balance.Endpoint, now time.Time) bool {
	n := 0
	for _, ep := range t.route.Pool.Endpoints() {
		if good(ep, now) && !slices.Contains(others, ep) {
			n++
		}
	}
	return n > 1
}
