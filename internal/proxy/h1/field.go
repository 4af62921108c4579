package h1

import (
	"math"
	"slices"
)

// Name is a header field that the proxy knows by name.
type Name uint8

// The names. Those before hopByHop are sent on as they came. A name with an
// underscore for a hyphen is the same to CGI and its heirs (WSGI, Rack, PHP), so
// it is sent to no worker, and believed of nobody.
const (
	Other Name = iota
	Authorization
	Cookie
	Date
	XForwardedOther // X-Forwarded-*, but for the ones below

	hopByHop // what follows is removed or written anew
	Connection
	KeepAlive
	ProxyConnection
	ProxyAuthenticate
	ProxyAuthorization
	HTTP2Settings
	TE
	Trailer
	TransferEncoding
	Upgrade
	ContentLength
	Host
	Expect
	Forwarded
	XForwardedFor
	XForwardedProto
	XForwardedHost
	XForwardedPort
	XForwardedPrefix
	Misspelled // one of these names, with an underscore for a hyphen
)

// field is one line of a head. Positions are within the head.
type field struct {
	at, value, end uint32 // of the name, and of the value without white space around it
	nameLen        uint16
	name           Name
	verbatim       bool // the line is "name: value" and nothing else, so it can be sent on as it is
	removed        bool // Connection lists it
}

// head is what requests and answers have in common.
type head struct {
	b      []byte // the head with its empty line
	fields []field
	seen   uint32 // bits of the Names that occur
	twice  uint32 // bits of those that occur more than once

	listed    bool // Connection lists fields
	close     bool
	keepAlive bool
	upgrade   bool

	length    int64 // of Content-Length
	hasLength bool
	chunked   bool
}

func (h *head) has(n Name) bool { return h.seen&(1<<n) != 0 }

func (h *head) hasTwo(n Name) bool { return h.twice&(1<<n) != 0 }

func (h *head) valueOf(f *field) []byte { return h.b[f.value:f.end] }

func (h *head) nameOf(f *field) []byte { return h.b[f.at : f.at+uint32(f.nameLen)] }

// Value is that of the first field with this name, or nil.
func (h *head) Value(n Name) []byte {
	if !h.has(n) {
		return nil
	}
	for i := range h.fields {
		if h.fields[i].name == n {
			return h.valueOf(&h.fields[i])
		}
	}
	return nil
}

// Lookup is Value for any other name, which must be in lower case.
func (h *head) Lookup(lower string) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; equalFold(h.nameOf(f), lower) {
			return h.valueOf(f)
		}
	}
	return nil
}

// Fields gives each field in its order, without white space around the value.
func (h *head) Fields(yield func(name, value []byte) bool) {
	for i := range h.fields {
		if f := &h.fields[i]; !yield(h.nameOf(f), h.valueOf(f)) {
			return
		}
	}
}

// parseFields reads lines from i to the empty line. n is the length of the head,
// 0 while it is incomplete.
func (h *head) parseFields(b []byte, i, most, longest int) (n int, _ Fault) {
	for {
		start := i
		i = endOfToken(b, i)
		if i == len(b) {
			return 0, tooLong(i-start, longest)
		}
		if i == start {
			return emptyLine(b, i)
		}
		if b[i] != ':' {
			return 0, BadFieldName
		}
		colon := i
		i = control(b, colon+1)
		if i < 0 || i+1 == len(b) && b[i] == '\r' {
			return 0, tooLong(len(b)-start, longest)
		}
		switch {
		case i-start > longest, colon-start > math.MaxUint16:
			return 0, LongHead
		case b[i] == '\n' || b[i] == '\r' && b[i+1] != '\n':
			return 0, BadLineEnd
		case b[i] != '\r':
			return 0, BadFieldValue
		case len(h.fields) == most:
			return 0, ManyFields
		}
		h.add(b, start, colon, i)
		i += 2
	}
}

func tooLong(n, longest int) Fault {
	if n > longest {
		return LongHead
	}
	return OK
}

// emptyLine ends the head, or shows that the line at i is none that may begin so.
func emptyLine(b []byte, i int) (n int, _ Fault) {
	switch {
	case b[i] == '\n':
		return 0, BadLineEnd
	case b[i] != '\r':
		return 0, BadFieldName // also the white space of a folded line (RFC 9112, section 5.2)
	case i+1 == len(b):
		return 0, OK
	case b[i+1] != '\n':
		return 0, BadLineEnd
	}
	return i + 2, OK
}

func (h *head) add(b []byte, start, colon, end int) {
	value := colon + 1
	for value < end && isBlank(b[value]) {
		value++
	}
	last := end
	for last > value && isBlank(b[last-1]) {
		last--
	}
	name := nameFor(b[start:colon])
	bit := uint32(1) << name
	h.twice |= h.seen & bit
	h.seen |= bit
	if len(h.fields) == cap(h.fields) {
		h.fields = slices.Grow(h.fields, 16)
	}
	h.fields = h.fields[:len(h.fields)+1]
	f := &h.fields[len(h.fields)-1] // written in place: a copy of the whole costs more than the rest of add
	f.at, f.value, f.end = uint32(start), uint32(value), uint32(last)
	f.nameLen, f.name = uint16(colon-start), name
	f.verbatim, f.removed = last == end && value == colon+2 && b[colon+1] == ' ', false
}

