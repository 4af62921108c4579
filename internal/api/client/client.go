// Package client asks a running project over its control socket, and finds those that
// run. The words are those of api; the server side is admin.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"bulsa/internal/api"
)

// answerTime is how long a project may take to answer anything that does not
// wait by its nature; answers come from memory, so this means that it hangs.
const answerTime = 10 * time.Second

// Refused is the answer of a running project that did not do what was asked.
type Refused struct {
	Status  int    // 400 not understood or not possible, 404 no such name, 409 not now, 5xx failed
	Message string // one line
}

func (e *Refused) Error() string { return e.Message }

// Client talks to one running project over its control socket. Its methods may
// be called from several goroutines.
type Client struct {
	project string
	http    *http.Client
}

// Dial connects to a running project. The error is a *NotRunning when its socket
// is missing or dead.
func Dial(project string) (*Client, error) {
	if err := api.CheckRuntime(project); err != nil {
		return nil, err
	}
	path := api.SocketPath(project)
	conn, err := net.DialTimeout("unix", path, 5*time.Second)
	if err != nil {
		return nil, dialError(project, err)
	}
	conn.Close()
	dialer := &net.Dialer{}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableCompression: true,
	}
	return &Client{project: project, http: &http.Client{Transport: transport}}, nil
}

// dialError tells a project that does not run from one that may not be touched.
func dialError(project string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("project %q belongs to another user: %w", project, err)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
		return &NotRunning{Project: project, Running: Running()}
	}
	return fmt.Errorf("cannot reach project %q: %w", project, err)
}

// Name is the project's name.
func (c *Client) Name() string { return c.project }

// Close gives back idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Project is the whole picture.
func (c *Client) Project(ctx context.Context) (api.Project, error) {
	var p api.Project
	err := c.get(ctx, "project", nil, &p)
	return p, err
}

// Workers lists the workers that run or want to; with all also stopped ones.
func (c *Client) Workers(ctx context.Context, all bool) ([]api.Worker, error) {
	var w []api.Worker
	err := c.get(ctx, "workers", url.Values{"all": {strconv.FormatBool(all)}}, &w)
	return w, err
}

// Inspect is all about one service or worker.
func (c *Client) Inspect(ctx context.Context, name string) (api.Inspection, error) {
	var i api.Inspection
	err := c.get(ctx, "inspect/"+url.PathEscape(name), nil, &i)
	return i, err
}

// Ready waits up to wait for the project to be ready, with settled for a change to be
// carried out, or for it to be found failing.
func (c *Client) Ready(ctx context.Context, wait time.Duration, settled bool) (api.Readiness, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+answerTime)
	defer cancel()
	var r api.Readiness
	err := c.do(ctx, http.MethodGet, fmt.Sprintf("ready?wait=%s&settled=%t", wait, settled), nil, &r)
	return r, err
}

// LogOptions chooses what Logs sends.
type LogOptions struct {
	Tail   int      // the last lines that are kept; -1: all
	Follow bool     // and then new ones until the context ends
	Names  []string // workers or services; none: all
}

// Logs calls line for each line of output, in order, until there is no more, the
// context ends or line returns an error, which it then returns.
func (c *Client) Logs(ctx context.Context, o LogOptions, line func(api.LogLine) error) error {
	q := url.Values{"tail": {strconv.Itoa(o.Tail)}, "follow": {strconv.FormatBool(o.Follow)}, "name": o.Names}
	return stream(ctx, c, "logs?"+q.Encode(), line)
}

// Events calls event for each event that is kept, and with follow for the new ones.
func (c *Client) Events(ctx context.Context, follow bool, event func(api.Event) error) error {
	q := url.Values{"follow": {strconv.FormatBool(follow)}}
	return stream(ctx, c, "events?"+q.Encode(), event)
}

// Scale sets the numbers of workers of services, all of them or none. The answer has a
// line for each.
func (c *Client) Scale(ctx context.Context, services []api.Scale, wait bool) (string, error) {
	var a api.Answer
	err := c.post(ctx, "scale", api.ScaleRequest{Services: services, Wait: wait}, &a)
	return a.Message, err
}

