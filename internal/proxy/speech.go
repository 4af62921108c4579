package proxy

import (
	"bytes"
	"slices"
	"sync/atomic"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/accesslog"
	contract "bulsa/internal/upstream"
)

// Protocol is what the clients of a listener speak.
type Protocol uint8

const (
	HTTP Protocol = iota
	Auto          // found out, connection by connection
	TCP           // connections are given to workers, whatever they carry
)

// speech is what has been learned of a port whose Settings.Protocol is Auto.
type speech struct {
	http   atomic.Bool // a worker has answered a request
	greets atomic.Bool // a worker has spoken before its client
	tcp    atomic.Bool // a connection was given to a worker as it was
}

// speaks is what a new client of the target speaks, before it has said anything.
func (t *target) speaks() Protocol {
	if t.Settings.Protocol != Auto {
		return t.Settings.Protocol
	}
	switch said := whatTheySpeak(t.Pool.Endpoints()); {
	case said == "tcp":
		return TCP
	case said == "http", t.line.speech.http.Load():
		return HTTP
	case t.line.speech.greets.Load():
		return TCP
	}
	return Auto
}

// whatTheySpeak is what the workers say, if one of them has said that it speaks no
// HTTP, or all of them that they do.
func whatTheySpeak(endpoints []*balance.Endpoint) string {
	http := 0
	for _, ep := range endpoints {
		s, ok := ep.Config().Connector.(contract.Speaker)
		if !ok {
			continue
		}
		switch s.Speaks() {
		case "tcp":
			return "tcp"
		case "http":
			http++
		}
	}
	if http > 0 && http == len(endpoints) {
		return "http"
	}
	return ""
}

// learn takes note of an answer.
func (t *target) learn(a *accesslog.Account) {
	const clientLeft = 499
	if t.Settings.Protocol == Auto && a.Worker != "" && a.Status < clientLeft && !t.line.speech.http.Load() {
		t.line.speech.http.Store(true)
	}
}

// Speaks is what the clients of a listener speak, as far as it is known.
func (s *Server) Speaks(id string) Protocol {
	e := s.entrance(id)
	if e == nil || !e.plain() {
		return HTTP
	}
	p := e.owner.speaks()
	if p == Auto && e.owner.line.speech.tcp.Load() {
		return TCP
	}
	return p
}

// mostOpening is how much of what a client says first is looked at.
const mostOpening = 4 << 10

// opening is what the first bytes of a connection mean; known is false while more
// of them could tell. All that any server may take for a request of HTTP is HTTP, so
// that none gets past what the proxy sees to: only a first line without "HTTP/", or
// with octets that text has not, is of another protocol.
func opening(b []byte) (p Protocol, known bool) {
	if len(b) > 0 && b[0] == tlsHandshake {
		_, known := helloTLS(b)
		return TCP, known
	}
	text := bytes.TrimLeft(b, "\r\n") // RFC 9112, section 2.2
	if startsWithMethod(text) {
		return HTTP, true
	}
	line, _, whole := bytes.Cut(text, []byte("\n"))
	switch {
	case len(b) >= mostOpening:
		return HTTP, true // and refused
	case bytes.Contains(bytes.ToUpper(line), []byte("HTTP/")):
		return HTTP, true
	case whole, bytes.ContainsFunc(line, isControl), len(line) > 0 && line[0] >= 0x80:
		return TCP, true
	}
	return TCP, false
}

func isControl(r rune) bool { return r < ' ' && r != '\t' && r != '\r' || r == 0x7f }

// methods are those of RFC 9110, section 9, RFC 5789 and RFC 4918.
const methods = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK PRI"

// startsWithMethod: a method, and a target that is a path or an asterisk.
func startsWithMethod(b []byte) bool {
	method, target, spaced := bytes.Cut(b, []byte(" "))
	return spaced && len(target) > 0 && (target[0] == '/' || target[0] == '*') && isMethod(method)
}

func isMethod(b []byte) bool {
	return slices.ContainsFunc(bytes.Fields([]byte(methods)), func(m []byte) bool { return bytes.Equal(m, b) })
}

// mayBecomeMethod: b is the beginning of a method, or of one and its target.
func mayBecomeMethod(b []byte) bool {
	word, _, _ := bytes.Cut(bytes.TrimLeft(b, "\r\n"), []byte(" "))
	return slices.ContainsFunc(bytes.Fields([]byte(methods)), func(m []byte) bool { return bytes.HasPrefix(m, word) })
}

// helloTLS says whether b begins with a record that carries a ClientHello (RFC 8446,
// sections 4 and 5.1), of any version since SSL 3; known is false while it may.
func helloTLS(b []byte) (hello, known bool) {
	const major, clientHello, longest = 3, 1, 1<<14 + 256
	is := []func(byte) bool{
		func(c byte) bool { return c == tlsHandshake },
		func(c byte) bool { return c == major },
		func(c byte) bool { return c <= 4 },
		func(c byte) bool { return int(c)<<8 <= longest },
		func(c byte) bool { return b[3] != 0 || c >= 4 },
		func(c byte) bool { return c == clientHello },
	}
	for i, ok := range is {
		if i == len(b) {
			return false, false
		}
		if !ok(b[i]) {
			return false, true
		}
	}
	return true, true
}
