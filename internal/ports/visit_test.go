package ports

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"bulsa/internal/engine"
	"bulsa/internal/spec"
)

// checker answers the connections of one worker's own command by itself.
type checker struct {
	service string
}

func (c *checker) Visit(service string, p engine.Port, conn net.Conn) bool {
	if service != c.service || p != engine.Main {
		return false
	}
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return false
	}
	fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nme")
	conn.Close()
	return true
}

func TestACommandOfAWorkerReachesItsWorkerWhileItRuns(t *testing.T) {
	b := newBook(t, spec.Port{Host: "127.0.0.1"})
	p := b.project
	p.Services = []spec.Service{answering(t, "web", spec.Port{Host: "127.0.0.1"})}
	b.apply(p)
	ask := func(want string) {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + b.List("web")[0])
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); string(body) != want {
			t.Errorf("answer %q, want %q", body, want)
		}
	}
	ask("web /")
	stranger := b.Expect(&checker{service: "other"})
	ask("web /")
	end := b.Expect(&checker{service: "web"})
	ask("me")
	stranger()
	ask("me")
	end()
	ask("web /")
}
