package process_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"bulsa/internal/engine"
	"bulsa/internal/engine/enginetest"
	"bulsa/internal/engine/process"
	"bulsa/internal/spec"
)

// plainApp knows nothing of clusters.
const plainApp = `
const http = require('http');
const server = http.createServer((q, r) => {
  if (q.url === '/leave') { r.end('leaving'); return require('cluster').worker.kill(); }
  if (q.url === '/close') { r.end('closing'); return server.close(); }
  r.end('node ' + process.env.BULSA_WORKER + ' port ' + server.address().port);
});
server.listen(3000);
`

// doorman opens the public side of what workers ask for.
type doorman struct {
	shared uintptr // given to those who want the socket itself
	err    error

	mu   sync.Mutex
	asks []engine.Ask
}

func (d *doorman) Claim(_ context.Context, a engine.Ask) (engine.Grant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asks = append(d.asks, a)
	return engine.Grant{Port: engine.Main, Host: "127.0.0.1", Number: a.Port, Shared: d.shared}, d.err
}

func (d *doorman) Release(string, string) {}
func (d *doorman) Leave(string)           {}

func (d *doorman) Expect(engine.Visited) (end func()) { return func() {} }

func (d *doorman) asked() []engine.Ask {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]engine.Ask(nil), d.asks...)
}

func newNodeBench(t testing.TB, d *doorman) bench {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no node")
	}
	return newBenchWith(t, func(c *process.Config) {
		c.Sockets = d
	})
}

// node makes a launch of an application, published on port 3333 for its 3000.
func (b bench) node(t testing.TB, app string, number int, args ...string) engine.Launch {
	t.Helper()
	l := b.published("", number, 3000)
	s := &l.Release.Service
	s.Ports[0].Published = 3333
	if err := os.WriteFile(filepath.Join(s.Command.Dir, "app.js"), []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Command.Args = append([]string{"node"}, args...)
	s.Command.Args = append(s.Command.Args, "app.js")
	s.Command.Env = append(s.Command.Env, "HOME="+s.Command.Dir)
	return l
}

func TestANodeWorkerIsReachedThroughItsChannel(t *testing.T) {
	d := &doorman{}
	b := newNodeBench(t, d)
	for n := 1; n <= 2; n++ {
		i := b.StartLaunch(b.node(t, plainApp, n))
		f := b.Await(i.ID, engine.Listening)
		if f.Port != engine.Main || f.Address != "ipc" {
			t.Errorf("fact = %+v", f)
		}
		if got, want := ask(t, f.Connector), "node "+strconv.Itoa(n)+" port 3000"; got != want {
			t.Errorf("answer = %q; want %q", got, want)
		}
	}
	a := d.asked()[0]
	if a.Service != "app" || a.Worker != "app.1" || a.Network != "tcp" || a.Host != "" || a.Port != 3000 || !a.Own || a.Process == "" || a.Key == "" || a.Shared {
		t.Errorf("ask = %+v", a)
	}
}

func TestANodeWorkerThatLeavesIsVoluntary(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	i := b.StartLaunch(b.node(t, plainApp, 1))
	askPath(t, b.Await(i.ID, engine.Listening).Connector, "/leave")
	if x := b.Await(i.ID, engine.Exited).Exit; !x.Voluntary {
		t.Errorf("exit = %+v; want it voluntary", x)
	}
}

func TestAServerThatANodeWorkerClosesIsTold(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	i := b.StartLaunch(b.node(t, plainApp, 1))
	askPath(t, b.Await(i.ID, engine.Listening).Connector, "/close")
	if f := b.Await(i.ID, engine.Closed); f.Port != engine.Main {
		t.Errorf("fact = %+v", f)
	}
}

func TestStopSendsTheSignalAndTheDisconnect(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	app := plainApp + `
process.on('SIGTERM', () => console.log('got SIGTERM'));
process.on('disconnect', () => console.log('got disconnect'));`
	i := b.StartLaunch(b.node(t, app, 1))
	b.Await(i.ID, engine.Listening)
	if err := b.Engine.Stop(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	if x := b.Await(i.ID, engine.Exited).Exit; x.Code != 0 {
		t.Errorf("exit = %+v; want an end of its own", x)
	}
	b.awaitLine(t, i.Worker, "got SIGTERM")
	b.awaitLine(t, i.Worker, "got disconnect")
}

func TestModeRRTakesWholeConnectionsOnly(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	l := b.node(t, plainApp, 1)
	l.Release.Service.NodeMode = spec.NodeRR
	c := b.Await(b.StartLaunch(l).ID, engine.Listening).Connector
	if raw, ok := c.(interface{ RawOnly() bool }); !ok || !raw.RawOnly() {
		t.Fatalf("connector %T does not say that it is for whole connections", c)
	}
	if _, err := c.(connector).Connect(t.Context()); err == nil {
		t.Error("Connect works")
	}
	if got := askPassed(t, c); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("answer = %q", got)
	}
}

// askPassed hands one end of a TCP connection over and asks through the other.
func askPassed(t *testing.T, c any) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	file, err := accepted.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()
	pass := c.(interface {
		Pass(ctx context.Context, fd uintptr) error
	})
	if err := pass.Pass(t.Context(), file.Fd()); err != nil {
		t.Fatal(err)
	}
	file.Close()
	if _, err := client.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, err := client.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer[:n])
}

func TestModeSharedGivesTheSocketItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	d := &doorman{shared: file.Fd()}
	b := newNodeBench(t, d)
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	launch := b.node(t, strings.Replace(plainApp, "3000", port, 1), 1)
	launch.Release.Service.NodeMode = spec.NodeShared
	f := b.Await(b.StartLaunch(launch).ID, engine.Listening)
	if f.Connector != nil || !d.asked()[0].Shared {
		t.Errorf("fact = %+v, ask = %+v; want no connector, and the wish for the socket", f, d.asked()[0])
	}
	if got := ask(t, tcp(l.Addr().String())); !strings.HasPrefix(got, "node 1") {
		t.Errorf("answer = %q", got)
	}
}

// tcp connects to an address.
type tcp string

func (a tcp) Connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", string(a))
}

func TestModeListenUsesASocketOfTheWorkersOwn(t *testing.T) {
	d := &doorman{}
	b := newNodeBench(t, d)
	l := b.node(t, plainApp, 1)
	l.Release.Service.NodeMode = spec.NodeListen
	f := b.Await(b.StartLaunch(l).ID, engine.Listening)
	if f.Port != engine.Main || !strings.HasPrefix(f.Address, "unix:/") {
		t.Errorf("fact = %+v", f)
	}
	if got := ask(t, f.Connector); !strings.HasPrefix(got, "node 1") {
		t.Errorf("answer = %q", got)
	}
}

func TestModePortLetsTheApplicationBind(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	l := b.node(t, strings.Replace(plainApp, "3000", "process.env.PORT", 1), 1)
	l.Release.Service.NodeMode = spec.NodePort
	f := b.Await(b.StartLaunch(l).ID, engine.Listening)
	if got := ask(t, f.Connector); !strings.HasSuffix(f.Address, strings.TrimPrefix(got, "node 1 port ")) {
		t.Errorf("answer = %q from %s", got, f.Address)
	}
}

func TestAPortThatIsRefusedIsTheApplicationsError(t *testing.T) {
	b := newNodeBench(t, &doorman{err: syscall.EACCES})
	i := b.StartLaunch(b.node(t, plainApp, 1))
	if x := b.Await(i.ID, engine.Exited).Exit; x.Code != 1 || x.Cause != "bulsa cannot listen on port 3000 for it: permission denied" {
		t.Errorf("exit = %+v; want the refusal", x)
	}
}

// launched makes a launch of a command line in the application's folder, with PORT
// left to bulsa.
func (b bench) launched(t testing.TB, number int, files map[string]string, command ...string) engine.Launch {
	t.Helper()
	l := b.node(t, "", number)
	c := &l.Release.Service.Command
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.Args = command
	return l
}

const portApp = `require('http').createServer((q, r) => r.end('told ' + process.env.PORT)).listen(process.env.PORT)`

