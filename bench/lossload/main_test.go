package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
)

// TestCountsWhatIsLost: a server that breaks the second request of each connection.
func TestCountsWhatIsLost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		for served := 0; ; served++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			http.ReadRequest(in)
			conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			http.ReadRequest(in)
			if served == 2 {
				stop()
			}
			conn.Close()
		}
	}()
	all := counter{Counts: Counts{Reasons: map[string]int{}}}
	c := client{address: l.Addr().String(), count: &all}
	c.run(ctx, 0)
	if all.Answered != 3 || all.Lost != 3 || all.Reasons["no answer"] != 3 {
		t.Errorf("%+v", all.Counts)
	}
}
