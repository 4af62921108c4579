package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"bulsa/internal/proxy/reply"
)

// asker is who one request came from: a client's HTTP/1.1 connection, or one
// stream of HTTP/2 or HTTP/3. An exchange asks it for the rest of the request and
// gives it the answer, and knows no more of the difference than these methods.
type asker interface {
	// shortBody is the whole body of a request that came with its head or right
	// behind it, or nil.
	shortBody(req *http.Request, expects bool) []byte

	// bodyOf reads the body. Its trailer is in *trailer when it has ended.
	bodyOf(req *http.Request, trailer *http.Header) io.Reader

	// leftBy says whether an error of the body means that the client has left.
	leftBy(err error) bool

	// hears says whether awaitEnd can tell anything.
	hears() bool

	// awaitEnd blocks until the client has left (true), or stop is closed and the
	// read deadline is past, or the client says more (false).
	awaitEnd(stop <-chan struct{}) bool

	// setReadDeadline is for the body, and interrupts awaitEnd on a connection.
	setReadDeadline(t time.Time)

	// interim gives an answer before the final one.
	interim(status int, reason string, h http.Header) error

	// begin gives the head of the final answer.
	begin(a *attempt, resp *http.Response) answerer

	// decline gives the whole of an answer in the worker's place.
	decline(x *exchange, r *reply.Local)
}

// answerer takes the rest of an answer whose head was given. It may keep what it
// gets until Flush.
type answerer interface {
	io.Writer
	Flush() error
	hasBody() bool                 // false: whatever the worker sends is not for the client
	end(trailer http.Header) error // the answer is whole
	breakOff()                     // the client must not take a part for the whole
}

// origin is where a request came from, for the worker to know.
type origin struct {
	peer   netip.AddrPort // invalid for a unix socket
	port   string         // the port it came to, or ""
	scheme string         // http or https
}

func (c *client) shortBody(req *http.Request, expects bool) []byte {
	length := req.ContentLength
	switch {
	case length < 0 || length > int64(c.br.Size()):
		return nil
	case length <= int64(c.br.Buffered()):
	case expects:
		return nil
	default:
		_ = c.conn.SetReadDeadline(time.Now().Add(behindHead))
		_, err := c.br.Peek(int(length))
		_ = c.conn.SetReadDeadline(time.Time{})
		if err != nil {
			return nil
		}
	}
	whole := make([]byte, length)
	_, _ = io.ReadFull(req.Body, whole)
	return whole
}

func (c *client) bodyOf(req *http.Request, trailer *http.Header) io.Reader {
	if req.ContentLength >= 0 {
		return req.Body
	}
	return &trailed{&chunkReader{br: c.br}, trailer}
}

func (c *client) leftBy(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

func (c *client) hears() bool { return c.ear != nil }

func (c *client) awaitEnd(<-chan struct{}) bool {
	return c.br.Buffered() == 0 && len(c.ahead) == 0 && c.ear.awaitEnd()
}

func (c *client) setReadDeadline(t time.Time) { _ = c.conn.SetReadDeadline(t) }

func (c *client) interim(status int, reason string, h http.Header) error {
	b := append([]byte("HTTP/1.1 "), reason...)
	b = appendAnswerFields(append(b, "\r\n"...), h, nil)
	_, err := c.Write(append(b, "\r\n"...))
	return err
}

// decline keeps the connection where the request has been read to its end.
func (c *client) decline(x *exchange, r *reply.Local) {
	unread := x.req.ContentLength != 0 && x.whole == nil && x.body == nil
	x.keep = x.keep && !unread && r.Status != http.StatusBadRequest && !c.last()
	answer := c.refusal(x.route, r, !x.keep, x.req.Method == http.MethodHead)
	if _, err := c.Write(answer); err != nil {
		x.keep = false
	} else if !x.keep {
		c.linger()
	}
}