// Whatever the program is called that leads to Node in the end, its workers share
// the published port.
func TestAnyProgramMayLeadToNode(t *testing.T) {
	linuxOnly(t)
	files := map[string]string{
		"app.js": portApp, "launch.js": `require('child_process').spawn(process.execPath, ['app.js'], {stdio: 'inherit'})`,
		"launch.py": "import os\nos.execvp('node', ['node', 'app.js'])\n",
	}
	for name, command := range map[string][]string{
		"a program that executes another": {"prlimit", "--nofile=4096", "node", "app.js"},
		"one in Python":                   {"python3", "launch.py"},
		"one in Node":                     {"node", "launch.js"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skip(err)
			}
			b := newNodeBench(t, &doorman{})
			for n := 1; n <= 2; n++ {
				f := b.Await(b.StartLaunch(b.launched(t, n, files, command...)).ID, engine.Listening)
				if got := ask(t, f.Connector); f.Address != "ipc" || got != "told 3000" {
					t.Errorf("worker %d at %s answers %q", n, f.Address, got)
				}
			}
		})
	}
}

// What cannot join listens where only its worker does, and is told the port that
// the world sees all the same.
func TestWhatALauncherForksServesAtItsOwnPort(t *testing.T) {
	linuxOnly(t)
	b := newNodeBench(t, &doorman{})
	files := map[string]string{"app.js": portApp, "launch.js": `require('child_process').fork('app.js')`}
	for n := 1; n <= 2; n++ {
		f := b.Await(b.StartLaunch(b.launched(t, n, files, "node", "launch.js")).ID, engine.Listening)
		if got := ask(t, f.Connector); f.Address == "ipc" || got != "told 3000" {
			t.Errorf("worker %d at %s answers %q", n, f.Address, got)
		}
	}
}

