package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
)

// serveShop serves the fake on its control socket and connects to it.
func serveShop(t *testing.T, f *fake) *client.Client {
	t.Helper()
	runtimeDir(t)
	l, err := ListenControl("shop")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Control: f})
	ended := make(chan error, 1)
	go func() { ended <- s.ServeControl(l) }()
	c, err := client.Dial("shop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		f.streams.Wait() // every follower was let go
	})
	return c
}

func TestAClientAsksForWhatItMeans(t *testing.T) {
	f := newFake()
	c := serveShop(t, f)
	ctx := t.Context()
	for want, ask := range map[string]func() error{
		`scale [[{"service":"app","replicas":0},{"service":"db","by":-1}],true]`: func() error {
			_, err := c.Scale(ctx, []api.Scale{{Service: "app", Replicas: new(0)}, {Service: "db", By: new(-1)}}, true)
			return err
		},
		`start [null,true]`:         func() error { return c.Start(ctx, nil, true) },
		`stop [["app","db"],false]`: func() error { return c.Stop(ctx, []string{"app", "db"}, false) },
		`restart [["app.2"],true]`:  func() error { return c.Restart(ctx, []string{"app.2"}, true) },
		`kill ["app.1","SIGTERM"]`:  func() error { return c.Kill(ctx, "app.1", "SIGTERM") },
		`profile ["app.1","2s"]`:    func() error { _, err := c.Profile(ctx, "app.1", 2*time.Second); return err },
		`phases ["app.2","1s"]`:     func() error { _, err := c.Phases(ctx, "app.2", time.Second); return err },
		`heap ["app.1"]`:            func() error { return c.Heap(ctx, "app.1", io.Discard) },
		`doctor ["app",false]`:      func() error { _, err := c.Doctor(ctx, "app", false); return err },
		`doctor ["",true]`:          func() error { _, err := c.Doctor(ctx, "", true); return err },
		`inspect app.1`:             func() error { _, err := c.Inspect(ctx, "app.1"); return err },
		`events [false]`:            func() error { return c.Events(ctx, false, func(api.Event) error { return nil }) },
		`logs [7,false,["app","app.2"]]`: func() error {
			o := client.LogOptions{Tail: 7, Names: []string{"app", "app.2"}}
			return c.Logs(ctx, o, func(api.LogLine) error { return nil })
		},
	} {
		if err := ask(); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if got := f.last(); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
	message, err := c.Apply(ctx, json.RawMessage(`{"name":"shop"}`))
	if err != nil || message != "app: 1 -> 2 workers" || f.last() != `apply {"name":"shop"}` {
		t.Errorf("apply: %q, %v, asked %s", message, err, f.last())
	}
}

func TestStoppedWorkersAreListedOnRequest(t *testing.T) {
	c := serveShop(t, newFake())
	for all, want := range map[bool]int{false: 1, true: 2} {
		if w, err := c.Workers(t.Context(), all); err != nil || len(w) != want {
			t.Errorf("all %v: %d workers, %v, want %d", all, len(w), err, want)
		}
	}
}

func TestErrorsKeepTheirTextAndKind(t *testing.T) {
	f := newFake()
	c := serveShop(t, f)
	for want, fail := range map[int]error{
		400: Invalid("no such signal"),
		404: NotFound("no such thing"),
		409: fmt.Errorf("scale: %w", Conflict("a deploy is going on")),
		500: errors.New("disk on fire"),
	} {
		f.fail = fail
		err := c.Kill(t.Context(), "app.1", "x")
		var refused *client.Refused
		if !errors.As(err, &refused) || refused.Status != want || refused.Message != fail.Error() {
			t.Errorf("got %v, want %d %v", err, want, fail)
		}
	}
}

func TestUnknownNamesNeverReachTheProject(t *testing.T) {
	f := newFake()
	c := serveShop(t, f)
	ctx := t.Context()
	scale := func(names ...string) error {
		var all []api.Scale
		for _, name := range names {
			all = append(all, api.Scale{Service: name, Replicas: new(2)})
		}
		_, err := c.Scale(ctx, all, false)
		return err
	}
	for what, err := range map[string]error{
		`no worker or service "app.9" in project shop; there are: app.1, app.2`: c.Stop(ctx, []string{"app", "app.9"}, true),
		`no worker "app" in project shop; there are: app.1, app.2`:              c.Kill(ctx, "app", "TERM"),
		`no service "app.1" in project shop; there are: app, db`:                scale("app", "app.1"),
		"service app is named twice":                                            scale("app", "db", "app"),
		"scale needs either replicas, a number, or by, a difference":            func() error { _, err := c.Scale(ctx, []api.Scale{{Service: "app"}}, false); return err }(),
	} {
		if err == nil || err.Error() != what {
			t.Errorf("got %v, want %s", err, what)
		}
	}
	if f.last() != "" {
		t.Errorf("the project was asked: %s", f.last())
	}
}

func TestAFollowerGetsLinesAtOnceAndMayLeave(t *testing.T) {
	c := serveShop(t, newFake())
	enough := errors.New("enough")
	var got []string
	err := c.Logs(t.Context(), client.LogOptions{Tail: -1, Follow: true}, func(l api.LogLine) error {
		if got = append(got, l.Worker+" "+l.Text); len(got) == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || strings.Join(got, "; ") != "app.1 <b>hello</b>; app.2 world" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestWaitingForReadyEndsWithTheFact(t *testing.T) {
	f := newFake()
	f.set(func(p *api.Project) { p.Ready = false; p.Services[0].Ready = 0 })
	c := serveShop(t, f)
	if r, err := c.Ready(t.Context(), 0, false); err != nil || r.Ready || r.Waiting[0] != "app: 0 of 2 workers ready" {
		t.Errorf("without waiting: %+v, %v", r, err)
	}
	answer := make(chan api.Readiness, 1)
	go func() {
		r, err := c.Ready(t.Context(), time.Minute, false)
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	f.set(func(p *api.Project) { p.Ready = true })
	if r := <-answer; !r.Ready {
		t.Errorf("after it got ready: %+v", r)
	}
}

func TestTheControlSocketIsPrivate(t *testing.T) {
	serveShop(t, newFake())
	for path, want := range map[string]fs.FileMode{api.RuntimeDir("shop"): 0o700, api.SocketPath("shop"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestASecondStartOfAProjectIsToldTheFirst(t *testing.T) {
	serveShop(t, newFake())
	_, err := ListenControl("shop")
	want := fmt.Sprintf(`project "shop" already runs (pid %d)`, os.Getpid())
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := client.Dial("shop"); err != nil {
		t.Errorf("the first one lost its socket: %v", err)
	}
}

// TestADyingProjectIsWaitedFor: the kernel closes what a killed bulsa had open one by
// one, its lock after its socket, or before.
func TestADyingProjectIsWaitedFor(t *testing.T) {
	runtimeDir(t)
	if err := os.Mkdir(api.RuntimeDir("shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	dying, err := takeLock("shop")
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		l, err := ListenControl("shop")
		if err == nil {
			err = l.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(5 * dyingPoll):
	}
	dying.Close()
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestASocketOfADeadProjectIsReplaced(t *testing.T) {
	runtimeDir(t)
	path := api.SocketPath("shop")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	l, err := ListenControl("shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there after Close: %v", err)
	}
	if again, err := ListenControl("shop"); err != nil {
		t.Errorf("the project is not free after Close: %v", err)
	} else {
		again.Close()
	}
}

func TestTheTokenIsMadeOnceAndKeptPrivate(t *testing.T) {
	runtimeDir(t)
	if err := os.Mkdir(api.RuntimeDir("shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := Token("shop")
	if err != nil || len(first) < 26 {
		t.Fatalf("token %q, %v", first, err)
	}
	if again, err := Token("shop"); err != nil || again != first {
		t.Errorf("second time %q, %v, want %q", again, err, first)
	}
	info, err := os.Stat(filepath.Join(api.RuntimeDir("shop"), "token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestWhatIsNoTokenIsRefused(t *testing.T) {
	runtimeDir(t)
	if err := os.Mkdir(api.RuntimeDir("shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(api.RuntimeDir("shop"), "token")
	for content, good := range map[string]bool{
		"a-token-of-my-own-choice=\n": true,
		"short":                       false,
		"\x00\x9f\x8c\xff random bytes of some length": false,
		"two words that are long enough":               false,
		strings.Repeat("x", 600):                       false,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := Token("shop")
		if good != (err == nil) || good && token != strings.TrimSpace(content) {
			t.Errorf("%q: %q, %v", content, token, err)
		}
		if err != nil && !strings.Contains(err.Error(), path+" holds no token") {
			t.Errorf("%q: %v", content, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Token("shop"); err == nil || !strings.Contains(err.Error(), "no ordinary file") {
		t.Errorf("a FIFO: %v", err)
	}
}

func TestASnapshotThatBreaksOffSaysWhy(t *testing.T) {
	f := newFake()
	c := serveShop(t, f)
	f.mu.Lock()
	f.fail = errors.New("app.1 has ended")
	f.mu.Unlock()
	var got strings.Builder
	if err := c.Heap(t.Context(), "app.1", &got); err == nil || err.Error() != "app.1 has ended" || got.String() != "{}" {
		t.Errorf("%q, %v", got.String(), err)
	}
	if err := c.Heap(t.Context(), "app.7", io.Discard); err == nil || !strings.Contains(err.Error(), "app.7") {
		t.Errorf("an unknown worker: %v", err)
	}
	if _, err := c.Profile(t.Context(), "app.1", time.Hour); err == nil || !strings.Contains(err.Error(), "at most 300") {
		t.Errorf("an hour: %v", err)
	}
}
