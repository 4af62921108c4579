package reply

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"bulsa/internal/proxy/h1"
)

// Local is an answer that the proxy gives itself.
type Local struct {
	Status     int
	Reason     string
	RetryAfter time.Duration
	Unrouted   bool   // no service is meant
	Location   string // of a redirect, or ""
	Verbatim   bool   // the reason is the whole body, of status 200
	Own        []byte // fields of the listener's, each with its line end
}

// BadRequest answers 400.
func BadRequest(reason string) *Local {
	return &Local{Status: http.StatusBadRequest, Reason: reason}
}

func (l *Local) text(service string) string {
	switch {
	case l.Verbatim:
		return l.Reason
	case l.Unrouted:
		return fmt.Sprintf("%d: %s\n", l.Status, l.Reason)
	}
	return fmt.Sprintf("%d %s: %s\n", l.Status, service, l.Reason)
}

// Describe sets the fields of the answer for net/http's servers, and returns its
// body.
func (l *Local) Describe(h http.Header, service, version string) string {
	if version != "" {
		h.Set("Server", "bulsa/"+version)
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if l.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(l.RetryAfter/time.Second)))
	}
	if l.Location != "" {
		h.Set("Location", l.Location)
	}
	return l.text(service)
}

// Append writes the whole answer; headOnly leaves the body out, for HEAD.
func (l *Local) Append(b []byte, service, version string, closing, headOnly bool) []byte {
	text := l.text(service)
	b = fmt.Appendf(b, "HTTP/1.1 %d %s\r\n", l.Status, http.StatusText(l.Status))
	b = append(b, "Date: "+time.Now().UTC().Format(http.TimeFormat)+"\r\n"...)
	if version != "" {
		b = append(b, "Server: bulsa/"+version+"\r\n"...)
	}
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, "\r\n"...)
	if l.RetryAfter > 0 {
		b = fmt.Appendf(b, "Retry-After: %d\r\n", int(l.RetryAfter/time.Second))
	}
	if l.Location != "" {
		b = h1.AppendField(b, "Location", l.Location)
	}
	b = append(b, l.Own...)
	if closing {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "\r\n"...)
	if headOnly {
		return b
	}
	return append(b, text...)
}