// nameFor recognises a name by its length and first byte.
func nameFor(name []byte) Name {
	c := folded[name[0]]
	if c == 'x' {
		return xForwarded(name)
	}
	switch len(name) {
	case 2:
		return one(name, c, TE, "te")
	case 4:
		if c == 'd' {
			return one(name, c, Date, "date")
		}
		return one(name, c, Host, "host")
	case 6:
		if c == 'c' {
			return one(name, c, Cookie, "cookie")
		}
		return one(name, c, Expect, "expect")
	case 7:
		if c == 'u' {
			return one(name, c, Upgrade, "upgrade")
		}
		return one(name, c, Trailer, "trailer")
	case 9:
		return one(name, c, Forwarded, "forwarded")
	case 10:
		if c == 'c' {
			return one(name, c, Connection, "connection")
		}
		return one(name, c, KeepAlive, "keep-alive")
	case 13:
		return one(name, c, Authorization, "authorization")
	case 14:
		switch c {
		case 'c':
			return one(name, c, ContentLength, "content-length")
		case 'h':
			return one(name, c, HTTP2Settings, "http2-settings")
		}
	case 16:
		if c == 'p' {
			return one(name, c, ProxyConnection, "proxy-connection")
		}
	case 17:
		if c == 't' {
			return one(name, c, TransferEncoding, "transfer-encoding")
		}
	case 18:
		return one(name, c, ProxyAuthenticate, "proxy-authenticate")
	case 19:
		return one(name, c, ProxyAuthorization, "proxy-authorization")
	}
	return Other
}

func one(name []byte, first byte, n Name, lower string) Name {
	if first != lower[0] {
		return Other
	}
	same, exactly := sameName(name, lower)
	switch {
	case !same:
		return Other
	case !exactly && n != ContentLength && n != TransferEncoding: // which parseFraming refuses
		return Misspelled
	}
	return n
}

// sameName compares names of the same length, of which one may have underscores
// for hyphens.
func sameName(name []byte, lower string) (same, exactly bool) {
	exactly = true
	for i, c := range name {
		if folded[c] == lower[i] {
			continue
		}
		if c != '_' || lower[i] != '-' {
			return false, false
		}
		exactly = false
	}
	return true, exactly
}

func xForwarded(name []byte) Name {
	const prefix = "x-forwarded-"
	if len(name) < len(prefix) {
		return Other
	}
	same, exactly := sameName(name[:len(prefix)], prefix)
	switch {
	case !same:
		return Other
	case !exactly:
		return Misspelled
	}
	switch rest := name[len(prefix):]; {
	case equalFold(rest, "for"):
		return XForwardedFor
	case equalFold(rest, "proto"):
		return XForwardedProto
	case equalFold(rest, "host"):
		return XForwardedHost
	case equalFold(rest, "port"):
		return XForwardedPort
	case equalFold(rest, "prefix"):
		return XForwardedPrefix
	}
	return XForwardedOther
}

// maxOptions bounds what Connection may list, each of which is looked for among
// all fields.
const maxOptions = 32

// parseConnection reads the options of all Connection fields, and marks the
// fields that they list.
func (h *head) parseConnection() Fault {
	options := 0
	for i := range h.fields {
		if h.fields[i].name != Connection {
			continue
		}
		for list := h.valueOf(&h.fields[i]); len(list) > 0; {
			var option []byte
			option, list = nextElement(list)
			if options++; options > maxOptions {
				return ManyOptions
			}
			switch {
			case equalFold(option, "close"):
				h.close = true
			case equalFold(option, "keep-alive"):
				h.keepAlive = true
			case equalFold(option, "upgrade"):
				h.upgrade = true
			default:
				h.remove(option)
			}
		}
	}
	return OK
}

// remove marks the fields named so, but for those whose loss would change what
// the message means to its reader.
func (h *head) remove(name []byte) {
	for i := range h.fields {
		f := &h.fields[i]
		if (f.name == Other || f.name == Date) && sameFold(h.nameOf(f), name) {
			f.removed = true
		}
	}
}

func sameFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if folded[a[i]] != folded[b[i]] {
			return false
		}
	}
	return true
}

// parseFraming reads what says where the body ends (RFC 9112, section 6.3).
func (h *head) parseFraming(http10 bool) Fault {
	if h.seen&(1<<ContentLength|1<<TransferEncoding) == 0 {
		return OK
	}
	coding := OK
	for i := range h.fields {
		f := &h.fields[i]
		value := h.valueOf(f)
		switch f.name {
		case ContentLength:
			if h.hasLength || h.nameOf(f)[7] != '-' {
				return BadLength
			}
			if h.length, h.hasLength = parseLength(value); !h.hasLength {
				return BadLength
			}
		case TransferEncoding:
			if h.chunked || http10 || h.nameOf(f)[8] != '-' {
				return BadCoding
			}
			h.chunked, coding = true, codingFault(value)
		}
	}
	if h.hasLength && h.chunked {
		return LengthAndCoding
	}
	return coding
}

// codingFault takes chunked and nothing else. What other codings there are is for
// 501, but where chunked is not the last, or not alone of its kind, nobody knows
// where the body ends (RFC 9112, sections 6.1 and 6.3).
func codingFault(list []byte) Fault {
	if equalFold(list, "chunked") {
		return OK
	}
	if len(list) == 0 || list[len(list)-1] == ',' {
		return BadCoding
	}
	for last := false; len(list) > 0; {
		var coding []byte
		coding, list = nextElement(list)
		if last || len(coding) == 0 {
			return BadCoding
		}
		last = equalFold(coding, "chunked")
	}
	return UnknownCoding
}

// parseLength takes 1*DIGIT without leading zeros, below 10^18.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