// Start starts services or workers that were stopped; all when none is named.
func (c *Client) Start(ctx context.Context, names []string, wait bool) error {
	return c.post(ctx, "start", api.NamesRequest{Names: names, Wait: wait}, nil)
}

// Stop ends services or workers gracefully and keeps them ended.
func (c *Client) Stop(ctx context.Context, names []string, wait bool) error {
	return c.post(ctx, "stop", api.NamesRequest{Names: names, Wait: wait}, nil)
}

// Restart replaces services or workers gracefully.
func (c *Client) Restart(ctx context.Context, names []string, wait bool) error {
	return c.post(ctx, "restart", api.NamesRequest{Names: names, Wait: wait}, nil)
}

// Kill sends a signal to one worker's whole process group.
func (c *Client) Kill(ctx context.Context, worker, signal string) error {
	return c.post(ctx, "kill", api.KillRequest{Worker: worker, Signal: signal}, nil)
}

// Apply makes the running project equal to a resolved spec.Project given as
// JSON. The answer has a line for each thing that changed.
func (c *Client) Apply(ctx context.Context, project json.RawMessage) (string, error) {
	var a api.Answer
	err := c.post(ctx, "apply", project, &a)
	return a.Message, err
}

// Down ends the project gracefully and returns when its process is gone. After so many
// seconds what still runs is killed; negative: never before its own time.
func (c *Client) Down(ctx context.Context, seconds int) error {
	p, err := c.Project(ctx)
	if err != nil {
		return err
	}
	var req api.DownRequest
	if seconds >= 0 {
		req.Seconds = &seconds
	}
	if err := c.post(ctx, "down", req, nil); err != nil {
		return err
	}
	return c.gone(ctx, p.PID)
}

// gone waits until nobody listens on the socket and the process has ended: the
// ports are free and nothing is left running then.
func (c *Client) gone(ctx context.Context, pid int) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for answers(c.project) || alive(pid) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// alive reports whether a process runs; one that only waits to be reaped does not.
func alive(pid int) bool {
	if pid <= 0 || pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	switch processState(pid) {
	case "":
		return !procMounted()
	case "Z", "X":
		return false
	}
	return true
}

func procMounted() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}

func (c *Client) get(ctx context.Context, path string, q url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return c.do(ctx, http.MethodGet, path, nil, into)
}

func (c *Client) post(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, b, into)
}

// do sends one request and reads the whole answer.
func (c *Client) do(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, look, cancel := c.answering(ctx)
	defer cancel()
	defer look.Stop()
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return c.lost(ctx, err)
	}
	return c.lost(ctx, json.NewDecoder(resp.Body).Decode(into))
}

// send returns an answer with status 2xx, or the error that the server told.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/api/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e api.Error
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&e); err != nil || e.Message == "" {
		return nil, fmt.Errorf("project %q answered %s", c.project, resp.Status)
	}
	return nil, &Refused{Status: resp.StatusCode, Message: e.Message}
}

// lost gives an error of the connection the name of the project.
func (c *Client) lost(ctx context.Context, err error) error {
	still, _ := errors.AsType[*StandsStill](context.Cause(ctx))
	switch {
	case err == nil:
		return nil
	case still != nil:
		return still
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("project %q does not answer", c.project)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist):
		return &NotRunning{Project: c.project, Running: Running()}
	}
	return fmt.Errorf("project %q %w", c.project, ErrEnded)
}

// stream reads newline-delimited JSON. The end of the project, or of the context,
// is the end of the stream and no error.
func stream[T any](ctx context.Context, c *Client, path string, each func(T) error) error {
	ctx, look, cancel := c.answering(ctx)
	defer cancel()
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	look.Stop()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	for {
		var v T
		if err := d.Decode(&v); err != nil {
			return nil
		}
		if err := each(v); err != nil {
			return err
		}
	}
}
