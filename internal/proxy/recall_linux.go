package proxy

import (
	"errors"
	"time"

	contract "bulsa/internal/upstream"
)

const (
	// recallAfter is how long a request waits for its answer before somebody looks
	// whether its worker has read it at all, and recallPause between two looks.
	recallAfter = 20 * time.Millisecond
	recallPause = 10 * time.Millisecond
	// recallLooks bounds how often: what is not read by then stays where it is.
	recallLooks = 50
	// recallBlocked is how long the worker's event loop must have stood still: a
	// request costs more to move than to let it wait for less.
	recallBlocked = 20 * time.Millisecond
)

var errTorn = errors.New("a part of the request was taken back")

// awaitRecall has recall called when the answer does not come at once, if the
// request could be taken back then.
func (l *loop) awaitRecall(t *transaction) {
	t.recallBy = 0
	if !t.route.Settings.Recall || !t.onePiece || t.forgotten || t.recalls >= recallLooks {
		return
	}
	if _, can := t.upstream.conn.(contract.Recaller); can {
		t.recallBy = l.in(recallAfter)
	}
}

// recall takes the request back from a worker whose event loop is blocked and that
// has not read it, and gives it to another. That is safe for every method: the
// worker has seen nothing of it.
func (l *loop) recall(t *transaction) {
	t.recalls++
	t.recallBy = 0
	if t.recalls < recallLooks {
		t.recallBy = l.in(recallPause)
	}
	t.downstream.remind(l)
	if t.begun || len(t.upstream.in) > 0 || t.try.Endpoint().Blocked(l.now) < recallBlocked || !t.try.Another(l.now, recallBlocked) {
		return
	}
	switch n := t.upstream.conn.(contract.Recaller).Recall(len(t.request)); n {
	case 0: // it is reading it, or has
		t.recallBy = 0
	case len(t.request):
		l.dropUpstream(t)
		ep := t.try.Endpoint()
		t.try.Returned(l.now)
		l.released(t, ep)
		l.pick(t)
	default:
		l.fail(t, t.judge(errTorn, "read a part of the request only"))
	}
}
