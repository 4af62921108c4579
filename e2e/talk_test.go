package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// talk is a client that sees what is on the wire: it adds nothing, follows
// nothing and tries nothing again.
type talk struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, address string) *talk {
	t.Helper()
	return dialFrom(t, "", address)
}

// dialFrom is a client with a certain address of its own ("": any).
func dialFrom(t *testing.T, source, address string) *talk {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	conn, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &talk{t, conn, bufio.NewReader(conn)}
}

// say sends text as it stands.
func (c *talk) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// ask sends a request without a body; fields are whole lines.
func (c *talk) ask(method, target string, fields ...string) {
	c.t.Helper()
	c.say(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: shop.example\r\n%s\r\n", method, target, strings.Join(append(fields, ""), "\r\n")))
}

// head reads the head of an answer, interim ones included.
func (c *talk) head(method string) *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return res
}

// answer reads a whole answer.
func (c *talk) answer(method string) (*http.Response, string) {
	c.t.Helper()
	res := c.head(method)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("%s, then: %v", res.Status, err)
	}
	return res, string(body)
}

// refused reads an answer that bulsa gives itself, and checks that it says which
// service it is about and why.
func (c *talk) refused(status int, why string) {
	c.t.Helper()
	res, body := c.answer("GET")
	if res.StatusCode != status || !strings.HasPrefix(body, fmt.Sprintf("%d app: ", status)) || !strings.Contains(body, why) {
		c.t.Errorf("answer %s %q; want %d, the service's name and %q", res.Status, body, status, why)
	}
}

// ended waits for the end of the connection.
func (c *talk) ended() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || isTimeout(err) {
		c.t.Errorf("the connection goes on: %q, %v", rest, err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}
