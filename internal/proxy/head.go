package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
)

const (
	defaultMaxHeader = 16 << 10
	maxFields        = 100
)

var errHeadTooLarge = errors.New("the head is too large")

// peekHead returns the bytes of the next head, its empty line included, without
// taking them from r, whose buffer is the limit. It can be called again after a
// read deadline.
func peekHead(r *bufio.Reader) ([]byte, error) {
	if _, err := r.Peek(max(1, r.Buffered())); err != nil {
		return nil, err
	}
	for {
		seen, _ := r.Peek(r.Buffered())
		if end := headEnd(seen); end > 0 {
			return seen[:end], nil
		}
		if len(seen) == r.Size() {
			return nil, errHeadTooLarge
		}
		if _, err := r.Peek(len(seen) + 1); err != nil {
			return nil, err
		}
	}
}

// headEnd is the length of a head with its empty line, or 0. It knows bare line
// feeds, so that they are refused instead of waited for.
func headEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		switch {
		case at < len(b) && b[at] == '\n':
			return at + 1
		case at+1 < len(b) && b[at] == '\r' && b[at+1] == '\n':
			return at + 2
		}
	}
}

// skipEmptyLines drops empty lines before a request line, as RFC 9112, section
// 2.2 asks.
func skipEmptyLines(r *bufio.Reader) {
	for {
		seen, _ := r.Peek(min(2, r.Buffered()))
		if string(seen) != "\r\n" {
			return
		}
		_, _ = r.Discard(2)
	}
}

// checkRequest refuses what two parsers could read in two ways (RFC 9112,
// sections 2.2, 3.2, 5.1, 6.1 and 6.3). net/http alone lets some of it pass: it
// silently drops a Content-Length beside a Transfer-Encoding.
func checkRequest(head []byte) *refusal {
	line, rest, ok := cutLine(head)
	if !ok {
		return badRequest("a line that does not end in CR LF")
	}
	minor, bad := checkRequestLine(line)
	if bad != nil {
		return bad
	}
	var f framing
	for fields := 0; ; fields++ {
		line, rest, ok = cutLine(rest)
		if !ok {
			return badRequest("a line that does not end in CR LF")
		}
		if len(line) == 0 {
			return f.check(minor)
		}
		if fields == maxFields {
			return &refusal{status: http.StatusRequestHeaderFieldsTooLarge, reason: "more than 100 header fields"}
		}
		if bad := f.field(line); bad != nil {
			return bad
		}
	}
}

func cutLine(b []byte) (line, rest []byte, ok bool) {
	line, rest, ok = bytes.Cut(b, []byte("\r\n"))
	return line, rest, ok && bytes.IndexByte(line, '\n') < 0 && bytes.IndexByte(line, '\r') < 0
}

func checkRequestLine(line []byte) (minor byte, bad *refusal) {
	method, rest, ok1 := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || !isToken(method) || len(target) == 0 {
		return 0, badRequest("a malformed request line")
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f || c == '#' {
			return 0, badRequest("a malformed request target")
		}
	}
	if string(method) == http.MethodConnect {
		return 0, &refusal{status: http.StatusNotImplemented, reason: "CONNECT is not supported"}
	}
	switch string(version) {
	case "HTTP/1.1":
		return 1, nil
	case "HTTP/1.0":
		return 0, nil
	}
	if bytes.HasPrefix(version, []byte("HTTP/")) && len(version) == len("HTTP/1.1") {
		return 0, &refusal{status: http.StatusHTTPVersionNotSupported, reason: "only HTTP/1.1 and HTTP/1.0"}
	}
	return 0, badRequest("a malformed request line")
}

// framing collects the fields that decide where a message ends and whom it is for.
type framing struct {
	hosts, lengths, codings int
	chunked, upgrade        bool
	length                  []byte
}

func (f *framing) field(line []byte) *refusal {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(name) {
		return badRequest("a malformed header field name")
	}
	value = bytes.Trim(value, " \t")
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return badRequest("a control character in a header field")
		}
	}
	switch {
	case bytes.EqualFold(name, []byte("Host")):
		f.hosts++
		if bytes.ContainsAny(value, " \t,/@?#\\") {
			return badRequest("a malformed Host")
		}
	case bytes.EqualFold(name, []byte("Content-Length")):
		f.lengths++
		f.length = value
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		f.codings++
		f.chunked = bytes.EqualFold(value, []byte("chunked"))
	case bytes.EqualFold(name, []byte("Upgrade")):
		f.upgrade = f.upgrade || !bytes.EqualFold(value, []byte("h2c"))
	}
	return nil
}

func (f *framing) check(minor byte) *refusal {
	switch {
	case minor == 1 && f.hosts != 1, f.hosts > 1:
		return badRequest("not exactly one Host")
	case f.lengths > 1 || f.lengths == 1 && !isLength(f.length):
		return badRequest("a malformed Content-Length")
	case f.lengths > 0 && f.codings > 0:
		return badRequest("Content-Length together with Transfer-Encoding")
	case f.codings > 1 || f.codings == 1 && minor == 0:
		return badRequest("a Transfer-Encoding that is not allowed here")
	case f.codings == 1 && !f.chunked:
		return &refusal{status: http.StatusNotImplemented, reason: "only the transfer coding chunked is known"}
	case f.upgrade && (f.codings > 0 || f.lengths > 0 && len(bytes.Trim(f.length, "0")) > 0):
		return badRequest("Upgrade together with a body")
	}
	return nil
}

// ambiguousAnswer finds a worker's answer that two parsers could end in two places.
func ambiguousAnswer(head []byte) bool {
	var f framing
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			f.lengths++
			if f.lengths > 1 || !isLength(bytes.TrimSpace(value)) {
				return true
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			f.codings++
		}
	}
	return f.lengths > 0 && f.codings > 0
}

func isLength(b []byte) bool {
	const digitsOfInt63 = 18
	if len(b) == 0 || len(b) > digitsOfInt63 {
		return false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isToken is RFC 9110, section 5.6.2.
func isToken(b []byte) bool {
	for _, c := range b {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
			return false
		}
	}
	return len(b) > 0
}
