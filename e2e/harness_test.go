// Package e2e drives the built binary as its users do.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a fact. It is long: these machines are shared.
const patience = 60 * time.Second

// The bulsa under test: plain is the one that users have, raced is built with the
// race detector; world.binary says which of them serves. $BULSA_E2E_BINARY stands
// for both.
var plain, raced string

// programs is the folder of the binaries that are built here.
var programs string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	defer removeDockerd()
	dir, err := os.MkdirTemp("", "bulsa-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs = dir
	plain = os.Getenv("BULSA_E2E_BINARY")
	if raced = plain; plain != "" {
		return m.Run()
	}
	plain, raced = filepath.Join(dir, "bulsa"), filepath.Join(dir, "bulsa-race")
	for _, args := range [][]string{{"-race", "-o", raced}, {"-o", plain}} {
		build := exec.Command("go", append(append([]string{"build"}, args...), "../cmd/bulsa")...)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		cgo := "CGO_ENABLED=0" // it runs in containers, too
		if args[0] == "-race" {
			cgo = "CGO_ENABLED=1"
		}
		build.Env = append(os.Environ(), cgo)
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "cannot build bulsa:", err)
			return 1
		}
	}
	return m.Run()
}

// soaks says whether a test is one of the long ones, which `make soak` runs: they
// are named TestSoak.
func soaks(t *testing.T) bool { return strings.HasPrefix(t.Name(), "TestSoak") }

// world is one user's machine: a runtime folder of its own, so that projects of
// other tests are not seen.
type world struct {
	t      *testing.T
	dir    string // working folder of the commands
	env    []string
	binary string // that serves: plain or raced
}

func newWorld(t *testing.T) *world {
	t.Helper()
	runtime, err := os.MkdirTemp("", "b") // short: a unix socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	w := &world{t: t, dir: t.TempDir(), env: os.Environ(), binary: plain}
	if test, _, _ := strings.Cut(t.Name(), "/"); detects(test) {
		w.binary = raced
	}
	w.set("BULSA_RUNTIME_DIR", runtime)
	w.set("GORACE", "atexit_sleep_ms=0")
	return w
}

// example is the folder of one of the examples.
func example(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// write puts a file into the working folder and returns its path.
func (w *world) write(name, content string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	status         int
}

// do runs one command to its end.
func (w *world) do(args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.program(args), args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("bulsa %s: %v", strings.Join(args, " "), err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// program is the binary for a command: only what serves may have the race detector,
// which makes three quarters of all work then.
func (w *world) program(args []string) string {
	if len(args) > 0 && (args[0] == "run" || args[0] == "up") {
		return w.binary
	}
	return plain
}

// detects says which tests run a raced bulsa, beside those that set world.binary
// themselves: for each of its parts one in which it is changed while it serves. The
// rooms' own tests all have the detector.
func detects(test string) bool {
	switch test {
	case "TestUpAgainWithAChangeReplacesWorkersWithoutLoss", "TestUpAgainAddsAndRemovesServices", "TestDependenciesAreWaitedFor",
		"TestNothingGrowsUnderMixedTrafficWithKills", "TestAnUnhealthyWorkerIsReplacedStartFirst", "TestNoRequestIsLostWhenAskedForChange",
		"TestServicesShareAPort", "TestUpAgainWithOtherCertificatesLosesNothing", "TestHTTP3IsOfferedAndSpoken", "TestGRPCPassesBothWays",
		"TestRequestsQueueWhileEveryWorkerIsFull", "TestTheAccessLogIsWrittenAndFollowsRotation", "TestBodiesStream",
		"TestLeastLatencyAvoidsASlowWorker", "TestWhatADeafWorkerNeverBeganIsNotLost", "TestProcessesContainersAndServersFormOnePool",
		"TestABrokenReleaseDoesNotTakeThePlaceOfAGoodOne", "TestThePageShowsTheWorkers", "TestMetricsAreWhatPrometheusReads":
		return true
	}
	return false
}

// must runs one command that has to succeed.
func (w *world) must(args ...string) string {
	w.t.Helper()
	r := w.do(args...)
	if r.status != 0 {
		w.t.Fatalf("bulsa %s: exit status %d\n%s%s", strings.Join(args, " "), r.status, r.stdout, r.stderr)
	}
	return r.stdout
}

// server is a bulsa that runs in the foreground.
type server struct {
	w      *world
	cmd    *exec.Cmd
	stdout *transcript
	stderr *transcript
	exited chan struct{}
}

// start runs a foreground command and ends it, gracefully, with the test.
func (w *world) start(args ...string) *server {
	w.t.Helper()
	s := &server{w: w, stdout: &transcript{}, stderr: &transcript{}, exited: make(chan struct{})}
	s.cmd = exec.Command(w.program(args), args...)
	s.cmd.Dir, s.cmd.Env = w.dir, w.env
	s.cmd.Stdout, s.cmd.Stderr = s.stdout, s.stderr
	s.cmd.WaitDelay = 5 * time.Second
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		s.cmd.Wait()
		close(s.exited)
	}()
	w.t.Cleanup(func() {
		s.stop()
		if w.t.Failed() {
			w.t.Logf("bulsa %s said:\n%s\n%s", strings.Join(args, " "), tail(s.stdout.String()), tail(s.stderr.String()))
		}
		if strings.Contains(s.stderr.String(), "DATA RACE") {
			w.t.Errorf("data race in bulsa:\n%s", s.stderr.String())
		}
	})
	return s
}

// tail keeps a failed test's output readable.
func tail(s string) string {
	const most = 8000
	if len(s) > most {
		return "..." + s[len(s)-most:]
	}
	return s
}

// ready starts a command and waits until it says that everything is ready.
func (w *world) ready(args ...string) *server {
	w.t.Helper()
	s := w.start(args...)
	s.says("ready after")
	return s
}

// says waits for a text on standard error.
func (s *server) says(text string) {
	s.w.t.Helper()
	eventually(s.w.t, fmt.Sprintf("bulsa says %q", text), func() bool {
		select {
		case <-s.exited:
			if !strings.Contains(s.stderr.String(), text) {
				s.w.t.Fatalf("bulsa ended without saying %q:\n%s", text, s.stderr.String())
			}
		default:
		}
		return strings.Contains(s.stderr.String(), text)
	})
}

// prints waits for a text on standard output.
func (s *server) prints(text string) {
	s.w.t.Helper()
	eventually(s.w.t, fmt.Sprintf("standard output has %q", text), func() bool { return strings.Contains(s.stdout.String(), text) })
}

// stop ends the server as Ctrl-C does, and by force when that takes too long.
func (s *server) stop() int {
	s.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.w.t.Errorf("bulsa did not end within %s of SIGINT", patience)
		s.cmd.Process.Kill()
		<-s.exited
	}
	return s.cmd.ProcessState.ExitCode()
}

// transcript collects a process's output while it is read.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *transcript) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(b)
}

