package h1

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
		if (f.name == Other || f.name == Date || f.name == ContentType) && sameFold(h.nameOf(f), name) {
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

// padded says whether the first field with this name has more white space around
// its value than the one space that everybody writes. Section 5.5 of RFC 9110 takes
// it away, but not every parser does.
func (h *head) padded(n Name) bool {
	for i := range h.fields {
		if f := &h.fields[i]; f.name == n {
			glued := f.at+uint32(f.nameLen)+1 == f.value && h.b[f.end] == '\r'
			return !f.verbatim && !glued
		}
	}
	return false
}

// differ says whether two fields with this name have not the same value.
func (h *head) differ(n Name) bool {
	first := h.Value(n)
	for i := range h.fields {
		if f := &h.fields[i]; f.name == n && string(h.valueOf(f)) != string(first) {
			return true
		}
	}
	return false
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
