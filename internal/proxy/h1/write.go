package h1

import "strconv"

// Origin is what a worker is told about the connection that a request came over.
type Origin struct {
	Trusted bool   // the peer may say whom it forwards for: what it says is kept
	Addr    []byte // the peer's address for X-Forwarded-For; none: unknown
	Node    []byte // the peer's address and port for Forwarded, in brackets if IPv6; none: unknown
	Proto   string // http or https
	Port    []byte // the port that the client came to; none: unknown
}

// Forward says how to write a request for a worker.
type Forward struct {
	Origin *Origin
	Target []byte // in place of the client's, unless nil
	Prefix string // what Target lacks of the client's, for X-Forwarded-Prefix
	Expect bool   // ask for 100 before the body
}

// AppendTo writes the request for a worker: the client's fields without those
// about its own connection and those about its origin that nobody vouches for,
// then the framing, then the origin. What the client lists in Connection is
// removed first, so that it cannot remove what is added here.
func (r *Request) AppendTo(b []byte, f *Forward) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	if f.Target != nil {
		b = append(b, f.Target...)
	} else {
		b = append(b, r.Target...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	b = r.appendFields(b, !f.Origin.Trusted)
	b = r.appendFraming(b)
	if f.Expect {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	if r.Upgrade != nil {
		b = append(b, "Connection: Upgrade\r\n"...)
		b = appendField(b, "Upgrade", r.Upgrade)
	}
	if r.Trailers {
		b = append(b, "TE: trailers\r\n"...)
	}
	if f.Origin.Trusted && r.seen&origins != 0 || f.Prefix != "" {
		return r.appendSaid(b, f)
	}
	return r.appendOrigin(b, f.Origin)
}

func (r *Request) appendFraming(b []byte) []byte {
	switch {
	case r.Body == ByChunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		return r.appendTrailerNames(b)
	case r.hasLength:
		return appendLength(b, r.length)
	}
	return b
}

// origins are the fields that a trusted peer may have set.
const origins = 1<<Forwarded | 1<<XForwardedFor | 1<<XForwardedProto | 1<<XForwardedHost | 1<<XForwardedPort | 1<<XForwardedPrefix

// appendOrigin writes X-Forwarded-* and Forwarded (RFC 7239) and ends the head.
func (r *Request) appendOrigin(b []byte, o *Origin) []byte {
	if len(o.Addr) > 0 {
		b = appendField(b, "X-Forwarded-For", o.Addr)
	}
	b = append(b, "X-Forwarded-Proto: "...)
	b = append(b, o.Proto...)
	if len(r.Host) > 0 {
		b = append(b, "\r\nX-Forwarded-Host: "...)
		b = append(b, r.Host...)
	}
	if len(o.Port) > 0 {
		b = append(b, "\r\nX-Forwarded-Port: "...)
		b = append(b, o.Port...)
	}
	b = append(b, "\r\nForwarded: "...)
	return r.appendElement(o.appendNode(b), o)
}

// appendNode begins an element of Forwarded (RFC 7239, section 6).
func (o *Origin) appendNode(b []byte) []byte {
	if len(o.Node) == 0 {
		return append(b, "for=unknown;host="...)
	}
	b = append(b, `for="`...)
	b = append(b, o.Node...)
	return append(b, `";host=`...)
}

// appendElement goes on from appendNode to the end of the head. isHost lets
// neither quotes nor backslashes through.
func (r *Request) appendElement(b []byte, o *Origin) []byte {
	if isToken(r.Host) {
		b = append(b, r.Host...)
		b = append(b, ";proto="...)
	} else {
		b = append(b, '"')
		b = append(b, r.Host...)
		b = append(b, `";proto=`...)
	}
	b = append(b, o.Proto...)
	return append(b, "\r\n\r\n"...)
}

// appendSaid is appendOrigin where a trusted peer has said something, which is
// kept and added to, or where a prefix is told. The last element of Forwarded is
// always ours.
func (r *Request) appendSaid(b []byte, f *Forward) []byte {
	o := f.Origin
	b = r.appendList(b, "X-Forwarded-For", XForwardedFor, o, o.Addr, true)
	b = r.appendList(b, "X-Forwarded-Proto", XForwardedProto, o, []byte(o.Proto), false)
	b = r.appendList(b, "X-Forwarded-Host", XForwardedHost, o, r.Host, false)
	b = r.appendList(b, "X-Forwarded-Port", XForwardedPort, o, o.Port, false)
	b = r.appendList(b, "X-Forwarded-Prefix", XForwardedPrefix, o, []byte(f.Prefix), true)
	b = append(b, "Forwarded: "...)
	if o.Trusted && r.has(Forwarded) {
		b = r.appendValues(b, Forwarded)
		b = append(b, ", "...)
	}
	return r.appendElement(o.appendNode(b), o)
}

// appendList writes what a trusted peer has said, and ours instead of it or, with
// add, behind it.
func (r *Request) appendList(b []byte, as string, n Name, o *Origin, ours []byte, add bool) []byte {
	said := o.Trusted && r.has(n)
	if !said && len(ours) == 0 {
		return b
	}
	b = append(b, as...)
	b = append(b, ": "...)
	if said {
		b = r.appendValues(b, n)
	}
	if said && add && len(ours) > 0 {
		b = append(b, ", "...)
	}
	if !said || add {
		b = append(b, ours...)
	}
	return append(b, "\r\n"...)
}

// appendValues writes the values of all fields with this name as one.
func (h *head) appendValues(b []byte, n Name) []byte {
	first := true
	for i := range h.fields {
		if h.fields[i].name != n {
			continue
		}
		if !first {
			b = append(b, ", "...)
		}
		first = false
		b = append(b, h.valueOf(&h.fields[i])...)
	}
	return b
}

// Reply says how to write an answer for the client.
type Reply struct {
	Body      Body   // see Answer.BodyFor
	Close     bool   // the client's connection ends after this answer
	KeepAlive bool   // tell an HTTP/1.0 client that it does not
	Date      []byte // in place of a Date that the worker did not give, unless nil
	Extra     []byte // whole lines to add
}

// AppendTo writes the answer for the client: the worker's fields without those
// about its own connection, and framing anew. Interim answers and a 101 have no
// Reply: nil.
func (a *Answer) AppendTo(b []byte, p *Reply) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = append(b, byte('0'+a.Status/100), byte('0'+a.Status/10%10), byte('0'+a.Status%10), ' ')
	b = append(b, a.Reason...)
	b = append(b, "\r\n"...)
	b = a.appendFields(b, false)
	if a.Upgrade != nil {
		b = append(b, "Connection: Upgrade\r\n"...)
		b = appendField(b, "Upgrade", a.Upgrade)
	}
	if p != nil {
		b = a.appendReply(b, p)
	}
	return append(b, "\r\n"...)
}

func (a *Answer) appendReply(b []byte, p *Reply) []byte {
	switch {
	case p.Body == ByChunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		b = a.appendTrailerNames(b)
	case p.Body != UntilClose && a.hasLength && a.Status != 204:
		b = appendLength(b, a.length)
	}
	if p.Date != nil && !a.has(Date) {
		b = appendField(b, "Date", p.Date)
	}
	b = append(b, p.Extra...)
	switch {
	case p.Close:
		b = append(b, "Connection: close\r\n"...)
	case p.KeepAlive:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return b
}

// appendFields sends on what may be sent on. Lines that are already as they
// should be go in runs.
func (h *head) appendFields(b []byte, untrusted bool) []byte {
	run := -1 // where the run at hand begins
	for i := range h.fields {
		f := &h.fields[i]
		dropped := f.name > hopByHop || f.removed || untrusted && f.name == XForwardedOther
		switch {
		case !dropped && f.verbatim:
			if run < 0 {
				run = int(f.at)
			}
			continue
		case run >= 0:
			b = append(b, h.b[run:f.at]...)
			run = -1
		}
		if !dropped {
			b = append(b, h.nameOf(f)...)
			b = append(b, ": "...)
			b = append(b, h.valueOf(f)...)
			b = append(b, "\r\n"...)
		}
	}
	if run >= 0 {
		b = append(b, h.b[run:len(h.b)-2]...)
	}
	return b
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

func appendField(b []byte, name string, value []byte) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// appendTrailerNames announces those of the promised trailers that may be sent.
func (h *head) appendTrailerNames(b []byte) []byte {
	if !h.has(Trailer) {
		return b
	}
	before := len(b)
	b = append(b, "Trailer: "...)
	start := len(b)
	for i := range h.fields {
		if h.fields[i].name != Trailer {
			continue
		}
		for list := h.valueOf(&h.fields[i]); len(list) > 0; {
			var name []byte
			if name, list = nextElement(list); !isToken(name) || !allowedTrailer(name) {
				continue
			}
			if len(b) > start {
				b = append(b, ", "...)
			}
			b = append(b, name...)
		}
	}
	if len(b) == start {
		return b[:before]
	}
	return append(b, "\r\n"...)
}

// allowedTrailer keeps fields out of trailers that frame, route or authorize
// (RFC 9110, section 6.5.1).
func allowedTrailer(name []byte) bool {
	switch nameFor(name) {
	case Other:
	case Date:
		return true
	default:
		return false
	}
	for _, lower := range [...]string{
		"set-cookie", "content-encoding", "content-type", "content-range", "cache-control", "location", "www-authenticate",
	} {
		if equalFold(name, lower) {
			return false
		}
	}
	return true
}

// AppendField writes one field; a line break inside a value would be another field.
func AppendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	start := len(b)
	b = append(b, value...)
	for i := start; i < len(b); i++ {
		if b[i] == '\r' || b[i] == '\n' || b[i] == 0 {
			b[i] = ' '
		}
	}
	return append(b, "\r\n"...)
}
