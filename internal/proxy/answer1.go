package proxy

import (
	"net/http"
	"strconv"
	"time"

	"bulsa/internal/proxy/h1"
)

// delimiter is what tells an HTTP/1.1 client where the answer's body ends.
type delimiter int

const (
	noBody delimiter = iota
	byLength
	byChunks
	byClose
)

// answer1 writes an answer to an HTTP/1.1 client.
type answer1 struct {
	*attempt
	by    delimiter
	empty bool // of a length of 0
}

func (c *client) begin(a *attempt, resp *http.Response) answerer {
	w := &answer1{a, a.delimit(resp), resp.ContentLength == 0}
	w.decideKeep()
	_, _ = c.bw.Write(w.appendHead(make([]byte, 0, 1024), resp))
	return w
}

func (a *attempt) delimit(resp *http.Response) delimiter {
	switch {
	case a.bodyless(resp):
		return noBody
	case resp.ContentLength >= 0:
		return byLength
	case a.req.ProtoAtLeast(1, 1):
		return byChunks
	}
	return byClose
}

// decideKeep is the last moment to tell the client that the connection ends.
func (w *answer1) decideKeep() {
	if w.by == byClose || w.client.last() {
		w.keep = false
	}
	if w.body != nil {
		if done, err := w.body.state(); !done || err != nil {
			w.keep = false
		}
	}
}

func (w *answer1) appendHead(b []byte, resp *http.Response) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = append(b, resp.Status...)
	b = append(b, "\r\n"...)
	b = appendAnswerFields(b, resp.Header, w.answerSpelled)
	switch w.by {
	case byLength:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, resp.ContentLength, 10)
		b = append(b, "\r\n"...)
	case byChunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if names := trailerNames(resp.Trailer); names != "" {
			b = h1.AppendField(b, "Trailer", names)
		}
	case noBody:
		if v := resp.Header["Content-Length"]; len(v) > 0 && resp.StatusCode != http.StatusNoContent {
			b = h1.AppendField(b, "Content-Length", v[0])
		}
	}
	if resp.Header["Date"] == nil { // which is owed to the client by now (RFC 9110, section 6.6.1)
		b = append(b, "Date: "...)
		b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
		b = append(b, "\r\n"...)
	}
	if cookie := w.stickyCookie(); cookie != "" {
		b = h1.AppendField(b, "Set-Cookie", cookie)
	}
	w.client.ownFields(w.route, resp.Header, func(name, value string) { b = h1.AppendField(b, name, value) })
	switch {
	case !w.keep:
		b = append(b, "Connection: close\r\n"...)
	case !w.req.ProtoAtLeast(1, 1):
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendAnswerFields(b []byte, h http.Header, as spelling) []byte {
	forClient(h, func(name string, values []string) {
		name = as.of(name)
		for _, v := range values {
			b = h1.AppendField(b, name, v)
		}
	})
	return b
}

func (w *answer1) hasBody() bool { return w.by != noBody && !w.empty }

func (w *answer1) Write(p []byte) (int, error) {
	bw := w.client.bw
	if w.by != byChunks {
		return bw.Write(p)
	}
	_, _ = bw.Write(strconv.AppendInt(bw.AvailableBuffer(), int64(len(p)), 16))
	_, _ = bw.WriteString("\r\n")
	n, _ := bw.Write(p)
	_, err := bw.WriteString("\r\n") // a bufio.Writer keeps its first error
	return n, err
}

func (w *answer1) Flush() error { return w.client.bw.Flush() }

func (w *answer1) end(trailer http.Header) error {
	if w.by != byChunks {
		return nil
	}
	_, err := w.client.bw.Write(appendTrailer(nil, trailer))
	return err
}

func (w *answer1) breakOff() {
	if w.by == byClose {
		w.client.abort()
		return
	}
	_ = w.client.bw.Flush()
}
