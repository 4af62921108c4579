package proxy

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// statusClientGone is nginx's number for a client that left before the answer.
const statusClientGone = 499

// refusal is an answer that the proxy gives itself.
type refusal struct {
	status     int
	reason     string
	retryAfter time.Duration
	unrouted   bool   // no service is meant
	location   string // of a redirect, or ""
	verbatim   bool   // the reason is the whole body, of status 200
	own        []byte // fields of the listener's, each with its line end
}

func badRequest(reason string) *refusal {
	return &refusal{status: http.StatusBadRequest, reason: reason}
}

// noRoute says why no route takes the request. Over TLS a client that meant
// another server is told so (RFC 9110, section 15.5.20).
func (e *entrance) noRoute(host, path []byte, overTLS bool) *refusal {
	r := &refusal{status: http.StatusNotFound, unrouted: true}
	switch {
	case !e.knows(host):
		r.reason = fmt.Sprintf("no service for host %.100q on this port", host)
		if overTLS {
			r.status = http.StatusMisdirectedRequest
		}
	case e.segments && dotted(path):
		r.status, r.reason = http.StatusBadRequest, "a path with segments . or .. is not routed"
	default:
		r.reason = fmt.Sprintf("no service for path %.200q on this port", path)
	}
	return r
}

func (r *refusal) text(service string) string {
	switch {
	case r.verbatim:
		return r.reason
	case r.unrouted:
		return fmt.Sprintf("%d: %s\n", r.status, r.reason)
	}
	return fmt.Sprintf("%d %s: %s\n", r.status, service, r.reason)
}

// describe sets the fields of the answer for net/http's servers, and returns its
// body.
func (r *refusal) describe(h http.Header, service, version string) string {
	if version != "" {
		h.Set("Server", "bulsa/"+version)
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(r.retryAfter/time.Second)))
	}
	if r.location != "" {
		h.Set("Location", r.location)
	}
	return r.text(service)
}

// append writes the whole answer; headOnly leaves the body out, for HEAD.
func (r *refusal) append(b []byte, service, version string, closing, headOnly bool) []byte {
	text := r.text(service)
	b = fmt.Appendf(b, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	b = append(b, "Date: "+time.Now().UTC().Format(http.TimeFormat)+"\r\n"...)
	if version != "" {
		b = append(b, "Server: bulsa/"+version+"\r\n"...)
	}
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, "\r\n"...)
	if r.retryAfter > 0 {
		b = fmt.Appendf(b, "Retry-After: %d\r\n", int(r.retryAfter/time.Second))
	}
	if r.location != "" {
		b = appendField(b, "Location", r.location)
	}
	b = append(b, r.own...)
	if closing {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "\r\n"...)
	if headOnly {
		return b
	}
	return append(b, text...)
}
