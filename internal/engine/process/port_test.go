package process_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/spec"
)

type connector interface {
	Connect(ctx context.Context) (net.Conn, error)
}

// published makes a launch whose service is published, with a shim for LISTEN_FDS.
func (b bench) published(program string, number, target int) engine.Launch {
	l := b.Launch(program, number)
	l.Release.Service.Ports = []spec.Port{{Published: 8080, Target: target}}
	return l
}

// ask sends one request through a connector.
func ask(t testing.TB, connect any) string {
	t.Helper()
	return askPath(t, connect, "/")
}

func askPath(t testing.TB, connect any, path string) string {
	t.Helper()
	c, ok := connect.(connector)
	if !ok {
		t.Fatalf("connector %T cannot connect", connect)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Connect(ctx) },
	}}
	r, err := client.Get("http://worker" + path)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// freePort is one that nobody listens on at the moment.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestAProgramThatListensOnItsPortIsReached(t *testing.T) {
	b := newBench(t)
	seen := map[string]bool{}
	for n := 1; n <= 2; n++ {
		i := b.StartLaunch(b.published("http", n, 3000))
		f := b.Await(i.ID, engine.Listening)
		if f.Port != engine.Main || seen[f.Address] {
			t.Errorf("fact = %+v; want Main, at an address of its own", f)
		}
		seen[f.Address] = true
		if got := ask(t, f.Connector); !strings.HasPrefix(got, "worker "+strconv.Itoa(n)+" at 127.0.0.1:") {
			t.Errorf("answer = %q", got)
		}
	}
}

func TestAPythonServerIsReachedThroughPORT(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	b := newBench(t)
	l := b.published("", 1, 0)
	l.Release.Service.Command.Args = []string{"/bin/sh", "-c", "exec python3 -m http.server --bind 127.0.0.1 $PORT"}
	l.Release.Service.NodeMode = spec.NodeOff
	i := b.StartLaunch(l)
	if got := ask(t, b.Await(i.ID, engine.Listening).Connector); !strings.Contains(got, "Directory listing") {
		t.Errorf("answer = %q", got)
	}
}

func TestAProgramThatTakesTheSocketIsReachedThroughIt(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	i := b.StartLaunch(b.published("socket", 1, 3000))
	f := b.Await(i.ID, engine.Listening)
	if got := ask(t, f.Connector); got != "worker 1 at "+f.Address {
		t.Errorf("answer = %q; want it from %s", got, f.Address)
	}
	b.Kill(i.ID)
	if conn, err := net.Dial("tcp", f.Address); err == nil {
		conn.Close()
		t.Error("the private socket is open after the run")
	}
}

// A launcher may start the application detached, as pm2 does.
func TestAProgramInASessionOfItsOwnIsFoundListening(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	f := b.Await(b.StartLaunch(b.published("escaped-http", 1, 3000)).ID, engine.Listening)
	if got := ask(t, f.Connector); got != "worker 1 at "+f.Address {
		t.Errorf("answer = %q; want it from %s", got, f.Address)
	}
}

// Whoever holds the socket does not therefore use it: Node has it close-on-exec
// from its first moment, and listens on PORT long after.
func TestASocketThatIsHeldAndNotAcceptedFromIsNotTaken(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	file := filepath.Join(t.TempDir(), "go")
	i := b.StartLaunch(b.published("holder "+file, 1, 3000))
	b.awaitLine(t, i.Worker, "holds it")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := b.Await(i.ID, engine.Listening)
	if got := ask(t, f.Connector); got != "worker 1 at "+f.Address {
		t.Errorf("answer = %q; want it from %s", got, f.Address)
	}
}

func TestAFixedPortServesAWorkerThatIsAlone(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	port := freePort(t)
	l := b.published("fixed "+strconv.Itoa(port), 1, 0)
	l.Alone = true
	i := b.StartLaunch(l)
	f := b.Await(i.ID, engine.Listening)
	if want := fmt.Sprintf("127.0.0.1:%d", port); f.Address != want || !f.FixedPort {
		t.Errorf("fact = %+v; want a fixed port at %s", f, want)
	}
	ask(t, f.Connector)
	if n := b.Await(i.ID, engine.Notice); !strings.Contains(n.Message, strconv.Itoa(port)) {
		t.Errorf("notice = %q", n.Message)
	}
}

func TestAFixedPortCannotServeSeveralWorkers(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	port := freePort(t)
	program := "fixed " + strconv.Itoa(port)
	first := b.StartLaunch(b.published(program, 1, 0))
	want := fmt.Sprintf("app listens on port %d by itself and ignores $PORT, so only one worker can run: use one worker (-w 1, deploy.replicas: 1), or make it listen on $PORT", port)
	if f := b.Await(first.ID, engine.Unusable); f.Message != want {
		t.Errorf("message = %q\nwant      %q", f.Message, want)
	}
	second := b.StartLaunch(b.published(program, 2, 0))
	if x := b.Await(second.ID, engine.Exited).Exit; x.Cause != want {
		t.Errorf("cause = %q\nwant    %q", x.Cause, want)
	}
}

func TestPORTOfTheEnvironmentIsAFixedPort(t *testing.T) {
	linuxOnly(t)
	b := newBench(t)
	port := strconv.Itoa(freePort(t))
	l := b.published("http", 1, 0)
	l.Release.Service.Command.Env = append(l.Release.Service.Command.Env, "PORT="+port)
	l.Release.Digest = l.Release.Service.Digest()
	i := b.StartLaunch(l)
	if f := b.Await(i.ID, engine.Unusable); !strings.Contains(f.Message, "listens on port "+port+", which its environment sets as PORT") {
		t.Errorf("message = %q", f.Message)
	}
	b.Kill(i.ID)
	l.ID += "again"
	l.Alone = true
	i = b.StartLaunch(l)
	if f := b.Await(i.ID, engine.Listening); f.Address != "127.0.0.1:"+port {
		t.Errorf("address = %s; want port %s", f.Address, port)
	}
}

func TestAMissingProgramBehindTheShimIsToldBeforeItStarts(t *testing.T) {
	b := newBench(t)
	l := b.published("", 1, 0)
	l.Release.Service.Command.Args = []string{"no-such-server"}
	if _, err := b.Engine.Start(t.Context(), l); err == nil || !strings.Contains(err.Error(), "command not found: no-such-server") {
		t.Errorf("Start = %v", err)
	}
}

func TestAWorkerIsBackWithinMilliseconds(t *testing.T) {
	b := newBench(t)
	l := b.Launch("obedient", 1)
	b.Kill(b.StartLaunch(l).ID)
	best := time.Hour
	for n := range 10 {
		l.ID = engine.InstanceID(fmt.Sprintf("app.1#%d", 100+n))
		began := time.Now()
		i := b.StartLaunch(l)
		best = min(best, time.Since(began))
		b.Kill(i.ID)
	}
	if best > 50*time.Millisecond {
		t.Errorf("the quickest of ten starts took %s", best)
	}
	enginetest.Eventually(t, "nothing runs", func() bool { list, _ := b.Engine.List(t.Context()); return len(list) == 0 })
}
