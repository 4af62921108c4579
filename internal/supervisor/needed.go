package supervisor

import (
	"time"

	"bulsa/internal/worker"
)

const (
	// missLasts is how long a request that found nobody is held to wait: as long as
	// requests are held by default. Those that wait longer look again whenever
	// their pool changes.
	missLasts = 10 * time.Second
	// callLasts is how long it takes until another worker is needed beside one that
	// starts. One at a time: what requests do to the starts must not cost all processors.
	callLasts = 2 * time.Second
)

// call is a worker that was told that it is needed.
type call struct {
	key  string
	rest time.Time // when it had come to rest
	at   time.Time
}

// callNeeded is the panic rule of restarts: while requests wait and none of the
// service's workers is ready, one that rests is told that it is needed. It returns
// when to look again; zero: when something changes.
func (s *service) callNeeded(now time.Time) (again time.Time) {
	if s.stopped || !s.begun || !s.requestsWait(now) {
		return time.Time{}
	}
	chosen := ""
	for _, key := range s.keys() {
		p := s.members[key].picture
		resting := p.status.State == worker.Backoff || p.status.State == worker.Failed
		switch {
		case p.status.State == worker.Ready:
			return time.Time{}
		case p.status.State == worker.Starting && now.Sub(p.status.Since) < callLasts:
			return p.status.Since.Add(callLasts)
		case resting && key == s.called.key && p.status.Since.Equal(s.called.rest) && now.Sub(s.called.at) < callLasts:
			return s.called.at.Add(callLasts) // it has been told, and is on its way
		case p.callable && (chosen == "" || p.status.Next.Before(s.members[chosen].picture.status.Next)):
			chosen = key
		}
	}
	if chosen == "" {
		return time.Time{}
	}
	m := s.members[chosen]
	s.called = call{key: chosen, rest: m.picture.status.Since, at: now}
	m.loop.inbox.put(message{fact: worker.Fact{Kind: worker.Needed, Cause: "requests wait and no worker is ready"}})
	return now.Add(callLasts)
}

// requestsWait reports whether a request has found the service's pools empty of
// late. If not, the next one that does is a reason to look again.
func (s *service) requestsWait(now time.Time) bool {
	pools := s.supervisor.pools.of(s)
	for range 2 {
		for _, pool := range pools {
			if now.Sub(pool.Missed()) < missLasts {
				return true
			}
			pool.AwaitMiss(s.missed)
		}
	}
	return false
}

// earlier is the first of two times, of which a zero one never comes.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
