package retry

import (
	"testing"
	"time"
)

func TestWhichConnectionsCarryWhatMustNotHappenTwice(t *testing.T) {
	now := time.Now()
	var r Reuse
	if !r.May(now.Add(-youngEnough), now) {
		t.Error("a young connection may")
	}
	if r.May(now.Add(-youngEnough-1), now) {
		t.Error("the server may be about to close an older one")
	}
	r.spoil(now)
	if r.May(now, now.Add(distrust)) {
		t.Error("a server that has ended one in use is not trusted")
	}
	if later := now.Add(distrust + 1); !r.May(later, later) {
		t.Error("distrust ends")
	}
}
