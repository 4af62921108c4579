package proxy

import (
	"net/http"
	"time"

	"bulsa/internal/proxy/accesslog"
)

// statusClientGone is nginx's number for a client that left before the answer.
const statusClientGone = 499

// began counts a request in. It is owed an ended.
func (t *target) began() { t.counters.tries.InFlight.Add(1) }

func (t *target) ended() { t.counters.tries.InFlight.Add(-1) }

// answered counts an answer and writes it into the access log.
func (t *target) answered(a *accesslog.Account) {
	t.counters.Count(a.Status, a.Took)
	t.learn(a)
	if a.Session && a.Status == http.StatusBadRequest {
		t.counters.LostSessions.Add(1)
		t.counters.LastLost.Store(time.Now().UnixNano())
	}
	t.logged(a)
}

// logged is for an answer that was counted before it was over: an upgrade.
func (t *target) logged(a *accesslog.Account) {
	if log := t.Settings.AccessLog; log != nil {
		log.Write(t.Service, a)
	}
}
