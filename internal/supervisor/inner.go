package supervisor

import (
	"fmt"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/balance"
)

// A bulsa inside a container may tell innerBurst events at once, and one more
// each innerPause. What it tells is its own business: nothing is decided by it
// but where the next request goes.
const (
	innerBurst = 64
	innerPause = time.Second
)

// innerState is what a bulsa inside the worker's container has told.
type innerState struct {
	report  *api.Inside // the last one; nil: none, or it has stopped to report
	at      time.Time   // of the last report
	allowed int         // events that may be told
	since   time.Time   // when allowed was counted
	dropped int         // events that were too many
}

// told takes a report of the bulsa inside.
func (wl *workerLoop) told(r *api.Inside) {
	wl.inner.report, wl.inner.at = r, time.Now()
	if r != nil {
		wl.passEvents(r)
	}
	wl.steer()
	wl.report()
}

// passEvents tells what has happened inside.
func (wl *workerLoop) passEvents(r *api.Inside) {
	for _, e := range r.Events {
		if !wl.inner.admit(wl.inner.at) {
			wl.inner.dropped++
			continue
		}
		if n := wl.inner.dropped; n > 0 {
			wl.inner.dropped = 0
			wl.service.emit(wl.name, "notice", fmt.Sprintf("%d events of its workers inside were too many to be told", n), "")
		}
		wl.service.emit(api.InsideName(wl.name, e.Worker), e.Kind, e.Message, e.Cause)
	}
}

// admit reports whether one more event may be told now.
func (s *innerState) admit(now time.Time) bool {
	if s.since.IsZero() {
		s.since, s.allowed = now, innerBurst
	}
	if more := int(now.Sub(s.since) / innerPause); more > 0 {
		s.allowed = min(s.allowed+more, innerBurst)
		s.since = s.since.Add(time.Duration(more) * innerPause)
	}
	if s.allowed == 0 {
		return false
	}
	s.allowed--
	return true
}

// steer tells the balancer how the loops inside are. Without reports the
// container is one like any other.
func (wl *workerLoop) steer() {
	if wl.inner.at.IsZero() {
		return
	}
	var l balance.Loop
	if r := wl.inner.report; r != nil {
		var blocked time.Duration
		if l.Latency, blocked, l.Silent = r.Loop(); l.Silent {
			l.Since = wl.inner.at.Add(-blocked)
		}
	}
	for _, e := range wl.published {
		e.SetLoop(l)
	}
}
