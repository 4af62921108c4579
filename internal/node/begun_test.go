package node

import (
	"io"
	"testing"
)

// What a worker says of a server when it begins to listen holds for its connections.
func TestAWorkerSaysWhichServersTellWhatTheyBegin(t *testing.T) {
	eachNode(t, func(t *testing.T, binary string) {
		r := start(t, setup{binary: binary, dir: app(t, `
require('http').createServer((q, a) => a.end()).listen(3000);
require('net').createServer((s) => s.end('plain')).listen(3001);
require('http2').createServer((q, a) => a.end()).listen(3002);`)})
		for port, want := range map[string]bool{":3000": true, ":3001": false, ":3002": false} {
			conn := r.connect(r.key(port)).(*upstream)
			if conn.WillTell() != want {
				t.Errorf("%s: said %t", port, !want)
			}
			if port == ":3002" {
				continue // it says nothing before it is asked
			}
			if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAtLeast(conn, make([]byte, 5), 5); err != nil || conn.Tells() != want {
				t.Errorf("%s: tells: %t, %v", port, conn.Tells(), err)
			}
		}
	})
}
