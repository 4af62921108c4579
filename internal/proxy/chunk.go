package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// maxChunkLine bounds a chunk's size line with its extensions, which are dropped.
const maxChunkLine = 256

var errMalformedChunk = errors.New("a malformed chunk")

// chunkReader decodes a chunked body (RFC 9112, section 7.1). Unlike net/http's
// it returns what has come of a chunk instead of waiting for the rest, which a
// stream must not be made to do, and it takes no other spelling than the RFC's.
type chunkReader struct {
	br      *bufio.Reader
	left    int64 // bytes of the current chunk
	inside  bool  // a chunk's data came before, so its CR LF is next
	err     error
	trailer http.Header // valid at io.EOF
}

func (c *chunkReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.left == 0 {
		if c.err = c.next(); c.err != nil {
			return 0, c.err
		}
	}
	n, err := c.br.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.err = cutShort(err)
	return n, c.err
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next reads up to the data of the next chunk; io.EOF after the last.
func (c *chunkReader) next() error {
	if c.inside {
		end, err := c.br.Peek(2)
		if err != nil {
			return cutShort(err)
		}
		if string(end) != "\r\n" {
			return errMalformedChunk
		}
		_, _ = c.br.Discard(2)
	}
	line, err := c.br.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return cutShort(err)
	}
	size, err := chunkSize(line)
	if err != nil {
		return err
	}
	c.left, c.inside = size, true
	if size == 0 {
		return c.end()
	}
	return nil
}

func chunkSize(line []byte) (int64, error) {
	const digits = 15
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	size, extension, extended := bytes.Cut(line, []byte(";"))
	if extended {
		size = bytes.TrimRight(size, " \t")
	}
	if !ok || len(line) > maxChunkLine || len(size) == 0 || len(size) > digits || bytes.ContainsAny(extension, "\r\x00") {
		return 0, errMalformedChunk
	}
	for _, d := range size {
		if (d < '0' || d > '9') && (d|0x20 < 'a' || d|0x20 > 'f') {
			return 0, errMalformedChunk
		}
	}
	return strconv.ParseInt(string(size), 16, 64)
}

// end reads the trailer section.
func (c *chunkReader) end() error {
	c.trailer = make(http.Header)
	seen, err := c.br.Peek(2)
	if err != nil {
		return cutShort(err)
	}
	if string(seen) == "\r\n" {
		_, _ = c.br.Discard(2)
		return io.EOF
	}
	section, err := peekHead(c.br)
	if err != nil {
		return cutShort(err)
	}
	for line, rest, _ := cutLine(section); len(line) > 0; line, rest, _ = cutLine(rest) {
		if new(framing).field(line) != nil {
			return errMalformedChunk
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		c.trailer.Add(string(name), string(bytes.Trim(value, " \t")))
	}
	_, _ = c.br.Discard(len(section))
	return io.EOF
}

// atHand says whether a Read would return at once: inside a chunk when anything
// is here, else when a size line is here and something after it.
func (c *chunkReader) atHand() bool {
	seen, _ := c.br.Peek(c.br.Buffered())
	if c.left > 0 {
		return len(seen) > 0
	}
	if c.inside {
		seen = seen[min(2, len(seen)):]
	}
	i := bytes.IndexByte(seen, '\n')
	return i >= 0 && len(seen) > i+1
}
