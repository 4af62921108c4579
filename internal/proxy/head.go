package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"bulsa/internal/proxy/h1"
	"bulsa/internal/proxy/reply"
)

const defaultMaxHeader = h1.DefaultHead

// readHead returns the bytes of the next head, its empty line included, without
// taking them from r, whose buffer is the limit. parse is Parse of h1. It can be
// called again after a read deadline.
func readHead(r *bufio.Reader, parse func(b []byte, limit int) (int, h1.Fault)) ([]byte, error) {
	if _, err := r.Peek(max(1, r.Buffered())); err != nil {
		return nil, err
	}
	for parsed := 0; ; {
		seen, _ := r.Peek(r.Buffered())
		if parsed == 0 || len(seen) == r.Size() || bytes.IndexByte(seen[parsed:], '\n') >= 0 {
			n, fault := parse(seen, r.Size())
			if fault != h1.OK {
				return nil, fault
			}
			if n > 0 {
				return seen[:n], nil
			}
		}
		parsed = len(seen)
		if _, err := r.Peek(parsed + 1); err != nil {
			return nil, err
		}
	}
}

// faulty is the answer to a client whose message has a fault. limit is that of a
// head.
func faulty(fault h1.Fault, limit int) *reply.Local {
	reason := fault.Error()
	switch fault {
	case h1.LongHead:
		reason = fmt.Sprintf("the head of the request is larger than %d bytes (x-bulsa.limits.header)", limit)
	case h1.LongTarget:
		reason = fmt.Sprintf("the request line is longer than %d bytes (x-bulsa.limits.header)", limit)
	}
	return &reply.Local{Status: fault.Status(), Reason: reason}
}

// readRequest takes the request whose head was parsed from r. net/http reads in
// it the same as h1 (FuzzRequests), whose target, host and version count.
func readRequest(r *bufio.Reader, head *h1.Request) (*http.Request, error) {
	target, host, minor := string(head.Target), string(head.Host), 1
	if head.HTTP10 {
		minor = 0
	}
	_, _ = r.Discard(head.EmptyLines())
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, err
	}
	req.RequestURI, req.Host, req.ProtoMinor = target, host, minor
	return req, nil
}

// isToken is RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
