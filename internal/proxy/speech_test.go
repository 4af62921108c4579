package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"bulsa/internal/balance"
)

func TestTheFirstBytesTellTheProtocol(t *testing.T) {
	const unknown = Auto
	hello := "\x16\x03\x01\x02\x00\x01"
	for first, want := range map[string]Protocol{
		"GET / HTTP/1.1\r\n": HTTP, "GET /": HTTP, "OPTIONS * ": HTTP, "PROPFIND /x": HTTP, http2Preface: HTTP,
		"\r\n\r\nGET /": HTTP, "BREW pot HTTP/1.1\r\n": HTTP, "get /x http/1.0\r\n": HTTP, "GET http://a/ HTTP/1.1\r\n": HTTP, "CONNECT a:1 HTTP/1.1": HTTP,
		"": unknown, "GE": unknown, "GET ": unknown, "EHLO": unknown, "\r\n": unknown, "BREW pot ": unknown,
		"EHLO x\r\n": TCP, "*1\r\n$4\r\nPING\r\n": TCP, "SSH-2.0-x\r\n": TCP, "set key 0 0 1\r\n": TCP, "GET key\r\n": TCP, "NICK x\n": TCP,
		"AMQP\x00\x00\x09\x01": TCP, "\x10\x0c\x00\x04MQTT": TCP, "\x00\x00\x00\x08\x04\xd2\x16\x2f": TCP, "\x3a\x00\x00\x00": TCP, "\xff\xfd": TCP,
		hello: TCP, hello[:5]: unknown, hello[:1]: unknown, "\x16GET /": TCP,
	} {
		p, known := opening([]byte(first))
		if !known {
			p = unknown
		}
		if p != want {
			t.Errorf("%q: %d, want %d", first, p, want)
		}
	}
}

func TestOnlyAWholeRecordHeaderIsTLS(t *testing.T) {
	for first, want := range map[string]string{
		"\x16\x03\x01\x02\x00\x01": "true true", "\x16\x03\x00\x00\x04\x01": "true true", "\x16\x03\x03\x41\x00\x01": "true true",
		"\x16": "false false", "\x16\x03\x01\x02\x00": "false false", "": "false false",
		"\x16GET / ": "false true", "\x16\x03\x05": "false true", "\x16\x03\x01\x42": "false true", "\x16\x03\x01\x02\x00\x02": "false true", "GET": "false true",
	} {
		hello, known := helloTLS([]byte(first))
		if got := fmt.Sprint(hello, known); got != want {
			t.Errorf("%q: %s, want %s", first, got, want)
		}
	}
}

// What a worker is told can be read by what reads such headers here.
func TestAProxyHeaderSaysWhoItIs(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:56324"), netip.MustParseAddrPort("192.0.2.2:443")
	c, d := netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[2001:db8::2]:65535")
	for _, h := range []proxyHeader{{a, b}, {c, d}} {
		for _, version := range []int{1, 2} {
			bytes := appendProxyHeader(nil, version, h)
			if read, n, err := parseProxyHeader(append(bytes, "more"...)); err != nil || n != len(bytes) || read != h {
				t.Errorf("version %d of %v was read as %v, %d of %d bytes, %v", version, h, read, n, len(bytes), err)
			}
		}
	}
	for _, h := range []proxyHeader{{}, {source: a}, {a, d}} {
		for _, version := range []int{1, 2} {
			bytes := appendProxyHeader(nil, version, h)
			if read, n, err := parseProxyHeader(bytes); err != nil || n != len(bytes) || read != (proxyHeader{}) {
				t.Errorf("version %d of %v was read as %v, %v", version, h, read, err)
			}
		}
	}
}

// tcpSettings are those of a port that carries anything.
func tcpSettings(p Protocol) Settings {
	s := settings()
	s.Protocol = p
	return s
}

