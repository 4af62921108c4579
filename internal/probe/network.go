package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"bulsa/internal/worker"
)

// userAgent names the checks in the application's access log.
const userAgent = "bulsa-probe"

// maxAnswer is how much of an answer is read, in bytes: a worker whose head is
// longer fails its check instead of filling bulsa's memory.
const maxAnswer = 64 << 10

// notListening is the output of a check of a worker that takes no connections.
const notListening = "not listening yet"

// http passes when a GET is answered with 200..399, as Kubernetes' httpGet
// probe. A redirect is an answer and is not followed.
func (a attempt) http(ctx context.Context) worker.CheckResult {
	return a.connected(ctx, func(conn net.Conn) (worker.CheckResult, error) {
		return get(conn, a.health.HTTP, a.target.Host)
	})
}

// tcp passes when the worker takes a connection.
func (a attempt) tcp(ctx context.Context) worker.CheckResult {
	return a.connected(ctx, func(net.Conn) (worker.CheckResult, error) {
		return worker.CheckResult{}, nil
	})
}

// connected opens a connection, lets use have it until the deadline, and closes it.
func (a attempt) connected(ctx context.Context, use func(net.Conn) (worker.CheckResult, error)) worker.CheckResult {
	if a.target.Connect == nil {
		return failed(exitFailed, notListening)
	}
	ctx, cancel := context.WithDeadline(ctx, a.deadline)
	defer cancel()
	conn, err := a.target.Connect(ctx)
	if err != nil {
		return a.broken("cannot connect", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	result, err := use(conn)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return a.broken("no answer", err)
	}
	return result
}

// broken is the result of a check that got no answer.
func (a attempt) broken(what string, err error) worker.CheckResult {
	switch {
	case errors.Is(err, context.Canceled):
		return failed(exitTimedOut, "the check was called off")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return failed(exitTimedOut, a.exceeded(""))
	}
	return failed(exitFailed, fmt.Sprintf("%s: %v", what, err))
}

// get sends one request on conn and reads the answer; the first MaxOutput bytes
// of its body are the output, and what follows is not waited for.
func get(conn net.Conn, path, host string) (worker.CheckResult, error) {
	if host == "" {
		host = "localhost"
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+host+"/"+strings.TrimPrefix(path, "/"), nil)
	if err != nil {
		return failed(exitFailed, fmt.Sprintf("x-bulsa.probe.http is %q, which is no path: %v", path, err)), nil
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "*/*")
	req.Close = true
	if err := req.Write(conn); err != nil {
		return worker.CheckResult{}, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxAnswer)), req)
	if err != nil {
		return worker.CheckResult{}, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, MaxOutput))
	if err != nil {
		return worker.CheckResult{}, err
	}
	return verdict(answer, string(body)), nil
}

// verdict judges an answer by its status.
func verdict(answer *http.Response, body string) worker.CheckResult {
	if answer.StatusCode >= 200 && answer.StatusCode <= 399 {
		return worker.CheckResult{ExitCode: exitPassed, Output: body}
	}
	output := answer.Proto + " " + answer.Status
	if body != "" {
		output += "\n" + body
	}
	return failed(exitFailed, output)
}
