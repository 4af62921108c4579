package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bulsa/internal/balance"
)

// stuck is a worker whose event loop is blocked: it reads nothing, but what was
// written to it can be taken back as long as reads says so.
type stuck struct {
	reads    int // bytes of each request that it has read all the same
	recalled *atomic.Int64
}

func (s stuck) Connect(context.Context) (net.Conn, error) {
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	return &stuckConn{UnixConn: ours, theirs: theirs, stuck: s}, nil
}

type stuckConn struct {
	*net.UnixConn
	stuck
	theirs *net.UnixConn
}

func (c *stuckConn) Recall(n int) int {
	c.recalled.Add(1)
	if c.reads > 0 {
		_, _ = io.ReadFull(c.theirs, make([]byte, c.reads))
	}
	_ = c.theirs.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	taken, err := io.ReadFull(c.theirs, make([]byte, n))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0
	}
	return taken
}

func TestARequestThatABlockedWorkerHasNotReadGoesToAnother(t *testing.T) {
	if goroutines {
		return // only loops recall
	}
	s := settings()
	s.Recall = true
	for _, c := range []struct {
		name    string
		blocked time.Duration
		want    string
	}{
		{"blocked", time.Second, "app.2"}, {"not blocked", 0, "did not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			recalled := new(atomic.Int64)
			first := endpoint("app.1", stuck{recalled: recalled})
			if c.blocked > 0 {
				first.SetLoop(balance.Loop{Since: time.Now().Add(-c.blocked)})
			}
			s.AnswerTimeout = 500 * time.Millisecond
			h := open(t, s, first, app(t, "app.2", hello("app.2")))
			resp, err := browser().Post(h.url("/"), "text/plain", strings.NewReader("once"))
			if err != nil {
				t.Fatal(err)
			}
			if body := all(t, resp); !strings.Contains(body, c.want) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if (recalled.Load() > 0) != (c.blocked > 0) {
				t.Errorf("recalled %d times", recalled.Load())
			}
			if first.InFlight() != 0 {
				t.Errorf("%d requests in flight at the blocked worker", first.InFlight())
			}
		})
	}
}

func TestARequestOfWhichAPartWasReadIsNotSentTwice(t *testing.T) {
	if goroutines {
		return
	}
	s := settings()
	s.Recall = true
	first := endpoint("app.1", stuck{reads: 5, recalled: new(atomic.Int64)})
	first.SetLoop(balance.Loop{Since: time.Now().Add(-time.Second)})
	h := open(t, s, first, app(t, "app.2", hello("app.2")))
	resp, err := browser().Post(h.url("/"), "text/plain", strings.NewReader("once"))
	if err != nil {
		t.Fatal(err)
	}
	if body := all(t, resp); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "a part") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
