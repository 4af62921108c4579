package node

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

func TestRemoteAddressIsTheClients(t *testing.T) {
	cases := []struct{ header, want string }{
		{`Forwarded: for="192.0.2.7:4711"`, "192.0.2.7 4711 IPv4"},
		{`Forwarded: for="[2001:db8::1]:99";proto=https;host="a,for=6.6.6.6"`, "2001:db8::1 99 IPv6"},
		{`Forwarded: for="192.0.2.7:4711"`, "192.0.2.7 4711 IPv4"},
		{`Forwarded: for="evil, for="192.0.2.8:1"`, "192.0.2.8 1 IPv4"},
		{`Forwarded: for="192.0.2.9:1";host="x,for=6.6.6.6\\";proto=http`, "192.0.2.9 1 IPv4"},
		{`Forwarded: for="192.0.2.8:1";host="\",for=6.6.6.6\\\"";proto=http`, "192.0.2.8 1 IPv4"},
		{`Forwarded: for=6.6.6.6, for=192.0.2.7`, "192.0.2.7 0 IPv4"},
		{`Forwarded: for=unknown`, "  "},
		{`Forwarded: for=;;;"`, "  "},
		{`X-Forwarded-For: 6.6.6.6, 192.0.2.7`, "192.0.2.7 0 IPv4"},
		{`X-Nothing: 1`, "127.0.0.1 0 IPv4"},
	}
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, hello)})
		conn := r.connect(r.key(":3000"))
		for _, c := range cases { // one connection serves many clients
			if _, body := get(t, conn, "/", c.header); body != "hello "+c.want {
				t.Errorf("%s: %q, want %q", c.header, body, c.want)
			}
		}
	})
}

func TestUpgradeAndConnectKnowTheClient(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, `
const s = require('http').createServer((q, a) => a.end('plain'));
s.on('upgrade', (q, socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Client: ' +
  [q.socket.remoteAddress, socket.remotePort, socket.remoteFamily].join(' ') + '\r\n\r\n'));
s.listen(3000);`)})
		conn := r.connect(r.key(":3000"))
		get(t, conn, "/", `Forwarded: for="192.0.2.1:1"`)
		resp, _ := get(t, conn, "/", "Connection: Upgrade", "Upgrade: websocket", `Forwarded: for="192.0.2.7:4711"`)
		if got := resp.Header.Get("X-Client"); got != "192.0.2.7 4711 IPv4" {
			t.Errorf("client %q", got)
		}
	})
}

func TestAClientThatIsPassedCannotForgeItsAddress(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, hello)})
		key := r.key(":3000")
		client, server := tcpPair(t)
		unixClient, unixServer := unixPair(t)
		for _, c := range []struct {
			client net.Conn
			server serverConn
			want   string
		}{{client, server, fmt.Sprintf("hello 127.0.0.1 %d IPv4", client.LocalAddr().(*net.TCPAddr).Port)}, {unixClient, unixServer, "hello   "}} {
			if err := r.channel.Pass(within(t), key, descriptor(t, c.server)); err != nil {
				t.Fatal(err)
			}
			c.server.Close()
			if _, body := get(t, c.client, "/", `Forwarded: for="6.6.6.6:6"`); body != c.want {
				t.Errorf("body %q, want %q", body, c.want)
			}
		}
	})
}

type serverConn interface {
	net.Conn
	syscall.Conn
}

func unixPair(t *testing.T) (client, server *net.UnixConn) {
	t.Helper()
	client, file, err := channelPair()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	other, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	client.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { client.Close(); other.Close() })
	return client, other.(*net.UnixConn)
}
