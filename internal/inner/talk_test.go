package inner

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bulsa/internal/api"
)

// outside is a listener, and what it was told.
type outside struct {
	t      *testing.T
	root   string
	told   chan *api.Inside
	errors chan error
}

func newOutside(t *testing.T) outside {
	t.Helper()
	o := outside{t: t, root: filepath.Join(t.TempDir(), strings.Repeat("long", 30)), told: make(chan *api.Inside, 1000), errors: make(chan error, 10)}
	o.listen()
	return o
}

// listen listens until the function that it returns is called.
func (o outside) listen() (stop func()) {
	o.t.Helper()
	l, err := Listen(o.root, "abc")
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Hear(ctx, func(r *api.Inside) { o.told <- r }, func(err error) { o.errors <- err })
	}()
	stop = func() { cancel(); <-done }
	o.t.Cleanup(stop)
	return stop
}

// path is short enough for a client, too.
func (o outside) path() string {
	link := filepath.Join(os.TempDir(), fmt.Sprintf("bulsa-inner-%d", time.Now().UnixNano()))
	if err := os.Symlink(filepath.Join(o.root, "abc"), link); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { os.Remove(link) })
	return filepath.Join(link, SocketName)
}

func (o outside) next(what string, is func(*api.Inside) bool) {
	o.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case r := <-o.told:
			if is(r) {
				return
			}
		case <-deadline:
			o.t.Fatalf("it was never told that %s", what)
		}
	}
}

// begin starts a sender whose workers are what state holds.
func begin(t *testing.T, path string, state *atomic.Value, events <-chan api.Event) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s := &Sender{Path: path, Events: events, Look: func() api.Inside {
		return api.Inside{Workers: []api.Worker{{Number: 1, State: state.Load().(string)}}}
	}}
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func stateIs(want string) func(*api.Inside) bool {
	return func(r *api.Inside) bool { return r != nil && len(r.Workers) == 1 && r.Workers[0].State == want }
}

func TestChangesAndEventsAreReported(t *testing.T) {
	o := newOutside(t)
	var state atomic.Value
	state.Store("starting")
	events := make(chan api.Event, 100)
	stop := begin(t, o.path(), &state, events)
	o.next("it starts", stateIs("starting"))
	state.Store("ready")
	o.next("it is ready", stateIs("ready"))
	for i := range 100 {
		events <- api.Event{Worker: "1", Kind: "exit", Message: fmt.Sprint(i)}
	}
	o.next("the last event has happened", func(r *api.Inside) bool {
		return r != nil && len(r.Events) > 0 && r.Events[len(r.Events)-1].Message == "99"
	})
	stop()
	o.next("no more is to be expected", func(r *api.Inside) bool { return r == nil })
}

func TestASenderFindsAListenerThatComesLater(t *testing.T) {
	o := outside{t: t, root: filepath.Join(t.TempDir(), "r"), told: make(chan *api.Inside, 1000), errors: make(chan error, 10)}
	var state atomic.Value
	state.Store("ready")
	begin(t, o.path(), &state, nil)
	stop := o.listen()
	o.next("it is ready", stateIs("ready"))
	stop()
	o.listen()
	state.Store("draining")
	o.next("it drains", stateIs("draining"))
}

func TestTheSocketIsOpenToTheContainersUsersOnly(t *testing.T) {
	o := newOutside(t)
	for path, want := range map[string]os.FileMode{
		o.root: 0o700, filepath.Join(o.root, "abc"): 0o755, filepath.Join(o.root, "abc", SocketName): 0o666,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
	}
}

// TestWhoFloodsIsCutOff: a sender that never stops is heard for a moment only,
// and told of once, like one that sends anything else, however often it comes.
func TestWhoFloodsIsCutOff(t *testing.T) {
	o := newOutside(t)
	path := o.path()
	flood := func(line string) {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 1_000_000 {
			if _, err := conn.Write([]byte(line)); err != nil {
				return
			}
		}
		t.Errorf("%q was read without an end", line)
	}
	flood(`{"workers":[{"worker":1}]}` + "\n")
	o.next("no more is to be expected", func(r *api.Inside) bool { return r == nil })
	flood("EHLO\n")
	if err := <-o.errors; !strings.Contains(err.Error(), "so many come") {
		t.Errorf("the complaint is %v", err)
	}
	if len(o.errors) > 0 {
		t.Errorf("it complained again: %v", <-o.errors)
	}
}

func TestAnAllowanceComesBackWithTime(t *testing.T) {
	a, now := allowance{most: 10, rate: 5}, time.Now()
	if !a.take(now, 10) || a.take(now, 1) {
		t.Error("ten at once, and no more")
	}
	if !a.take(now.Add(time.Second), 4) || a.take(now.Add(time.Second), 1) {
		t.Error("five more in a second, less one that was too many")
	}
	if !a.take(now.Add(time.Hour), 10) || a.take(now.Add(time.Hour), 1) {
		t.Error("never more than ten")
	}
}
