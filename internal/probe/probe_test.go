//go:build unix

package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
	"bulsa/internal/worker"
)

// local is an engine that can only run commands, on this machine.
type local struct {
	engine.Engine
	err error // instead of running
}

func (l local) Exec(ctx context.Context, _ engine.InstanceID, c engine.Command) (engine.Result, error) {
	if l.err != nil {
		return engine.Result{ExitCode: -1}, l.err
	}
	limit, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cmd := exec.CommandContext(limit, c.Args[0], c.Args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	start := time.Now()
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return engine.Result{ExitCode: -1}, err
	}
	return engine.Result{
		ExitCode: cmd.ProcessState.ExitCode(),
		TimedOut: limit.Err() != nil && ctx.Err() == nil,
		Output:   string(output.Next(c.MaxOutput)),
		CPU:      cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		Wall:     time.Since(start),
	}, ctx.Err()
}

func TestCommandChecks(t *testing.T) {
	long := 10 * time.Second
	for _, c := range []struct {
		name    string
		test    []string
		timeout time.Duration
		code    int
		output  string // the beginning
	}{
		{"exit 0 passes", []string{"CMD-SHELL", "echo fine"}, long, 0, "fine\n"},
		{"exit 1 fails", []string{"CMD-SHELL", "echo no >&2; exit 1"}, long, 1, "no\n"},
		{"any other exit fails", []string{"CMD-SHELL", "exit 42"}, long, 42, ""},
		{"a program without a shell", []string{"CMD", "echo", "$HOME; exit 1"}, long, 0, "$HOME; exit 1\n"},
		{"curl that is not installed", []string{"CMD-SHELL", "curl-that-is-missing --fail http://localhost/"}, long, 127, ""},
		{"curl that is not installed, and Docker's usual ending", []string{"CMD-SHELL", "curl-that-is-missing || exit 1"}, long, 1, ""},
		{"a program that is missing", []string{"CMD", "/no/such/program"}, long, -1, `cannot run the health check "/no/such/program"`},
		{"too slow", []string{"CMD", "sleep", "60"}, 50 * time.Millisecond, -1, "Health check exceeded timeout (50ms)"},
		{"too slow after some output", []string{"CMD-SHELL", "echo half; sleep 60"}, time.Second, -1, "Health check exceeded timeout (1s): half\n"},
		{"output is cut", []string{"CMD-SHELL", "head -c 100000 /dev/zero | tr '\\0' x"}, long, 0, strings.Repeat("x", MaxOutput)},
		{"an unknown form", []string{"RUN", "true"}, long, -1, "healthcheck.test is"},
		{"nothing to run", []string{"CMD"}, long, -1, "healthcheck.test is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Run(t.Context(), spec.Health{Test: c.test, Timeout: c.timeout}, Target{Engine: local{}})
			if got.ExitCode != c.code || !strings.HasPrefix(got.Output, c.output) || got.Passed() != (c.code == 0) {
				t.Fatalf("got %d, %q; want %d, %q", got.ExitCode, got.Output, c.code, c.output)
			}
			if len(got.Output) > MaxOutput {
				t.Fatalf("%d bytes of output", len(got.Output))
			}
			if got.Start.IsZero() || got.End.Before(got.Start) {
				t.Fatalf("ran from %v to %v", got.Start, got.End)
			}
		})
	}
}

func TestCommandTellsItsCost(t *testing.T) {
	h := spec.Health{Test: []string{"CMD-SHELL", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"}, Timeout: 30 * time.Second}
	got := Run(t.Context(), h, Target{Engine: local{}})
	if !got.Passed() || got.CPU <= 0 {
		t.Fatalf("got %+v", got)
	}
}

func TestCheckOfAnEndedWorkerFails(t *testing.T) {
	h := spec.Health{Test: []string{"CMD", "true"}, Timeout: time.Second}
	got := Run(t.Context(), h, Target{Engine: local{err: engine.ErrNoInstance}})
	if got.ExitCode != -1 || got.Output != "the worker does not run" {
		t.Fatalf("got %+v", got)
	}
}

func TestCheckThatIsCalledOffFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, h := range map[string]spec.Health{
		"command": {Test: []string{"CMD", "sleep", "60"}, Timeout: time.Minute},
		"http":    {HTTP: "/", Timeout: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			got := Run(ctx, h, target(func(net.Conn) {}))
			if got.ExitCode != -1 || got.Output != "the check was called off" {
				t.Fatalf("got %+v", got)
			}
		})
	}
}

// target is a worker that serves each connection so.
func target(serve func(net.Conn)) Target {
	return Target{
		Engine: local{},
		Host:   "example.test:3333",
		Connect: func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				serve(theirs)
			}()
			return ours, nil
		},
	}
}

// answer reads a request and writes raw.
func answer(raw string) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			io.WriteString(c, raw)
		}
	}
}

// silence answers nothing until the client is gone.
func silence(c net.Conn) { io.Copy(io.Discard, c) }

