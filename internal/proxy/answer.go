package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"time"

	"bulsa/internal/balance"
)

// delimiter is what tells the client where the answer's body ends.
type delimiter int

const (
	noBody delimiter = iota
	byLength
	byChunks
	byClose
)

// answer passes the answer on. reusable: the worker's connection may carry
// another request. ok: the worker has given all that it promised.
func (a *attempt) answer(resp *http.Response) (reusable, ok bool) {
	a.status = resp.StatusCode
	a.idle.worker.requests.Add(1)
	a.idle.worker.answerTime.add(a.took)
	_ = a.up.SetReadDeadline(time.Time{})
	if resp.StatusCode == http.StatusSwitchingProtocols {
		a.switchProtocols(resp)
		return false, true
	}
	by := a.delimit(resp)
	a.decideKeep(by)
	bw := a.client.bw
	_, _ = bw.Write(a.appendAnswerHead(make([]byte, 0, 1024), resp, by))
	readErr, writeErr := a.copyBody(resp, by)
	if writeErr == nil && readErr == nil {
		writeErr = bw.Flush()
	}
	switch {
	case a.isDeserted() || writeErr != nil:
		a.keep = false
		return false, true
	case readErr != nil:
		a.breakOff(by, readErr)
		return false, false
	}
	return a.reusable(resp), true
}

func (a *attempt) delimit(resp *http.Response) delimiter {
	switch {
	case a.req.Method == http.MethodHead, resp.StatusCode == http.StatusNoContent, resp.StatusCode == http.StatusNotModified:
		return noBody
	case resp.ContentLength >= 0:
		return byLength
	case a.req.ProtoAtLeast(1, 1):
		return byChunks
	}
	return byClose
}

// decideKeep is the last moment to tell the client that the connection ends.
func (a *attempt) decideKeep(by delimiter) {
	if by == byClose || a.client.server.closing.Load() {
		a.keep = false
	}
	if a.body != nil {
		if done, err := a.body.state(); !done || err != nil {
			a.keep = false
		}
	}
}

func (a *attempt) appendAnswerHead(b []byte, resp *http.Response, by delimiter) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = append(b, resp.Status...)
	b = append(b, "\r\n"...)
	b = a.appendAnswerFields(b, resp.Header)
	switch by {
	case byLength:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, resp.ContentLength, 10)
		b = append(b, "\r\n"...)
	case byChunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if names := trailerNames(resp.Trailer); names != "" {
			b = appendField(b, "Trailer", names)
		}
	case noBody:
		if v := resp.Header["Content-Length"]; len(v) > 0 && resp.StatusCode != http.StatusNoContent {
			b = appendField(b, "Content-Length", v[0])
		}
	}
	if name := a.route.Settings.Sticky; name != "" {
		if id := balance.StickyID(a.ep); id != a.sticky {
			b = appendField(b, "Set-Cookie", name+"="+id+"; Path=/; HttpOnly; SameSite=Lax")
		}
	}
	switch {
	case !a.keep:
		b = append(b, "Connection: close\r\n"...)
	case !a.req.ProtoAtLeast(1, 1):
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

// appendAnswerFields writes the worker's fields but those about its connection.
func (a *attempt) appendAnswerFields(b []byte, h http.Header) []byte {
	listed := listedInConnection(h)
	for name, values := range h {
		if aboutConnection(name) || name == "Content-Length" || listed.has(name) {
			continue
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return b
}

// copyBody sends what has come as soon as nothing more is at hand, so that
// streams are not held back and small answers leave in one piece.
func (a *attempt) copyBody(resp *http.Response, by delimiter) (readErr, writeErr error) {
	if by == noBody || resp.ContentLength == 0 {
		return nil, nil
	}
	buf := a.client.server.buffers.copies.take()
	defer a.client.server.buffers.copies.give(buf)
	src, atHand := a.answerBody(resp)
	for {
		if !atHand() {
			a.startReader()
			if writeErr = a.client.bw.Flush(); writeErr != nil {
				return nil, writeErr
			}
		}
		n, err := src.Read(*buf)
		if n > 0 {
			writeErr = a.writeAnswerPart((*buf)[:n], by)
		}
		switch {
		case writeErr != nil:
			return nil, writeErr
		case err == io.EOF && by == byChunks:
			_, writeErr = a.client.bw.Write(appendTrailer(nil, resp.Trailer))
			return nil, writeErr
		case err == io.EOF:
			return nil, nil
		case err != nil:
			return err, nil
		}
	}
}

// answerBody reads the body, and tells whether a read would return at once.
func (a *attempt) answerBody(resp *http.Response) (body io.Reader, atHand func() bool) {
	br := a.up.br
	if len(resp.TransferEncoding) == 0 {
		return resp.Body, func() bool { return br.Buffered() > 0 }
	}
	chunks := &chunkReader{br: br}
	return &trailed{chunks, &resp.Trailer}, chunks.atHand
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

func (a *attempt) writeAnswerPart(p []byte, by delimiter) error {
	bw := a.client.bw
	if by != byChunks {
		_, err := bw.Write(p)
		return err
	}
	_, _ = bw.Write(strconv.AppendInt(bw.AvailableBuffer(), int64(len(p)), 16))
	_, _ = bw.WriteString("\r\n")
	_, _ = bw.Write(p)
	_, err := bw.WriteString("\r\n") // a bufio.Writer keeps its first error
	return err
}

// breakOff makes sure that the client does not take a part for the whole.
func (a *attempt) breakOff(by delimiter, err error) {
	a.keep = false
	a.client.server.log.warn("answer broken off", "service", a.route.Service, "worker", a.ep.Config().Worker,
		"request", a.what(), "error", err)
	if by == byClose {
		a.client.abort()
		return
	}
	_ = a.client.bw.Flush()
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
	a.keep = false
	b := append([]byte("HTTP/1.1 "), resp.Status...)
	b = a.appendAnswerFields(append(b, "\r\n"...), resp.Header)
	b = appendField(b, "Connection", "Upgrade")
	for _, v := range resp.Header["Upgrade"] {
		b = appendField(b, "Upgrade", v)
	}
	_, err := a.client.Write(append(b, "\r\n"...))
	counters := a.route.counters
	counters.count(a.status, time.Since(a.exchange.began))
	counters.openTunnels.Add(1)
	defer counters.openTunnels.Add(-1)
	a.stopReader()
	if err != nil {
		return
	}
	_ = a.client.conn.SetDeadline(time.Time{})
	_ = a.up.SetDeadline(time.Time{})
	fromClient, fromWorker := readAhead(a.client.br), readAhead(a.up.br)
	a.client.releaseBuffers()
	tunnel(side{a.client.conn, fromClient}, side{a.up.Conn, fromWorker})
}

// readAhead takes what a reader has buffered.
func readAhead(br *bufio.Reader) []byte {
	seen, _ := br.Peek(br.Buffered())
	return bytes.Clone(seen)
}
