package h1

import (
	"math"
	"slices"
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
