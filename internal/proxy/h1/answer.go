package h1

// Answer is the head of a worker's answer; like Request otherwise.
type Answer struct {
	Status int
	Reason []byte
	HTTP10 bool

	Body   Body
	Length int64 // with ByLength

	KeepAlive bool   // the worker's connection can be used again after this answer
	Upgrade   []byte // of a 101: the protocol that was switched to

	head
}

// Parse reads the head of an answer to r at the start of b; otherwise it is as
// Request.Parse.
func (a *Answer) Parse(b []byte, r *Request, limit int) (n int, _ Fault) {
	*a = Answer{head: head{fields: a.fields[:0]}}
	i, fault := a.parseLine(b, limit)
	if i == 0 || fault != OK {
		return 0, fault
	}
	n, fault = a.parseFields(b, i, MaxAnswerFields, limit)
	switch {
	case fault != OK:
		return 0, fault
	case n > limit, n == 0 && len(b) >= limit:
		return 0, LongHead
	case n == 0:
		return 0, OK
	}
	a.b = b[:n]
	if fault := a.conclude(r); fault != OK {
		return 0, fault
	}
	return n, OK
}

// parseLine reads the status line (RFC 9112, section 4). It returns the index of
// the next line, or 0 while the line is incomplete.
func (a *Answer) parseLine(b []byte, longest int) (next int, _ Fault) {
	const version = "HTTP/1."
	if n := min(len(b), len(version)); string(b[:n]) != version[:n] {
		return 0, BadStatusLine
	}
	end := control(b, 0)
	switch {
	case end < 0 || b[end] == '\r' && end+1 == len(b):
		return 0, tooLong(len(b), longest)
	case b[end] != '\r' || b[end+1] != '\n':
		return 0, BadLineEnd
	case end < len("HTTP/1.1 200") || !isDigit(b[7]) || b[8] != ' ':
		return 0, BadStatusLine
	case b[9] < '1' || b[9] > '9' || !isDigit(b[10]) || !isDigit(b[11]):
		return 0, BadStatusLine
	}
	a.HTTP10 = b[7] == '0'
	a.Status = int(b[9]-'0')*100 + int(b[10]-'0')*10 + int(b[11]-'0')
	if end > len("HTTP/1.1 200") {
		if b[12] != ' ' {
			return 0, BadStatusLine
		}
		a.Reason = b[13:end]
	}
	return end + 2, OK
}

// conclude reads what the fields say together (RFC 9112, section 6.3).
func (a *Answer) conclude(r *Request) Fault {
	if fault := a.parseFraming(a.HTTP10); fault != OK {
		return fault
	}
	switch {
	case a.Interim(), a.Status == 101, a.Status == 204, a.Status == 304, r.IsHead():
		a.Body = NoBody
	case a.chunked:
		a.Body = ByChunks
	case !a.hasLength:
		a.Body = UntilClose
	case a.length > 0:
		a.Body, a.Length = ByLength, a.length
	}
	if a.has(Connection) {
		if fault := a.parseConnection(); fault != OK {
			return fault
		}
	}
	a.KeepAlive = !a.close && (!a.HTTP10 || a.keepAlive) && a.Body != UntilClose && a.Status != 101
	if a.Status == 101 {
		a.Upgrade = a.Value(Upgrade)
		if a.Upgrade == nil || !a.upgrade || r.Upgrade == nil {
			return BadUpgrade
		}
	}
	return OK
}

// Interim says whether another answer follows on the same request.
func (a *Answer) Interim() bool { return a.Status < 200 && a.Status != 101 }

// BodyFor is how the body's end is shown to the client who sent r.
func (a *Answer) BodyFor(r *Request) Body {
	switch {
	case a.Body != ByChunks && a.Body != UntilClose:
		return a.Body
	case r.HTTP10:
		return UntilClose
	}
	return ByChunks
}
