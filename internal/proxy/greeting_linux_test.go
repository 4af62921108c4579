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

// A worker that has told one loop that it tells what it begins will tell the others,
// too: what it left unread over its first connection there has not begun.
func TestALoopHearsFromAnotherThatAWorkerTells(t *testing.T) {
	if goroutines {
		return // it is about loops
	}
	for name, greeting := range map[string]string{"it greets": hello1, "it does not": ""} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.greets = true
			r.connect()
			r.say(r.client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			r.say(r.last(), greeting+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

			second := &rig{t: t, client: -1}
			r.pool.Publish([]*balance.Endpoint{r.ep, balance.NewEndpoint(balance.Config{Worker: "app.2", Connector: second, Backup: true})})
			other := r.beside()
			other.connect()
			other.say(other.client, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n")
			first := r.last()
			if text, _ := other.heard(first); !strings.HasSuffix(text, "2\r\nbo\r\n") {
				t.Fatalf("the worker got %q", text)
			}
			other.say(other.client, "2\r\ndy\r\n0\r\n\r\n")
			r.drop(first) // with the rest unread
			other.settle()
			text, _ := other.heard(second.last())
			if repeated := strings.HasSuffix(text, "dy\r\n0\r\n\r\n"); repeated != (greeting != "") {
				t.Errorf("another worker got %q", text)
			}
			other.hangUp()
			r.hangUp()
			r.workerEnds()
			second.loop = other.loop
			second.workerEnds()
			r.mustBeClean()
			other.mustBeClean()
		})
	}
}
