package docker

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"bulsa/internal/logs"
)

// output brings a container's output into bulsa's logs.
type output struct {
	done   chan struct{} // closed when all of it has been read
	cancel context.CancelFunc
}

// capture follows the output of a container from a moment on; the zero time is
// its beginning.
func (e *Engine) capture(conn *connection, r *run, id string, since time.Time) *output {
	ctx, cancel := context.WithCancel(e.ctx)
	o := &output{done: make(chan struct{}), cancel: cancel}
	if e.cfg.Logs == nil {
		close(o.done)
		return o
	}
	l := r.launch.Release.Service.Logs
	limits := logs.Limits{MaxSize: l.MaxSize, MaxFiles: l.MaxFiles}
	stdout, toStdout := io.Pipe()
	stderr, toStderr := io.Pipe()
	waits := []func(){
		e.cfg.Logs.Capture(r.launch.Worker, "stdout", limits, stdout),
		e.cfg.Logs.Capture(r.launch.Worker, "stderr", limits, stderr),
	}
	e.work.Go(func() {
		defer close(o.done)
		r.copyOutput(ctx, conn, id, since, toStdout, toStderr)
		toStdout.Close()
		toStderr.Close()
		for _, wait := range waits {
			wait()
		}
	})
	return o
}

// copyOutput returns when the container has ended and said all. A stream that
// breaks because the engine went away is taken up where it ended.
func (r *run) copyOutput(ctx context.Context, conn *connection, id string, since time.Time, stdout, stderr io.Writer) {
	for {
		options := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: true}
		if !since.IsZero() {
			options.Since = strconv.FormatInt(since.Unix(), 10) + "." + strconv.Itoa(since.Nanosecond() + 1e9)[1:]
		}
		stream, err := conn.ContainerLogs(ctx, id, options)
		if err == nil {
			if r.launch.Release.Service.Container.TTY {
				_, err = io.Copy(stdout, stream) // a terminal has one stream
			} else {
				_, err = stdcopy.StdCopy(stdout, stderr, stream)
			}
			stream.Close()
			since = time.Now()
		}
		if err == nil || !isAway(err) && !isBroken(err) {
			return // the end of the container, or a log driver that cannot be read
		}
		select {
		case <-r.ctx.Done():
			return
		case <-ctx.Done():
			return
		case <-time.After(retryEvery):
		}
	}
}

// isBroken tells a stream that was cut off.
func isBroken(err error) bool {
	return err == io.ErrUnexpectedEOF
}

// drain waits until all output has been read, for some time at most.
func (o *output) drain(patience time.Duration) {
	if o == nil {
		return
	}
	select {
	case <-o.done:
	case <-time.After(patience):
		o.cancel()
		<-o.done
	}
}