func (x *transcript) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// eventually waits for a fact. It looks less often with the time: looking takes
// from what is waited for, too.
func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := 5 * time.Millisecond; !fact(); pause = min(pause*5/4, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
		time.Sleep(pause)
	}
}

// lastPort is the port that freePort gave last. It begins somewhere else in each
// process, so that two runs of the tests beside each other seldom meet.
var lastPort atomic.Int32

const lowestPort, ports = 10000, 20000

// freePort is a port that nothing listens on, below those that the kernel gives
// to outgoing connections (ip_local_port_range), and never the same twice: tests
// run beside each other, and some time passes until the port is used.
func freePort(t *testing.T) string {
	t.Helper()
	lastPort.CompareAndSwap(0, int32(os.Getpid()*37%ports)+1)
	for range ports {
		port := fmt.Sprint(lowestPort + int(lastPort.Add(1))%ports)
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

// row is what the tests read of `bulsa ps --format json`.
type row struct {
	Name     string   `json:"name"`
	Service  string   `json:"service"`
	Number   int      `json:"worker"`
	Engine   string   `json:"engine"`
	PID      int      `json:"pid"`
	ID       string   `json:"id"`
	State    string   `json:"state"`
	Health   string   `json:"health"`
	Restarts int      `json:"restarts"`
	Release  int      `json:"release"`
	Status   string   `json:"status"`
	Cause    string   `json:"cause"`
	Address  string   `json:"address"`
	Ports    []string `json:"ports"`
	InFlight int      `json:"in_flight"`
}

// ps reads the workers of a project ("" for the only one): over its control
// socket where there is one, as waits ask again and again, else by the command.
func (w *world) ps(project string) []row {
	w.t.Helper()
	if name := project; name != "" || w.only(&name) {
		control := w.control(name)
		defer control.CloseIdleConnections()
		if rows, err := readWorkers(control); err == nil {
			return rows
		}
	}
	args := []string{"ps", "-a", "--format", "json"}
	if project != "" {
		args = append(args, "-p", project)
	}
	var rows []row
	out := w.must(args...)
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		w.t.Fatalf("ps --format json: %v\n%s", err, out)
	}
	return rows
}

// only finds the project that runs, if it is the only one.
func (w *world) only(name *string) bool {
	sockets, _ := filepath.Glob(filepath.Join(w.runtime(), "*", "control.sock"))
	if len(sockets) != 1 {
		return false
	}
	*name = filepath.Base(filepath.Dir(sockets[0]))
	return true
}

// control asks the project's control socket, which is quicker than the command.
func (w *world) control(project string) *http.Client {
	socket := filepath.Join(w.runtime(), project, "control.sock")
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

// readWorkers reads the workers that a project's control socket tells.
func readWorkers(control *http.Client) ([]row, error) {
	res, err := control.Get("http://bulsa/api/v1/workers?all=true")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	var rows []row
	err = json.NewDecoder(res.Body).Decode(&rows)
	return rows, err
}

// states is the workers of a project as "app.1 ready, app.2 backoff".
func (w *world) states(project string) string {
	w.t.Helper()
	var out []string
	for _, r := range w.ps(project) {
		out = append(out, r.Name+" "+r.State)
	}
	return strings.Join(out, ", ")
}

// get asks once, over a connection of its own, and returns status and body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	return res.StatusCode, string(b)
}
