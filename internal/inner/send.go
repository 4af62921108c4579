package inner

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"bulsa/internal/api"
)

const (
	reportEvery = time.Second
	lookEvery   = 200 * time.Millisecond // a change is reported as soon
	retryEvery  = 500 * time.Millisecond
	sendTime    = 5 * time.Second // that a report may take to be read
)

// Sender reports to the bulsa outside.
type Sender struct {
	Path   string            // of its socket
	Look   func() api.Inside // the workers as they are
	Events <-chan api.Event  // what happens to them
	unsent []api.Event
	last   string // what the last report said, for what counts as a change
}

// Run reports until ctx ends. While nobody listens it tries again and again.
func (s *Sender) Run(ctx context.Context) {
	for {
		var d net.Dialer
		if conn, err := d.DialContext(ctx, "unix", s.Path); err == nil {
			s.talk(ctx, conn)
			conn.Close()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryEvery):
			s.collect()
		}
	}
}

// talk reports over one connection until that breaks.
func (s *Sender) talk(ctx context.Context, conn net.Conn) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for sent := (time.Time{}); ; {
		s.collect()
		report := s.Look()
		now := essence(report)
		if len(s.unsent) > 0 || now != s.last || time.Since(sent) >= reportEvery {
			report.Events = s.unsent
			if !s.send(conn, report) {
				return
			}
			s.unsent, s.last, sent = nil, now, time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Sender) send(conn net.Conn, r api.Inside) bool {
	line, err := encode(r)
	if err != nil {
		return false
	}
	if err := conn.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return false
	}
	_, err = conn.Write(line)
	return err == nil
}

// collect takes the events that have come; of too many the oldest are lost.
func (s *Sender) collect() {
	for {
		select {
		case e, open := <-s.Events:
			if !open {
				s.Events = nil
				return
			}
			s.unsent = append(s.unsent, e)
			s.unsent = s.unsent[max(0, len(s.unsent)-maxEvents):]
		default:
			return
		}
	}
}

// essence is what is reported at once when it changes.
func essence(r api.Inside) string {
	var b strings.Builder
	_, _, silent := r.Loop()
	fmt.Fprint(&b, silent)
	for _, w := range r.Workers {
		fmt.Fprint(&b, " ", w.Number, w.State, w.Health, w.PID, w.Restarts)
	}
	return b.String()
}
