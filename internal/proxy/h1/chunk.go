package h1

import "strconv"

const (
	maxChunkDigits     = 15      // of a size: below 2^60
	maxChunkExtensions = 4 << 10 // bytes, in a whole body
	maxTrailer         = 8 << 10 // bytes
)

// Chunks decodes a chunked body (RFC 9112, section 7.1) that comes in pieces.
// Extensions are checked and dropped. The zero value is ready.
type Chunks struct {
	// Trailer holds the trailer fields that may be sent on, as whole lines. It
	// is complete when Done.
	Trailer []byte

	left       int64 // bytes of the chunk at hand that are still to come
	state      chunkState
	digits     uint8
	extensions uint16 // bytes of extensions so far
	trailer    uint16 // bytes of trailer fields so far
	line       uint16 // where in Trailer the line at hand begins
	value      uint16 // where in Trailer its value begins
}

type chunkState uint8

const (
	chunkSize  chunkState = iota
	chunkBlank            // white space before an extension
	extensionNameStart
	extensionName
	extensionBlank // white space after a name
	extensionValueStart
	extensionValue
	extensionQuoted
	extensionEscaped
	extensionEnd // after a value
	chunkLineEnd // LF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart
	trailerName
	trailerValue
	trailerLineEnd
	bodyEnd // LF
	chunksDone
)

// Reset prepares for another body.
func (c *Chunks) Reset() { *c = Chunks{Trailer: c.Trailer[:0]} }

// Done says whether the body is complete, its trailer included.
func (c *Chunks) Done() bool { return c.state == chunksDone }

// Next takes n bytes off b and returns the part of the body that is among them,
// a span of b. Without a Fault n is len(b) unless data is returned or the body
// is done: call again with the rest.
func (c *Chunks) Next(b []byte) (data []byte, n int, _ Fault) {
	for n < len(b) && c.state != chunksDone {
		if c.state == chunkData {
			size := int(min(c.left, int64(len(b)-n)))
			c.left -= int64(size)
			if c.left == 0 {
				c.state = chunkDataCR
			}
			return b[n : n+size], n + size, OK
		}
		if fault := c.step(b[n]); fault != OK {
			return nil, n, fault
		}
		n++
	}
	return nil, n, OK
}

// step takes one byte that is no data.
func (c *Chunks) step(b byte) Fault {
	switch {
	case c.state == chunkSize:
		return c.size(b)
	case c.state < chunkLineEnd:
		return c.extension(b)
	case c.state >= trailerStart:
		return c.trailing(b)
	case c.state == chunkDataCR:
		return c.expect(b, '\r', chunkDataLF)
	case c.state == chunkDataLF:
		c.digits = 0
		return c.expect(b, '\n', chunkSize)
	case c.left == 0:
		return c.expect(b, '\n', trailerStart)
	}
	return c.expect(b, '\n', chunkData)
}

func (c *Chunks) expect(b, want byte, next chunkState) Fault {
	if b != want {
		return BadChunk
	}
	c.state = next
	return OK
}

func (c *Chunks) size(b byte) Fault {
	d := hexDigit(b)
	switch {
	case d >= 0 && c.digits < maxChunkDigits:
		c.left = c.left<<4 | int64(d)
		c.digits++
		return OK
	case d >= 0 || c.digits == 0:
		return BadChunk
	case isBlank(b):
		c.state = chunkBlank
		return OK
	case b == ';':
		c.state = extensionNameStart
		return OK
	}
	return c.expect(b, '\r', chunkLineEnd)
}

// extension follows chunk-ext of RFC 9112, section 7.1.1, to the letter: what
// some read as one and others as a line's end is how requests are smuggled.
func (c *Chunks) extension(b byte) Fault {
	if c.extensions++; c.extensions > maxChunkExtensions {
		return LongChunkExtensions
	}
	next := c.state
	switch c.state {
	case chunkBlank:
		next = after(b, ';', extensionNameStart)
	case extensionNameStart:
		next = inside(b, extensionNameStart, extensionName)
	case extensionName:
		if !isTokenChar(b) {
			next = afterName(b)
		}
	case extensionBlank:
		next = afterName(b)
	case extensionValueStart:
		if next = inside(b, extensionValueStart, extensionValue); b == '"' {
			next = extensionQuoted
		}
	case extensionValue:
		if !isTokenChar(b) {
			next = afterValue(b)
		}
	case extensionQuoted:
		next = quoted(b)
	case extensionEscaped:
		next = extensionQuoted
		if b < ' ' && b != '\t' || b == 0x7f {
			next = chunkSize
		}
	case extensionEnd:
		next = afterValue(b)
	}
	if next == chunkSize { // where no extension leads
		return BadChunk
	}
	c.state = next
	return OK
}

