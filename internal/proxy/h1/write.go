package h1

import "strconv"

// Origin is what a worker is told about the connection that a request came over.
// A proxy prepares it once for each.
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
	b = r.appendOrigin(b, f.Origin)
	return append(b, "\r\n"...)
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

// appendOrigin writes X-Forwarded-* and Forwarded (RFC 7239), whose last element
// is always ours, with the peer's port.
func (r *Request) appendOrigin(b []byte, o *Origin) []byte {
	said := func(n Name) bool { return o.Trusted && r.has(n) }
	if said(XForwardedFor) || len(o.Addr) > 0 {
		b = append(b, "X-Forwarded-For: "...)
		if said(XForwardedFor) {
			b = r.appendList(b, XForwardedFor)
			if len(o.Addr) > 0 {
				b = append(b, ", "...)
			}
		}
		b = append(b, o.Addr...)
		b = append(b, "\r\n"...)
	}
	if said(XForwardedProto) {
		b = r.appendSaid(b, "X-Forwarded-Proto", XForwardedProto)
	} else {
		b = append(b, "X-Forwarded-Proto: "...)
		b = append(b, o.Proto...)
		b = append(b, "\r\n"...)
	}
	if said(XForwardedHost) {
		b = r.appendSaid(b, "X-Forwarded-Host", XForwardedHost)
	} else if len(r.Host) > 0 {
		b = appendField(b, "X-Forwarded-Host", r.Host)
	}
	if said(XForwardedPort) {
		b = r.appendSaid(b, "X-Forwarded-Port", XForwardedPort)
	} else if len(o.Port) > 0 {
		b = appendField(b, "X-Forwarded-Port", o.Port)
	}
	b = append(b, "Forwarded: "...)
	if said(Forwarded) {
		b = r.appendList(b, Forwarded)
		b = append(b, ", "...)
	}
	return r.appendElement(b, o)
}

// appendElement writes the element of Forwarded that is ours, and the line's end.
func (r *Request) appendElement(b []byte, o *Origin) []byte {
	if len(o.Node) > 0 {
		b = append(b, `for="`...)
		b = append(b, o.Node...)
		b = append(b, `";host=`...)
	} else {
		b = append(b, "for=unknown;host="...)
	}
	if isToken(r.Host) {
		b = append(b, r.Host...)
	} else {
		b = append(b, '"')
		b = append(b, r.Host...) // isHost knows neither quotes nor backslashes
		b = append(b, '"')
	}
	b = append(b, ";proto="...)
	b = append(b, o.Proto...)
	return append(b, "\r\n"...)
}

func (r *Request) appendSaid(b []byte, as string, n Name) []byte {
	b = append(b, as...)
	b = append(b, ": "...)
	b = r.appendList(b, n)
	return append(b, "\r\n"...)
}

// appendList writes the values of all fields with this name as one.
func (h *head) appendList(b []byte, n Name) []byte {
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
		case !dropped && f.verbatim && run >= 0:
			continue
		case !dropped && f.verbatim:
			run = int(f.at)
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