func TestHTTPChecks(t *testing.T) {
	for _, c := range []struct {
		name   string
		serve  func(net.Conn)
		code   int
		output string // the beginning
	}{
		{"200 passes", answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 0, "ok"},
		{"204 passes", answer("HTTP/1.1 204 No Content\r\n\r\n"), 0, ""},
		{"a redirect passes and is not followed", answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), 0, ""},
		{"404 fails", answer("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"), 1, "HTTP/1.1 404 Not Found\nnope"},
		{"503 without a body fails", answer("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), 1, "HTTP/1.1 503 Service Unavailable"},
		{"a long body is cut", answer("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 50_000)), 0, strings.Repeat("x", MaxOutput)},
		{"a body that never ends is not waited for", func(c net.Conn) {
			answer("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", MaxOutput))(c)
			silence(c)
		}, 0, strings.Repeat("x", MaxOutput)},
		{"no HTTP at all", answer("SSH-2.0-OpenSSH\r\n\r\n"), 1, "no answer: "},
		{"hung up", func(net.Conn) {}, 1, "no answer: "},
		{"a head without end", answer("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<20)), 1, "no answer: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Run(t.Context(), spec.Health{HTTP: "/health", Timeout: 10 * time.Second}, target(c.serve))
			if got.ExitCode != c.code || !strings.HasPrefix(got.Output, c.output) || len(got.Output) > MaxOutput {
				t.Fatalf("got %d, %q; want %d, %q", got.ExitCode, got.Output, c.code, c.output)
			}
		})
	}
}

func TestHTTPRequestIsThatOfAProbe(t *testing.T) {
	seen := make(chan *http.Request, 1)
	closed := make(chan struct{})
	serve := func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			t.Error(err)
			return
		}
		seen <- r
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		silence(c)
		close(closed)
	}
	if got := Run(t.Context(), spec.Health{HTTP: "/health?deep=1", Timeout: 10 * time.Second}, target(serve)); !got.Passed() {
		t.Fatalf("got %+v", got)
	}
	r := <-seen
	if r.Method != "GET" || r.RequestURI != "/health?deep=1" || r.Host != "example.test:3333" || r.UserAgent() != "bulsa-probe" || !r.Close {
		t.Fatalf("asked %s %s of %s by %s", r.Method, r.RequestURI, r.Host, r.UserAgent())
	}
	<-closed
}

func TestSilentWorkerTimesOut(t *testing.T) {
	got := Run(t.Context(), spec.Health{HTTP: "/", Timeout: 50 * time.Millisecond}, target(silence))
	if got.ExitCode != -1 || got.Output != "Health check exceeded timeout (50ms)" {
		t.Fatalf("got %+v", got)
	}
}

func TestConnectionChecks(t *testing.T) {
	refused := errors.New("connection refused")
	for _, c := range []struct {
		name    string
		connect func(context.Context) (net.Conn, error)
		code    int
		output  string
	}{
		{"an open connection passes", target(silence).Connect, 0, ""},
		{"not listening yet", nil, 1, "not listening yet"},
		{"refused", func(context.Context) (net.Conn, error) { return nil, refused }, 1, "cannot connect: connection refused"},
		{"never answered", func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }, -1, "Health check exceeded timeout (50ms)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Run(t.Context(), spec.Health{TCP: true, Timeout: 50 * time.Millisecond}, Target{Connect: c.connect})
			if got.ExitCode != c.code || got.Output != c.output {
				t.Fatalf("got %+v", got)
			}
		})
	}
}

func TestAllKindsMustPass(t *testing.T) {
	h := spec.Health{Test: []string{"CMD", "true"}, HTTP: "/", TCP: true, Timeout: 10 * time.Second}
	if got := Run(t.Context(), h, target(answer("HTTP/1.1 200 OK\r\n\r\n"))); !got.Passed() {
		t.Fatalf("got %+v", got)
	}
	if got := Run(t.Context(), h, target(answer("HTTP/1.1 500 Oh\r\n\r\n"))); got.Passed() {
		t.Fatal("http failed and the check passed")
	}
	h.Test = []string{"CMD", "false"}
	if got := Run(t.Context(), h, target(answer("HTTP/1.1 200 OK\r\n\r\n"))); got.ExitCode != 1 {
		t.Fatalf("got %+v", got)
	}
}

func TestOutputIsAlwaysText(t *testing.T) {
	got := Run(t.Context(), spec.Health{Test: []string{"CMD-SHELL", `printf 'a\377b'`}, Timeout: 10 * time.Second}, Target{Engine: local{}})
	if got.Output != "a?b" {
		t.Fatalf("got %q", got.Output)
	}
}

func TestWarningsAboutCost(t *testing.T) {
	took := func(wall, cpu time.Duration) worker.CheckResult {
		start := time.Unix(1000, 0)
		return worker.CheckResult{Start: start, End: start.Add(wall), CPU: cpu}
	}
	for _, c := range []struct {
		name     string
		interval time.Duration
		recent   []worker.CheckResult
		want     string // all warnings
	}{
		{"cheap", time.Second, []worker.CheckResult{took(100*time.Millisecond, 10*time.Millisecond)}, ""},
		{"no check yet", time.Second, nil, ""},
		{"slower than its interval", time.Second, []worker.CheckResult{took(2100*time.Millisecond, 0)},
			"the health check takes 2.1 s, longer than its interval of 1 s: raise the interval or make it cheaper"},
		{"too much CPU", time.Second, []worker.CheckResult{took(200*time.Millisecond, 120*time.Millisecond)},
			"the health check uses 120 ms of CPU every 1 s, 12 % of a core: raise the interval or make it cheaper"},
		{"the same CPU, seldom", 30 * time.Second, []worker.CheckResult{took(200*time.Millisecond, 120*time.Millisecond)}, ""},
		{"one slow check among quick ones", time.Second, []worker.CheckResult{took(2*time.Second, 0), took(0, 0), took(0, 0)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(Warnings(spec.Health{Interval: c.interval}, c.recent), "\n"); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}