// A job beside the application has a channel of its own, and neither notices when
// the other one ends.
func TestAJobBesideTheApplication(t *testing.T) {
	d := &doorman{}
	b := newNodeBench(t, d)
	i := b.StartLaunch(b.launched(t, 1, map[string]string{
		"app.js": portApp,
		"job.js": `console.log('job of', require('cluster').worker.id); process.on('disconnect', () => console.log('job ends'))`,
	}, "sh", "-c", "node job.js & exec node app.js"))
	f := b.Await(i.ID, engine.Listening)
	if got := ask(t, f.Connector); got != "told 3000" {
		t.Errorf("answer = %q", got)
	}
	b.awaitLine(t, i.Worker, "job of 1")
	if err := b.Engine.Stop(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	b.Await(i.ID, engine.Exited)
}

// Two processes that want the same port: the second one is refused, as by the kernel.
func TestASecondProcessOfTheSamePortIsRefused(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	launch := b.launched(t, 1, map[string]string{
		"app.js":    portApp,
		"second.js": `require('http').createServer().on('error', (e) => console.log('second:', e.code)).listen(process.env.PORT)`,
	}, "sh", "-c", "node app.js & while ! test -e up; do sleep 0.01; done; node second.js; wait")
	i := b.StartLaunch(launch)
	f := b.Await(i.ID, engine.Listening)
	if err := os.WriteFile(filepath.Join(launch.Release.Service.Command.Dir, "up"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.awaitLine(t, i.Worker, "second: EADDRINUSE")
	if got := ask(t, f.Connector); got != "told 3000" {
		t.Errorf("answer = %q", got)
	}
}

// A link to the current release that moved leads to another script.
func TestTheScriptIsReadAnewAtEachStart(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	l := b.launched(t, 1, nil)
	dir := l.Release.Service.Command.Dir
	for version, script := range map[string]string{"v1": "node one.js", "v2": "X=2 node two.js"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{
			"package.json": `{"scripts":{"start":"` + script + `"}}`, "one.js": portApp, "two.js": strings.Replace(portApp, "'told '", "'second '", 1),
		} {
			if err := os.WriteFile(filepath.Join(dir, version, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.Release.Service.Command.Args = []string{"current"}
	for n, want := range []string{"told 3000", "second 3000"} {
		os.Remove(filepath.Join(dir, "current"))
		if err := os.Symlink([]string{"v1", "v2"}[n], filepath.Join(dir, "current")); err != nil {
			t.Fatal(err)
		}
		l.ID = engine.InstanceID(fmt.Sprintf("app.1#%d", 100+n))
		i := b.StartLaunch(l)
		if got := ask(t, b.Await(i.ID, engine.Listening).Connector); got != want {
			t.Errorf("answer = %q; want %q", got, want)
		}
		b.Kill(i.ID)
	}
}

// An old Node is served as it is, and named. The one here only says that it is old.
func TestANodeThatIsTooOldIsNamed(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	l := b.launched(t, 1, map[string]string{"app.js": portApp})
	real, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	dir := l.Release.Service.Command.Dir
	script := "#!/bin/sh\n[ \"$1\" = --version ] && echo v16.20.2 && exit\nunset BULSA_ID\nexec " + real + ` "$@"` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "node"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	l.Release.Service.Command.Args = []string{"./node", "app.js"}
	i := b.StartLaunch(l)
	if f := b.Await(i.ID, engine.Notice); !strings.Contains(f.Message, "runs on Node v16.20.2") || !strings.Contains(f.Message, "18 and newer") {
		t.Errorf("notice %q", f.Message)
	}
	if got := ask(t, b.Await(i.ID, engine.Listening).Connector); !strings.HasPrefix(got, "told ") {
		t.Errorf("answer = %q", got)
	}
}

func TestNPMStartJoinsLate(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("no npm")
	}
	d := &doorman{}
	b := newNodeBench(t, d)
	l := b.node(t, strings.Replace(plainApp, "3000", "process.env.PORT", 1), 1)
	c := &l.Release.Service.Command
	manifest := `{"name": "app", "scripts": {"start": "true && node app.js"}}`
	if err := os.WriteFile(filepath.Join(c.Dir, "package.json"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Args = []string{"npm", "start"}
	i := b.StartLaunch(l)
	f := b.Await(i.ID, engine.Listening)
	if got := ask(t, f.Connector); !strings.HasPrefix(got, "node 1") {
		t.Errorf("answer = %q", got)
	}
	if f.Address != "ipc" || !d.asked()[0].Own {
		t.Errorf("fact = %+v, ask = %+v; want the channel, and its own port", f, d.asked()[0])
	}
	b.Kill(i.ID)
	if n := zombies(); n != 0 {
		t.Errorf("%d zombies", n)
	}
}

func TestAnExclusiveServerOfOneWorkerIsReachedAtItsPort(t *testing.T) {
	linuxOnly(t)
	port := strconv.Itoa(freePort(t))
	app := strings.Replace(plainApp, "listen(3000)", "listen({port: "+port+", exclusive: true})", 1)
	b := newNodeBench(t, &doorman{})
	l := b.node(t, app, 1)
	l.Alone = true
	l.Release.Service.Ports[0].Target, _ = strconv.Atoi(port)
	f := b.Await(b.StartLaunch(l).ID, engine.Listening)
	if got := ask(t, f.Connector); got != "node 1 port "+port {
		t.Errorf("answer = %q", got)
	}
}

func TestANodeWorkerWithoutPortsIsSettled(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	l := b.node(t, "setInterval(() => {}, 1000)", 1)
	l.Release.Service.Ports = nil
	b.Await(b.StartLaunch(l).ID, engine.Settled)
}

func TestAKilledNodeWorkerTakesNothingWithIt(t *testing.T) {
	b := newNodeBench(t, &doorman{})
	first := b.StartLaunch(b.node(t, plainApp, 1))
	second := b.StartLaunch(b.node(t, plainApp, 2))
	b.Await(first.ID, engine.Listening)
	f := b.Await(second.ID, engine.Listening)
	if x := b.Kill(first.ID); x.Signal != "SIGKILL" || x.OOM {
		t.Errorf("exit = %+v", x)
	}
	if got := ask(t, f.Connector); !strings.HasPrefix(got, "node 2") {
		t.Errorf("answer = %q", got)
	}
	if enginetest.Alive(first.PID) {
		t.Error("the killed worker lives")
	}
}
