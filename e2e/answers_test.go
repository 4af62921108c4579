package e2e

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
	"syscall"
	"testing"
	"time"
)

// answerTimes asks for the workers over the control socket again and again, and
// returns the slowest answer: what `bulsa ps` takes without its start-up.
func (w *world) answerTimes(project string, n int) time.Duration {
	w.t.Helper()
	socket, err := filepath.Glob(filepath.Join(w.runtime(), project, "*.sock"))
	if err != nil || len(socket) != 1 {
		w.t.Fatalf("the control socket of %s: %q, %v", project, socket, err)
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket[0])
		},
	}}
	slowest := time.Duration(0)
	for range n {
		asked := time.Now()
		res, err := client.Get("http://localhost/api/v1/workers?all=true")
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			w.t.Fatalf("%s, %v", res.Status, err)
		}
		res.Body.Close()
		slowest = max(slowest, time.Since(asked))
	}
	return slowest
}

// TestPsAnswersWhateverStandsStill: a worker that was stopped, clients that do
// not read, readers of logs and events that do not read, bulsa's own terminal.
func TestPsAnswersWhateverStandsStill(t *testing.T) {
	w := newWorld(t)
	port := freePort(t)
	w.write("app.js", `
const http = require('http')
setInterval(() => console.log('x'.repeat(900)), 1)
http.createServer((q, s) => { s.end(Buffer.alloc(q.url === '/big' ? 32 << 20 : 2)) }).listen(3000)
`)
	bulsa := exec.Command(raced, "run", "--name", "app", "-w", "3", "-p", "127.0.0.1:"+port, "--admin", "off",
		"--health-http", "/", "--health-interval", "50ms", "--health-timeout", "100ms", "--health-retries", "1000", "app.js")
	bulsa.Dir, bulsa.Env = w.dir, w.env
	// Its terminal takes nothing: pipes that nobody reads.
	unread := make([]*os.File, 0, 2)
	for _, to := range []*io.Writer{&bulsa.Stdout, &bulsa.Stderr} {
		r, to2, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		*to, unread = to2, append(unread, to2)
	}
	if err := bulsa.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range unread {
		f.Close()
	}
	ended := make(chan error, 1)
	go func() { ended <- bulsa.Wait() }()
	defer func() {
		bulsa.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("bulsa does not end while its terminal stands still")
			bulsa.Process.Kill()
		}
	}()
	w.there()
	w.becomes("app.1", "ready")
	t.Logf("at rest: the slowest answer took %s", w.answerTimes("app", 20))

	w.becomes("app.2", "ready")
	w.becomes("app.3", "ready")
	stopped := w.worker("app.1").PID
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(stopped, syscall.SIGCONT)
	for i := range 8 {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /big HTTP/1.1\r\nHost: x\r\nX-N: "+strconv.Itoa(i)+"\r\n\r\n") // and reads nothing of it
	}
	for _, command := range []string{"logs", "events"} {
		reader := exec.Command(plain, command, "-f")
		reader.Dir, reader.Env = w.dir, w.env
		out, err := reader.StdoutPipe() // not read
		if err != nil {
			t.Fatal(err)
		}
		if err := reader.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		reader.Process.Signal(syscall.SIGSTOP)
		defer func() {
			reader.Process.Kill()
			reader.Wait()
		}()
	}
	slowest := time.Duration(0)
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		slowest = max(slowest, w.answerTimes("app", 5))
	}
	t.Logf("while much stands still: the slowest answer took %s", slowest)
	if slowest > time.Second {
		t.Errorf("an answer took %s", slowest)
	}
	asked := time.Now()
	w.must("ps")
	if took := time.Since(asked); took > 2*time.Second {
		t.Errorf("bulsa ps took %s", took)
	}
}
