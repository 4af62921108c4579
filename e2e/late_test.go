package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// At a restart WebSockets are closed with 1012 soon after the drain begins, and the
// application ends by itself: nobody waits for the drain's deadline or the grace's.
func TestWebSocketsAreToldOfARestart(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	script := w.write("echo.js", `const http = require('http'), crypto = require('crypto');
const server = http.createServer((q, r) => r.end('hello'));
server.on('upgrade', (q, s) => {
  const accept = crypto.createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  s.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + accept + '\r\n\r\n');
  s.on('error', () => {});
  s.on('end', () => s.end());
  s.on('data', () => {});
});
server.listen(3000);`)
	w.write("compose.yaml", fmt.Sprintf(`services:
  app:
    command: node %s
    ports: ["%s:3000"]
    deploy: {replicas: 2}
    x-bulsa: {timeouts: {websockets: 200ms, drain: 10m}}
    stop_grace_period: 10m
`, script, address))
	w.ready("up", "--admin", "off")
	var clients []*websocket.Conn
	for range 8 {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	restarted := make(chan string, 1)
	go func() { restarted <- w.do("restart", "app").stderr }()
	for _, c := range clients {
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
			t.Errorf("the client heard %v", err)
		}
	}
	if text := <-restarted; strings.Contains(text, "error") {
		t.Error(text)
	}
}

// As large as Node takes: 16 KiB in all, for one field as well, and more where Node is told so.
func TestHeadsAreAsLargeAsNodeTakesThem(t *testing.T) {
	w := newWorld(t)
	address := "127.0.0.1:" + freePort(t)
	script := w.write("length.js", `require('http').createServer((q, r) => r.end('' + (q.headers['x-long'] || '').length)).listen(3000)`)
	w.ready("run", "--name", "app", "-w", "1", "-p", address, "--admin", "off", "--", "node", "--max-http-header-size=65536", script)
	ask := func(length int) (int, string) {
		req, err := http.NewRequest("GET", "http://"+address+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("x", length))
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var text string
		_, _ = fmt.Fscan(res.Body, &text)
		return res.StatusCode, text
	}
	for _, length := range []int{15 << 10, 60 << 10} {
		if status, text := ask(length); status != 200 || text != fmt.Sprint(length) {
			t.Errorf("a field of %d bytes: %d, %q", length, status, text)
		}
	}
	if status, _ := ask(70 << 10); status != 431 {
		t.Errorf("a field of 70 KiB: %d", status)
	}
}
