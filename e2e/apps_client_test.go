package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// own says whether an app saw the client's own end of a connection.
func own(t *testing.T, what string, conn net.Conn, address string, port int) {
	t.Helper()
	local := conn.LocalAddr().(*net.TCPAddr)
	if address != local.IP.String() || port != local.Port {
		t.Errorf("%s: the app sees %s port %d as its client, which is %s", what, address, port, local)
	}
}

// TestTheAppSeesItsClient in req.socket, for every request of a connection and
// for every client of a worker.
func TestTheAppSeesItsClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.set("LISTEN", port)
	w.run("-w", "2", app(t, "whoami.js"))
	for range 3 {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		for i := range 4 {
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n\r\n")
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			a := decode(t, string(body))
			own(t, fmt.Sprintf("request %d of a connection", i+1), conn, a.RemoteAddress, a.RemotePort)
			if a.RemoteFamily != "IPv4" || a.Headers["x-forwarded-for"] != "127.0.0.1" || a.Headers["host"] != "x" {
				t.Errorf("family %s, headers %v", a.RemoteFamily, a.Headers)
			}
		}
		conn.Close()
	}
}

// TestExpressSeesItsClient without a word about proxies in the application.
func TestExpressSeesItsClient(t *testing.T) {
	t.Parallel()
	needsPackages(t, app(t, "."))
	w := newWorld(t)
	port := freePort(t)
	w.set("LISTEN", port)
	w.run("-w", "2", app(t, "express.js"))
	_, body := get(t, "http://127.0.0.1:"+port)
	var a struct{ IP, Protocol, Host string }
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatal(err)
	}
	if a.IP != "127.0.0.1" || a.Protocol != "http" || a.Host != "127.0.0.1:"+port {
		t.Errorf("Express sees %+v", a)
	}
}

// TestWebSocketsPassThroughTheBalancer in both directions, small and large, text
// and binary; the app sees the client behind each.
func TestWebSocketsPassThroughTheBalancer(t *testing.T) {
	t.Parallel()
	needsPackages(t, app(t, "."))
	w := newWorld(t)
	w.binary = raced
	port := freePort(t)
	w.set("LISTEN", port)
	w.run("-w", "2", app(t, "websocket.js"))
	for range 3 {
		conn, _, err := websocket.DefaultDialer.Dial("ws://127.0.0.1:"+port+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, hello, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		address, remote, _ := strings.Cut(string(hello), " ")
		number, _ := strconv.Atoi(remote)
		own(t, "upgrade", conn.NetConn(), address, number)
		large := make([]byte, 1<<20)
		rand.New(rand.NewSource(1)).Read(large)
		for _, m := range []struct {
			kind int
			data []byte
		}{{websocket.TextMessage, []byte("hello")}, {websocket.BinaryMessage, large}, {websocket.TextMessage, []byte("again")}} {
			if err := conn.WriteMessage(m.kind, m.data); err != nil {
				t.Fatal(err)
			}
			kind, data, err := conn.ReadMessage()
			if err != nil || kind != m.kind || !bytes.Equal(data, m.data) {
				t.Fatalf("%d bytes came back as %d bytes: %v", len(m.data), len(data), err)
			}
		}
	}
}

// TestEventsArriveWhenTheyAreSent: nothing on the way waits for more.
func TestEventsArriveWhenTheyAreSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.set("LISTEN", port)
	w.run("-w", "1", app(t, "whoami.js"))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	event := func(want string) {
		line, err := in.ReadString('\n')
		if err != nil || line != "data: "+want+"\n" {
			t.Fatalf("event %q, %v, want %s", line, err, want)
		}
		in.ReadString('\n')
	}
	event("first") // and only then is the second one sent
	if res, err := http.Post("http://127.0.0.1:"+port+"/events", "text/plain", nil); err != nil {
		t.Fatal(err)
	} else {
		res.Body.Close()
	}
	event("second")
}
