package h1

// DefaultHead is the most bytes that a head may have unless somebody says
// otherwise: as much as Node takes.
const DefaultHead = 16 << 10

// The most fields that a head may have: of a request as many as Node's servers look
// at (lib/_http_common.js, MAX_HEADER_PAIRS).
const (
	MaxRequestFields = 1000
	MaxAnswerFields  = 256
)

// maxEmptyLines is how many empty lines may come before a request: what RFC 9112,
// section 2.2, asks for.
const maxEmptyLines = 1

// lineEnds are the bytes of a head that no line can have: its own end, and the empty
// line.
const lineEnds = 4

// Body says how the end of a message's body is found.
type Body uint8

// The ways in which a body ends.
const (
	NoBody     Body = iota
	ByLength        // after Length bytes, of which there is at least one
	ByChunks        // with the chunk of size 0
	UntilClose      // with the connection; of answers only
)

// Request is the head of a request. Its slices point into the bytes that were
// parsed, which must stay as they are for as long as it is used. The zero value
// is ready; using one again saves allocations.
type Request struct {
	Method []byte
	Target []byte // in origin-form, or *; begins with / otherwise
	Host   []byte // of an absolute target, else of the field; nil: an HTTP/1.0 client gave none
	HTTP10 bool

	Body   Body
	Length int64 // with ByLength

	KeepAlive bool   // the client wants to send another request afterwards
	Upgrade   []byte // the protocols that the client offers to switch to, or nil
	Expects   bool   // the client waits for 100 before it sends the body
	Trailers  bool   // the client reads trailers (TE: trailers)

	head
}

// Parse reads the head at the start of b; limit is how many bytes it may have. n
// is its length, leading empty lines included, and 0 while it is incomplete: then
// call again with more bytes after the same ones. When bytes trickle in, a call
// is worth the while only if a line feed is among the new ones: there can be so
// few of them that the work stays linear. After a Fault the fields of r are those
// that were understood so far.
func (r *Request) Parse(b []byte, limit int) (n int, _ Fault) {
	*r = Request{head: head{fields: r.fields[:0]}}
	start := emptyLines(b)
	if start > 2*maxEmptyLines {
		return 0, BadRequestLine
	}
	i, fault := r.parseLine(b, start, limit-lineEnds)
	if i == 0 || fault != OK {
		return 0, fault
	}
	n, fault = r.parseFields(b, i, MaxRequestFields, limit-lineEnds)
	switch {
	case fault != OK:
		return 0, fault
	case n > limit, n == 0 && len(b) >= limit:
		return 0, LongHead
	case n == 0:
		return 0, OK
	}
	r.b = b[:n]
	if fault := r.conclude(); fault != OK {
		return 0, fault
	}
	return n, OK
}

// emptyLines is how many bytes of b are empty lines before anything else.
func emptyLines(b []byte) (n int) {
	for n+1 < len(b) && b[n] == '\r' && b[n+1] == '\n' {
		n += 2
	}
	return n
}

// parseLine reads the request line. It returns the index of the next line, or 0
// while the line is incomplete.
func (r *Request) parseLine(b []byte, start, longest int) (next int, _ Fault) {
	i := endOfToken(b, start)
	switch {
	case i-start > longest:
		return 0, BadMethod
	case i == len(b), i == start && b[i] == '\r' && i+1 == len(b):
		return 0, OK
	case i == start && (b[i] == '\r' || b[i] == '\n'):
		return 0, BadLineEnd
	case i == start || b[i] != ' ':
		return 0, BadMethod
	}
	r.Method = b[start:i]
	end := control(b, i)
	switch {
	case end < 0 && len(b)-start > longest, end-start > longest:
		return 0, LongTarget
	case end < 0 || b[end] == '\r' && end+1 == len(b):
		return 0, OK
	case b[end] == '\n' || b[end] == '\r' && b[end+1] != '\n':
		return 0, BadLineEnd
	case b[end] != '\r':
		return 0, BadTarget
	}
	target, fault := r.parseVersion(b[i+1 : end])
	if fault != OK {
		return 0, fault
	}
	return end + 2, r.parseTarget(target)
}

