package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// inFront runs bulsa in front of one server that the test runs, with more under
// x-bulsa, and returns its public address.
func inFront(t *testing.T, more string, serve http.HandlerFunc) (*world, *server, string) {
	t.Helper()
	backend := httptest.NewServer(serve)
	t.Cleanup(backend.Close)
	w, port := newWorld(t), freePort(t)
	w.write("compose.yaml", fmt.Sprintf("name: app\nservices:\n  app:\n    ports: [\"127.0.0.1:%s:80\"]\n    x-bulsa:\n      servers: [{address: %q}]\n      %s\n",
		port, backend.Listener.Addr(), more))
	return w, w.ready("up", "--admin", "off"), "127.0.0.1:" + port
}

func saysHello(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }

// TestTheAccessLogIsWrittenAndFollowsRotation by renaming, as logrotate does.
func TestTheAccessLogIsWrittenAndFollowsRotation(t *testing.T) {
	t.Parallel()
	w, _, address := inFront(t, "access_log: {format: combined, file: access.log}", saysHello)
	path := filepath.Join(w.dir, "access.log")
	has := func(path, text string) func() bool {
		return func() bool { b, _ := os.ReadFile(path); return strings.Contains(string(b), text) }
	}
	get(t, "http://"+address+"/first?x=%22")
	eventually(t, "the line is there", has(path, `"GET /first?x=%22 HTTP/1.1" 200 5 "-" "Go-http-client/1.1"`))
	c := dial(t, address)
	c.say("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	eventually(t, "a refused request is there", has(path, `"-" 400 0 "-" "-"`))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "later lines are in the new file", func() bool { get(t, "http://"+address+"/later"); return has(path, "/later")() })
}

func TestTheAccessLogOnStandardOutputIsJSON(t *testing.T) {
	t.Parallel()
	_, s, address := inFront(t, "access_log: {}", saysHello)
	get(t, "http://"+address+"/found")
	s.prints(`"client":"127.0.0.1","method":"GET","target":"/found","protocol":"HTTP/1.1","host":"` + address + `","status":200,"bytes":5,`)
}

func TestAnAccessLogThatCannotBeOpenedIsAnErrorWithItsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("compose.yaml", "services:\n  app:\n    ports: [\"80\"]\n    x-bulsa:\n      servers: [127.0.0.1:1]\n      access_log: {file: missing/access.log}\n")
	failsWith(t, w.do("up", "--admin", "off"), 2, "compose.yaml:", "cannot open the access log")
}

func TestTheAddressBehindAProxyIsTheClients(t *testing.T) {
	t.Parallel()
	_, s, address := inFront(t, "proxy_protocol: true\n      trusted_proxies: [127.0.0.1]", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	})
	for _, header := range []string{
		"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\xdc\x04\x01\xbb",
	} {
		c := dial(t, address)
		c.say(header)
		if status, got := c.answers("/", "localhost"); status != 200 || got != "192.0.2.7" {
			t.Errorf("%q: %d %q", header, status, got)
		}
	}
	c := dial(t, address)
	c.ask("GET", "/")
	c.ended()
	s.says("does not begin with a PROXY header")
}

func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	_, _, address := inFront(t, "limits: {connections_per_address: 2}", saysHello)
	a, b := dial(t, address), dial(t, address)
	a.ask("GET", "/")
	a.answer("GET")
	b.ask("GET", "/")
	b.answer("GET")
	c := dial(t, address)
	res, body := c.answer("GET")
	if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "2 connections of 127.0.0.1 are open, and no more may be") {
		t.Errorf("%s %q", res.Status, body)
	}
	other := dialFrom(t, "127.0.0.2", address)
	other.ask("GET", "/")
	other.answer("GET")
}

// One request is with the worker, one waits, and one is one too many.
func TestRequestsQueueWhileEveryWorkerIsFull(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan string, 3), make(chan struct{})
	_, _, address := inFront(t, "max_conns: 1\n      limits: {queue: 1, queue_timeout: 1m}", func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-answer
		io.WriteString(w, r.URL.Path)
	})
	first := dial(t, address)
	first.ask("GET", "/first")
	<-arrived
	got := make(chan string)
	for range 2 {
		go func() {
			res, err := http.Get("http://" + address + "/more")
			if err != nil {
				got <- err.Error()
				return
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			got <- fmt.Sprint(res.StatusCode, " ", res.Header.Get("Retry-After"), " ", string(b))
		}()
	}
	if refused := <-got; !strings.HasPrefix(refused, "503 1 ") || !strings.Contains(refused, "and 1 wait already") {
		t.Errorf("one too many got %q", refused)
	}
	close(answer)
	if _, body := first.answer("GET"); body != "/first" {
		t.Errorf("the first got %q", body)
	}
	if waited := <-got; waited != "200  /more" {
		t.Errorf("the one that waited got %q", waited)
	}
}

// TestAWebSocketWhoseWorkerDiesIsToldToComeAgain with 1012, service restart.
func TestAWebSocketWhoseWorkerDiesIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	needsPackages(t, app(t, "."))
	w, port := newWorld(t), freePort(t)
	w.ready("run", "--name", "app", "--admin", "off", "-e", "LISTEN=3000", "-w", "1", "-p", "127.0.0.1:"+port+":3000", app(t, "websocket.js"))
	conn, _, err := websocket.DefaultDialer.Dial("ws://127.0.0.1:"+port+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	w.kill("1")
	_, _, err = conn.ReadMessage()
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != websocket.CloseServiceRestart {
		t.Errorf("got %v, want 1012", err)
	}
}
