package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// endless serves an endless stream of events.
const endless = `require('http').createServer((q, r) => {
  r.writeHead(200, {'content-type': 'text/event-stream'});
  r.write('data: first\n\n');
}).listen(3000);`

// The end of the project closes WebSockets as a worker's drain does, not at its deadline.
func TestWebSocketsAreToldOfTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.write("compose.yaml", fmt.Sprintf(`name: shop
services:
  app:
    command: node %s
    environment: {LISTEN: "3000"}
    ports: ["%s:3000"]
    x-bulsa: {timeouts: {websockets: 200ms}}
`, app(t, "websocket.js"), address))
	server := w.ready("up", "--admin", "off")
	c, _, err := websocket.DefaultDialer.Dial("ws://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	w.must("down", "-p", "shop")
	if took := time.Since(began); took > 20*time.Second { // the drain's deadline is 30 s
		t.Errorf("down took %v", took)
	}
	for err == nil { // what the application has said before
		_, _, err = c.ReadMessage()
	}
	if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("the client heard %v", err)
	}
	<-server.exited
	if said := server.stderr.String(); strings.Contains(said, "cut off") {
		t.Error(said)
	}
}

// down -t bounds the drain of what never ends by itself, too.
func TestDownEndsWithinItsTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	server := w.ready("run", "--name", "shop", "--admin", "off", "-p", address+":3000", w.write("streams.js", endless))
	res, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || line != "data: first\n" {
		t.Fatal(line, err)
	}
	began := time.Now()
	w.must("down", "-p", "shop", "-t", "1")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("down -t 1 took %v", took)
	}
	<-server.exited
	if said := server.stderr.String(); !strings.Contains(said, "cut off before their end: requests: 1, WebSockets and other upgraded connections: 0") {
		t.Error(said)
	}
}

// A request waits for no worker where a person wants none, also one that waits already.
func TestAStoppedServiceAnswersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	w.write("app.js", "require('http').createServer((q, r) => r.end('ok')).listen(3000)")
	w.write("compose.yaml", fmt.Sprintf("name: shop\nservices:\n  app:\n    command: node app.js\n    ports: [\"%s:3000\"]\n    x-bulsa: {hold: 10m}\n", address))
	server := w.ready("up", "--admin", "off")
	for _, c := range []struct{ args, says string }{
		{"stop", "app is stopped (GET /)"},
		{"scale", "app is scaled to 0 (GET /)"},
	} {
		if c.args == "stop" {
			w.must("stop", "-p", "shop", "app")
		} else {
			w.must("scale", "-p", "shop", "app=0")
		}
		if status, _ := get(t, "http://"+address+"/"); status != 503 {
			t.Errorf("%s: answered %d", c.args, status)
		}
		server.says(c.says)
		if c.args == "stop" {
			w.must("start", "-p", "shop", "app")
		} else {
			w.must("scale", "-p", "shop", "app=1")
		}
		if status, body := get(t, "http://"+address+"/"); status != 200 || body != "ok" {
			t.Errorf("after %s: %d %q", c.args, status, body)
		}
	}
}