// after waits for want behind white space.
func after(b, want byte, next chunkState) chunkState {
	switch {
	case isBlank(b):
		return chunkBlank
	case b == want:
		return next
	}
	return chunkSize
}

// inside is the start of a token behind white space.
func inside(b byte, same, next chunkState) chunkState {
	switch {
	case isBlank(b):
		return same
	case isTokenChar(b):
		return next
	}
	return chunkSize
}

func afterName(b byte) chunkState {
	switch {
	case isBlank(b):
		return extensionBlank
	case b == '=':
		return extensionValueStart
	case b == ';':
		return extensionNameStart
	case b == '\r':
		return chunkLineEnd
	}
	return chunkSize
}

func afterValue(b byte) chunkState {
	switch {
	case isBlank(b):
		return extensionEnd
	case b == ';':
		return extensionNameStart
	case b == '\r':
		return chunkLineEnd
	}
	return chunkSize
}

func quoted(b byte) chunkState {
	switch {
	case b == '"':
		return extensionEnd
	case b == '\\':
		return extensionEscaped
	case b < ' ' && b != '\t' || b == 0x7f:
		return chunkSize
	}
	return extensionQuoted
}

// trailing takes the trailer section and the end of the body. The line at hand
// is collected at the end of Trailer, and removed again if it may not be sent on.
func (c *Chunks) trailing(b byte) Fault {
	if c.trailer++; c.trailer > maxTrailer {
		return BadTrailer
	}
	switch c.state {
	case trailerStart:
		if b == '\r' {
			c.state = bodyEnd
			return OK
		}
		c.line = uint16(len(c.Trailer))
		c.state = trailerName
		fallthrough
	case trailerName:
		switch {
		case isTokenChar(b):
		case b == ':' && len(c.Trailer) > int(c.line):
			c.state = trailerValue
			c.value = uint16(len(c.Trailer)) + 1
		default:
			return BadTrailer
		}
		c.Trailer = append(c.Trailer, b)
	case trailerValue:
		switch {
		case b == '\r':
			c.state = trailerLineEnd
		case b < ' ' && b != '\t' || b == 0x7f:
			return BadTrailer
		default:
			c.Trailer = append(c.Trailer, b)
		}
	case trailerLineEnd:
		c.endTrailerLine()
		return c.expect(b, '\n', trailerStart)
	default:
		return c.expect(b, '\n', chunksDone)
	}
	return OK
}

func (c *Chunks) endTrailerLine() {
	if !allowedTrailer(c.Trailer[c.line : c.value-1]) {
		c.Trailer = c.Trailer[:c.line]
		return
	}
	c.Trailer = append(c.Trailer, "\r\n"...)
}

// Fields gives each field of Trailer.
func (c *Chunks) Fields(yield func(name, value []byte) bool) {
	for rest := c.Trailer; len(rest) > 0; {
		colon := endOfToken(rest, 0)
		end := control(rest, colon)
		if !yield(rest[:colon], trim(rest[colon+1:end])) {
			return
		}
		rest = rest[end+2:]
	}
}

// AppendChunkSize writes the line before a chunk's data, after which comes CR LF.
// n must be above 0: a chunk of size 0 ends the body.
func AppendChunkSize(b []byte, n int) []byte {
	b = strconv.AppendInt(b, int64(n), 16)
	return append(b, "\r\n"...)
}

// AppendLastChunk ends a chunked body; trailer is that of Chunks, or nil.
func AppendLastChunk(b, trailer []byte) []byte {
	b = append(b, "0\r\n"...)
	b = append(b, trailer...)
	return append(b, "\r\n"...)
}
