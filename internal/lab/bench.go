package lab

import (
	"bytes"
	"context"
	_ "embed" // the application
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"bulsa/internal/api"
	"bulsa/internal/api/client"
)

//go:embed apps/lab.js
var labApp []byte

const (
	// warmUp is longer than the second over which figures are taken, so that none
	// of the row before is in them.
	warmUp = 1500 * time.Millisecond
	// startTime and stopTime bound what bulsa may take for the app.
	startTime = 30 * time.Second
	stopTime  = 20 * time.Second
	// backendDelay is how long the slow back end takes.
	backendDelay = time.Second
)

// bench is what all experiments share: a folder, and a back end that is slow.
type bench struct {
	Options
	dir     string
	project string // a name that no other project has
	node    string
	tasks   string // what the app gives its pool, as it says
	backend *http.Server
	address string // of the back end
}

func newBench(o Options) (*bench, error) {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return nil, err
	}
	b := &bench{Options: o, dir: dir, project: "lab-" + strconv.Itoa(os.Getpid())}
	if err := os.WriteFile(b.appPath(), labApp, 0o600); err != nil {
		b.close()
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.close()
		return nil, err
	}
	b.address = l.Addr().String()
	b.backend = &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(backendDelay):
				fmt.Fprintln(w, "at last")
			case <-r.Context().Done():
			}
		}),
	}
	go b.backend.Serve(l) //nolint:errcheck // ends with close
	return b, nil
}

func (b *bench) close() {
	if b.backend != nil {
		b.backend.Close()
	}
	os.RemoveAll(b.dir)
}

// once is measure for a service of its own.
func (b *bench) once(ctx context.Context, workers, threads int, w work) (Row, error) {
	s, err := b.start(ctx, workers, threads)
	if err != nil {
		return Row{}, err
	}
	defer s.stop()
	if b.tasks, err = s.tasks(ctx); err != nil {
		return Row{}, err
	}
	return s.measure(ctx, w)
}

// tasks is what the app gives its pool to do.
func (s *service) tasks(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/kind", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	kind, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	return string(kind), err
}

// service is the app under a bulsa of its own.
type service struct {
	bench   *bench
	command *exec.Cmd
	ended   chan struct{}
	output  *bytes.Buffer
	url     string
}

// start runs the app with so many workers, each with so many threads in its pool
// (0: as Node has it), and returns when they are ready.
func (b *bench) start(ctx context.Context, workers, threads int) (*service, error) {
	if err := b.findNode(ctx); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{"run", "--name", b.project, "--admin", "off", "-w", strconv.Itoa(workers), "-p", "127.0.0.1:" + port,
		"-e", "LAB_BACKEND=http://" + b.address + "/", "-e", "LAB_FOLDER=" + b.Folder}
	if threads > 0 {
		args = append(args, "-e", "UV_THREADPOOL_SIZE="+strconv.Itoa(threads))
	}
	s := &service{bench: b, url: "http://127.0.0.1:" + port, ended: make(chan struct{}), output: new(bytes.Buffer)}
	s.command = exec.Command(b.Bulsa, append(args, b.appPath())...)
	s.command.Dir = b.dir
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.command.Wait() // its output tells more than its status
		close(s.ended)
	}()
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (b *bench) findNode(ctx context.Context) error {
	if b.node != "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, "node", "--version").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return errNoNode
	}
	if err != nil {
		return fmt.Errorf("node --version: %w", err)
	}
	b.node = strings.TrimSpace(string(out))
	return nil
}

// ready waits until every worker is ready and its event loop is seen.
func (s *service) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	late := errors.New("the app was not ready in time")
	for {
		if workers, err := s.workers(ctx); err == nil && all(workers, isReady) {
			if all(workers, isSeen) {
				return nil
			}
			late = errUnseen
		}
		select {
		case <-s.ended:
			return fmt.Errorf("the app did not start: %s", lastLine(s.output.String()))
		case <-ctx.Done():
			return late
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var errUnseen = errors.New("bulsa sees no event loop: see docs/event-loop.md for what it needs")

func all(workers []api.Worker, is func(api.Worker) bool) bool {
	return len(workers) > 0 && !slices.ContainsFunc(workers, func(w api.Worker) bool { return !is(w) })
}

func isReady(w api.Worker) bool { return w.State == "ready" }
func isSeen(w api.Worker) bool  { return w.EventLoop != nil }

func (s *service) workers(ctx context.Context) ([]api.Worker, error) {
	c, err := client.Dial(s.bench.project)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Workers(ctx, false)
}

// stop ends bulsa and with it the app.
func (s *service) stop() {
	_ = s.command.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.ended:
	case <-time.After(stopTime):
		_ = s.command.Process.Kill()
		<-s.ended
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
