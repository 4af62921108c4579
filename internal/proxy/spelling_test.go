package proxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

// Programs that know no case of names live behind upgrades as well.
func TestAnUpgradeKeepsTheSpellingOfFields(t *testing.T) {
	asked := make(chan string, 1)
	h := open(t, settings(), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		var head strings.Builder
		for line := ""; line != "\r\n"; head.WriteString(line) {
			line, _ = br.ReadString('\n')
		}
		asked <- head.String()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nX-MyCase: y\r\nX-Plain: z\r\n\r\n")
	}))
	answer, _ := h.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nX-MyCase: b\r\nlower: c\r\nlOwEr: d\r\nX-Plain: e\r\n\r\n")
	for where, want := range map[string][]string{
		<-asked: {"Sec-WebSocket-Key: a\r\n", "X-MyCase: b\r\n", "lower: c\r\n", "lower: d\r\n", "X-Plain: e\r\n"},
		answer:  {"Sec-WebSocket-Accept: x\r\n", "X-MyCase: y\r\n", "X-Plain: z\r\n"},
	} {
		for _, field := range want {
			if !strings.Contains(where, "\r\n"+field) {
				t.Errorf("%q is missing in\n%s", field, where)
			}
		}
	}
}
