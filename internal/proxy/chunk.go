package proxy

import (
	"bufio"
	"errors"
	"io"
	"net/http"

	"bulsa/internal/proxy/h1"
)

// chunkReader reads a chunked body. Unlike net/http's it returns what has come of
// a chunk instead of waiting for the rest, which a stream must not be made to do.
type chunkReader struct {
	br      *bufio.Reader
	chunks  h1.Chunks
	trailer http.Header // valid at io.EOF
}

// Read may fail with an h1.Fault.
func (c *chunkReader) Read(p []byte) (int, error) {
	for !c.chunks.Done() {
		if _, err := c.br.Peek(1); err != nil {
			return 0, cutShort(err)
		}
		seen, _ := c.br.Peek(min(c.br.Buffered(), len(p)))
		data, n, fault := c.chunks.Next(seen)
		if fault != h1.OK {
			return 0, fault
		}
		copy(p, data)
		_, _ = c.br.Discard(n)
		if len(data) > 0 {
			return len(data), nil
		}
	}
	if c.trailer == nil {
		c.trailer = make(http.Header)
		for name, value := range c.chunks.Fields {
			c.trailer.Add(string(name), string(value))
		}
	}
	return 0, io.EOF
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// atHand says whether a Read would return at once.
func (c *chunkReader) atHand() bool {
	seen, _ := c.br.Peek(c.br.Buffered())
	look := c.chunks
	data, _, fault := look.Next(seen)
	return len(data) > 0 || look.Done() || fault != h1.OK
}

// faultAtHand finds what is wrong with that part of a chunked body which has
// already come, so that no worker begins a request that will be refused.
func faultAtHand(body []byte) h1.Fault {
	var c h1.Chunks
	for len(body) > 0 && !c.Done() {
		_, n, fault := c.Next(body)
		if fault != h1.OK {
			return fault
		}
		body = body[n:]
	}
	return h1.OK
}
