package proxy

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"bulsa/internal/balance"
)

// beside is a rig with another loop of the same server, for the same worker.
func (r *rig) beside() *rig {
	other := &rig{t: r.t, ep: r.ep, client: -1}
	var err error
	if other.loop, err = newLoop(r.loop.server); err != nil {
		r.t.Fatal(err)
	}
	return other
}

// drop closes the worker's end of a connection.
func (r *rig) drop(fd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.worker = slices.DeleteFunc(r.worker, func(w int) bool { return w == fd })
	_ = unix.Close(fd)
}

// What a worker left unread that would have told whether it had begun has not begun:
// one that tells over its other connections, also those of other loops, or that has
// said so when it began to listen.
func TestWhatAWorkerLeftUnreadBeforeItGreetedHasNotBegun(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, c := range map[string]struct {
		promises bool
		first    string // what it said to another loop
		repeated bool
	}{
		"nothing is known": {}, "it has not greeted": {first: ok}, "it has greeted": {first: greetingLine + ok, repeated: true},
		"it promised": {promises: true, repeated: true}, "it promised, but has not greeted": {promises: true, first: ok},
		"it promised, and has greeted": {promises: true, first: greetingLine + ok, repeated: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, second := newRig(t), &rig{t: t, client: -1}
			r.greets, r.promises = true, c.promises
			r.pool.Publish([]*balance.Endpoint{r.ep, balance.NewEndpoint(balance.Config{Worker: "app.2", Connector: second, Backup: true})})
			if c.first != "" {
				r.connect()
				r.say(r.client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				r.say(r.last(), c.first)
			}
			other := r.beside()
			other.connect()
			other.say(other.client, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n")
			if text, _ := other.heard(r.last()); !strings.HasSuffix(text, "2\r\nbo\r\n") {
				t.Fatalf("the worker got %q", text)
			}
			other.say(other.client, "2\r\ndy\r\n0\r\n\r\n")
			r.drop(r.last()) // with the rest unread
			other.settle()
			text, _ := other.heard(second.last())
			if repeated := strings.HasSuffix(text, "dy\r\n0\r\n\r\n"); repeated != c.repeated {
				t.Errorf("another worker got %q", text)
			}
			second.loop = other.loop
			for _, x := range []*rig{other, r} {
				x.hangUp()
			}
			for _, x := range []*rig{r, second} {
				x.workerEnds()
			}
			r.mustBeClean()
			other.mustBeClean()
		})
	}
}
