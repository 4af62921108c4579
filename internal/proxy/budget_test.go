package proxy

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Every worker takes each request, thinks and fails: of a hundred clients' no
// more than the budget may be with workers for another time.
func TestARetryStormStaysWithinTheBudget(t *testing.T) {
	const clients, share = 100, 5
	var seen sync.Map // target to *atomic.Int64
	var again, most atomic.Int64
	failing := func(_ int, c net.Conn, br *bufio.Reader) {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		count, _ := seen.LoadOrStore(req.URL.Path, new(atomic.Int64))
		if count.(*atomic.Int64).Add(1) > 1 {
			n := again.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			defer again.Add(-1)
		}
		time.Sleep(2 * time.Millisecond)
	}
	s := settings()
	s.Hold = 300 * time.Millisecond
	h := open(t, s, wire(t, "app.1", failing), wire(t, "app.2", failing), wire(t, "app.3", failing))
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			if status, body := h.get(fmt.Sprintf("/%d", i)); status != 502 {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	all.Wait()
	if most.Load() > clients/share {
		t.Errorf("%d requests were with a worker for another time at once, more than %d", most.Load(), clients/share)
	}
	if again := h.stats(); again.Retries == 0 {
		t.Error("nothing was tried again at all")
	}
}

func TestNoRetryBeginsAfterItsDeadline(t *testing.T) {
	s := settings()
	s.RetryTimeout = 20 * time.Millisecond
	late := wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		_, _ = readWhole(br)
		time.Sleep(3 * s.RetryTimeout)
	})
	h := open(t, s, late)
	if status, body := h.get("/"); status != 502 {
		t.Errorf("%d %s", status, body)
	}
	if n := h.stats().Retries; n != 0 {
		t.Errorf("%d retries", n)
	}
}
