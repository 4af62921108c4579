package retry

import (
	"sync/atomic"
	"time"
)

const (
	// youngEnough is how long a connection may have been idle that carries a
	// request which must not happen twice. No server in use closes idle
	// connections that early: the shortest default known is gunicorn's 2 s.
	youngEnough = 500 * time.Millisecond
	// distrust is how long such requests get new connections, after one that was
	// used again has ended without an answer.
	distrust = time.Minute
)

// Reuse decides whether a request that must not happen twice may go over a
// connection that a server of somebody else has kept open. Where such a server
// ends it at that moment, nothing tells whether it has begun the request, which
// is then lost (502). So it goes only where an end is not to be expected.
type Reuse struct{ spoiled atomic.Int64 } // when it last went wrong, in ns since 1970; 0: never

// spoil notes that a connection that was used again ended without an answer.
func (r *Reuse) spoil(now time.Time) { r.spoiled.Store(now.UnixNano()) }

// May says whether a connection that is idle since then may be used.
func (r *Reuse) May(since, now time.Time) bool {
	if now.Sub(since) > youngEnough {
		return false
	}
	spoiled := r.spoiled.Load()
	return spoiled == 0 || now.UnixNano()-spoiled > int64(distrust)
}