// parseVersion cuts the version off. What has a higher minor number is read as
// HTTP/1.1 (RFC 9110, section 2.5).
func (r *Request) parseVersion(rest []byte) (target []byte, _ Fault) {
	const version = " HTTP/1.1"
	at := len(rest) - len(version)
	if at < 0 || string(rest[at:len(rest)-3]) != version[:6] {
		return nil, BadVersion
	}
	major, minor := rest[at+6], rest[at+8]
	switch {
	case !isDigit(major) || rest[at+7] != '.' || !isDigit(minor):
		return nil, BadVersion
	case major != '1':
		return nil, OtherVersion
	}
	r.HTTP10 = minor == '0'
	return rest[:at], OK
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// conclude reads what the fields say together.
func (r *Request) conclude() Fault {
	if fault := r.parseHost(); fault != OK {
		return fault
	}
	if fault := r.parseFraming(r.HTTP10); fault != OK {
		return fault
	}
	switch {
	case r.has(ContentLength) && r.padded(ContentLength):
		return BadLength
	case r.hasTwo(ContentType) && r.differ(ContentType):
		return TwoContentTypes
	case r.chunked:
		r.Body = ByChunks
	case r.length > 0:
		r.Body, r.Length = ByLength, r.length
	}
	if r.has(Connection) {
		if fault := r.parseConnection(); fault != OK {
			return fault
		}
	}
	r.KeepAlive = !r.close && (!r.HTTP10 || r.keepAlive)
	if r.has(Upgrade) {
		if fault := r.parseUpgrade(); fault != OK {
			return fault
		}
	}
	if r.has(TE) {
		r.Trailers = hasElement(r.Value(TE), "trailers")
	}
	if r.has(Expect) && !r.HTTP10 {
		if !equalFold(r.Value(Expect), "100-continue") || r.hasTwo(Expect) {
			return UnknownExpectation
		}
		r.Expects = r.Body != NoBody
	}
	return OK
}

// parseHost checks that the request is for one host: the target's, if it names
// one (RFC 9112, sections 3.2 and 3.2.2).
func (r *Request) parseHost() Fault {
	if !r.has(Host) {
		if r.HTTP10 {
			return OK
		}
		return NotOneHost
	}
	host := r.Value(Host)
	switch {
	case r.hasTwo(Host):
		return NotOneHost
	case !isHost(host):
		return BadHost
	case r.Host == nil:
		r.Host = host
	}
	return OK
}

// parseUpgrade leaves h2c out: HTTP/2 without TLS begins with prior knowledge
// here, or not at all (RFC 9113, section 3.1).
func (r *Request) parseUpgrade() Fault {
	offer := r.Value(Upgrade)
	switch {
	case hasElement(offer, "h2c"):
		return OK
	case r.Body != NoBody:
		return UpgradeWithBody
	case r.upgrade && !r.HTTP10 && len(offer) > 0:
		r.Upgrade = offer
	}
	return OK
}

func hasElement(list []byte, lower string) bool {
	for len(list) > 0 {
		var element []byte
		if element, list = nextElement(list); equalFold(element, lower) {
			return true
		}
	}
	return false
}

// EmptyLines is how many bytes of the head came before the request line.
func (r *Request) EmptyLines() int { return emptyLines(r.b) }

// IsHead says whether the answer will have no body.
func (r *Request) IsHead() bool { return string(r.Method) == "HEAD" }

// Idempotent is RFC 9110, section 9.2.2.
func (r *Request) Idempotent() bool {
	switch string(r.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// Path is the target without its query.
func (r *Request) Path() []byte {
	for i, c := range r.Target {
		if c == '?' {
			return r.Target[:i]
		}
	}
	return r.Target
}

// Cookie is the value of the first cookie with this name, or nil (RFC 6265,
// section 4.2).
func (r *Request) Cookie(name string) []byte {
	if !r.has(Cookie) {
		return nil
	}
	for i := range r.fields {
		if r.fields[i].name != Cookie {
			continue
		}
		for rest := r.valueOf(&r.fields[i]); len(rest) > 0; {
			var pair []byte
			if pair, rest = nextPair(rest); len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
				return unquote(pair[len(name)+1:])
			}
		}
	}
	return nil
}

func nextPair(cookies []byte) (pair, rest []byte) {
	for i, c := range cookies {
		if c == ';' {
			return trim(cookies[:i]), cookies[i+1:]
		}
	}
	return trim(cookies), nil
}

func unquote(b []byte) []byte {
	if len(b) > 1 && b[0] == '"' && b[len(b)-1] == '"' {
		return b[1 : len(b)-1]
	}
	return b
}