// greeting is a worker that speaks first, and then says what it hears.
func greeting(t *testing.T, name string) *balance.Endpoint {
	return wire(t, name, func(_ int, c net.Conn, br *bufio.Reader) {
		_, _ = io.WriteString(c, "220 "+name+"\r\n")
		_, _ = io.Copy(c, br)
	})
}

// A worker that resets a connection has seen nothing of it for certain only while its
// client has said nothing.
func TestAConnectionThatNoWorkerHasSeenGoesToAnother(t *testing.T) {
	for said, served := range map[string]bool{"": true, "hello\n": false} {
		t.Run(fmt.Sprintf("said %q", said), func(t *testing.T) {
			heard := make(chan struct{})
			dying := wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
				if said != "" {
					_, _ = br.Peek(1)
				}
				close(heard)
				_ = c.(*net.TCPConn).SetLinger(0)
			})
			h := open(t, tcpSettings(TCP), dying, greeting(t, "app.2"))
			c := h.dial()
			if _, err := io.WriteString(c, said); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(c).ReadString('\n')
			<-heard
			if got := err == nil && line == "220 app.2\r\n"; got != served {
				t.Errorf("heard %q, %v", line, err)
			}
		})
	}
}

func TestAServerThatSpeaksFirstIsLearned(t *testing.T) {
	h := open(t, tcpSettings(Auto), greeting(t, "app.1"))
	for range 2 {
		c := h.dial()
		br := bufio.NewReader(c)
		if line, err := br.ReadString('\n'); err != nil || line != "220 app.1\r\n" {
			t.Fatalf("heard %q, %v", line, err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); err != nil { // too late to be HTTP
			t.Fatal(err)
		}
		if line, err := br.ReadString('\n'); err != nil || line != "GET / HTTP/1.1\r\n" {
			t.Fatalf("heard %q, %v", line, err)
		}
		if h.server.Speaks("app:80") != TCP {
			t.Error("nobody knows that it is no HTTP")
		}
	}
	if s := h.stats(); s.RawPassed != 2 || s.Tunnels != 2 {
		t.Errorf("counted %d connections, %d of them open", s.RawPassed, s.Tunnels)
	}
}

// On a port of which nothing is known HTTP is HTTP, also of a client that is silent at first.
func TestHTTPIsFoundOut(t *testing.T) {
	h := open(t, tcpSettings(Auto), app(t, "app.1", hello("app.1")))
	c := h.dial()
	eventually(t, "the worker is asked whether it speaks first", func() bool { return h.pool.Endpoints()[0].InFlight() == 1 })
	if resp := h.ask(c, "GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	eventually(t, "the answer has told what it speaks", func() bool { return h.server.Speaks("app:80") == HTTP })
	if answer, _ := h.say("EHLO x\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
		t.Errorf("a port of HTTP takes %q", answer)
	}
}

// Nothing that a server of HTTP answers gets to it around the proxy.
func TestAServerOfHTTPIsNotReachedAroundTheProxy(t *testing.T) {
	h := open(t, tcpSettings(Auto), app(t, "app.1", hello("app.1")))
	answer, _ := h.say("EHLO x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 400 ") || strings.Contains(answer, "hello from") || !strings.Contains(answer, "Server: bulsa") {
		t.Errorf("the client got %q", answer)
	}
	eventually(t, "the answer has told what it speaks", func() bool { return h.server.Speaks("app:80") == HTTP })
}

func TestADirectionOfATCPConnectionMayEndFirst(t *testing.T) {
	h := open(t, tcpSettings(TCP), wire(t, "app.1", func(_ int, c net.Conn, br *bufio.Reader) {
		all, _ := io.ReadAll(br)
		fmt.Fprintf(c, "%d bytes", len(all))
	}))
	c := h.dial()
	if _, err := io.WriteString(c, strings.Repeat("x", 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := closeWrite(c); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || string(answer) != "1048576 bytes" {
		t.Errorf("heard %q, %v", answer, err)
	}
	eventually(t, "nothing is left", func() bool { s := h.stats(); return s.Tunnels == 0 && s.OpenClients == 0 })
}
