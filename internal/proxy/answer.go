package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"bulsa/internal/balance"
	"bulsa/internal/proxy/h1"
)

// answerBody is the body of a worker's answer.
type answerBody struct {
	io.Reader
	atHand func() bool // a read would return at once
}

// answer passes the answer on. reusable: the worker's connection may carry
// another request. ok: the worker has given all that it promised.
func (a *attempt) answer(resp *http.Response, body answerBody) (reusable, ok bool) {
	a.status = resp.StatusCode
	a.idle.worker.Requests.Add(1)
	a.idle.worker.AnswerTime.Add(a.took)
	w := a.asker.begin(a, resp)
	readErr, writeErr := a.copyBody(w, resp, body)
	if writeErr == nil && readErr == nil {
		writeErr = w.Flush()
	}
	switch {
	case a.isDeserted() || writeErr != nil:
		a.keep = false
		return false, true
	case readErr != nil:
		a.keep = false
		a.client.server.log.Warn("answer broken off", "service", a.route.Service, "worker", a.ep.Config().Worker,
			"request", a.what(), "error", readErr)
		w.breakOff()
		return false, false
	}
	return true, true
}

// bodyless: the answer ends with its head, whatever that says (RFC 9110, sections
// 9.3.2, 15.3.5 and 15.4.5).
func (a *attempt) bodyless(resp *http.Response) bool {
	return a.req.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
}

// stickyCookie is the field that binds the client to the worker at hand, or "".
func (a *attempt) stickyCookie() string {
	name := a.route.Settings.Sticky
	if name == "" {
		return ""
	}
	id := balance.StickyID(a.ep)
	if id == a.try.Request.Sticky {
		return ""
	}
	return name + "=" + id + "; Path=/; HttpOnly; SameSite=Lax"
}

// forClient calls field for the worker's fields but those about its connection.
func forClient(h http.Header, field func(name string, values []string)) {
	listed := listedInConnection(h)
	for name, values := range h {
		if aboutConnection(name) || name == "Content-Length" || listed.has(name) {
			continue
		}
		field(name, values)
	}
}

// ownFields calls field for what a listener of TLS adds to answers, unless the
// worker says it itself.
func (c *client) ownFields(route *target, theirs http.Header, field func(name, value string)) {
	if c.scheme != "https" {
		return
	}
	add := func(name, value string) {
		if value != "" && theirs[name] == nil {
			field(name, value)
		}
	}
	add("Strict-Transport-Security", route.Settings.HSTS)
	add("Alt-Svc", c.altSvc)
}

// copyBody sends what has come as soon as nothing more is at hand, so that
// streams are not held back and small answers leave in one piece.
func (a *attempt) copyBody(w answerer, resp *http.Response, body answerBody) (readErr, writeErr error) {
	if !w.hasBody() {
		return nil, nil
	}
	buf := a.client.server.buffers.copies.take()
	defer a.client.server.buffers.copies.give(buf)
	for {
		if !body.atHand() {
			a.startReader()
			if writeErr = w.Flush(); writeErr != nil {
				return nil, writeErr
			}
		}
		n, err := body.Read(*buf)
		if n > 0 {
			if a.session.begins {
				a.session.learn(a.route, balance.StickyID(a.ep), (*buf)[:n], a.began)
			}
			_, writeErr = w.Write((*buf)[:n])
			a.bodySent += int64(n)
		}
		switch {
		case writeErr != nil:
			return nil, writeErr
		case err == io.EOF:
			return nil, w.end(resp.Trailer)
		case err != nil:
			return err, nil
		}
	}
}

// answerOver1 passes on an answer that comes over an HTTP/1.1 connection.
func (a *attempt) answerOver1(resp *http.Response) (reusable, ok bool) {
	_ = a.up.SetReadDeadline(time.Time{})
	if resp.StatusCode == http.StatusSwitchingProtocols {
		a.switchProtocols(resp)
		return false, true
	}
	reusable, ok = a.answer(resp, a.bodyOver1(resp))
	return reusable && a.reusable(resp), ok
}

func (a *attempt) bodyOver1(resp *http.Response) answerBody {
	br := a.up.br
	if len(resp.TransferEncoding) == 0 {
		return answerBody{resp.Body, func() bool { return br.Buffered() > 0 }}
	}
	chunks := &chunkReader{br: br}
	return answerBody{&trailed{chunks, &resp.Trailer}, chunks.atHand}
}

// trailed puts the trailer, once it has come, where others look for it.
type trailed struct {
	chunks  *chunkReader
	trailer *http.Header
}

func (t *trailed) Read(p []byte) (int, error) {
	n, err := t.chunks.Read(p)
	if err == io.EOF {
		*t.trailer = t.chunks.trailer
	}
	return n, err
}

// reusable: both messages have ended where they should, and nothing follows.
func (a *attempt) reusable(resp *http.Response) bool {
	select {
	case <-a.sent:
		return a.whole && !resp.Close && a.up.br.Buffered() == 0
	default:
		return false
	}
}

// switchProtocols passes a 101 on and then carries bytes both ways until both
// directions have ended.
func (a *attempt) switchProtocols(resp *http.Response) {
	a.status = resp.StatusCode
	a.idle.worker.Requests.Add(1)
	a.idle.worker.AnswerTime.Add(a.took)
	a.keep = false
	b := append([]byte("HTTP/1.1 "), resp.Status...)
	b = appendAnswerFields(append(b, "\r\n"...), resp.Header, a.answerSpelled)
	b = h1.AppendField(b, "Connection", "Upgrade")
	for _, v := range resp.Header["Upgrade"] {
		b = h1.AppendField(b, "Upgrade", v)
	}
	_, err := a.client.Write(append(b, "\r\n"...))
	counters := a.route.counters
	counters.Count(a.status, time.Since(a.exchange.began))
	counters.OpenTunnels.Add(1)
	defer counters.OpenTunnels.Add(-1)
	a.stopReader()
	if err != nil {
		return
	}
	_ = a.client.conn.SetDeadline(time.Time{})
	_ = a.up.SetDeadline(time.Time{})
	fromClient, fromWorker := append(readAhead(a.client.br), a.client.ahead...), readAhead(a.up.br)
	a.client.releaseBuffers()
	u := &upgraded{endpoint: a.ep, client: side{a.client.conn, fromClient}, worker: side{a.up.Conn, fromWorker}}
	if strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
		u.frames = new(frames)
	}
	a.client.carry(u)
	a.bodySent = u.sent
	if u.wasCut {
		counters.Cut.Add(1)
	}
}

// readAhead takes what a reader has buffered.
func readAhead(br *bufio.Reader) []byte {
	seen, _ := br.Peek(br.Buffered())
	return bytes.Clone(seen)
}
