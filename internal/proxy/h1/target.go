package h1

// parseTarget reads the request target (RFC 9112, section 3.2): origin-form,
// absolute-form, or * for OPTIONS.
func (r *Request) parseTarget(target []byte) Fault {
	if string(r.Method) == "CONNECT" {
		return Connect
	}
	if len(target) == 0 {
		return BadRequestLine
	}
	if target[0] == '/' {
		r.Target = target
		return checkPath(target)
	}
	if string(target) == "*" {
		if string(r.Method) != "OPTIONS" {
			return BadTarget
		}
		r.Target = target
		return OK
	}
	return r.parseAbsolute(target)
}

func (r *Request) parseAbsolute(target []byte) Fault {
	rest := afterScheme(target)
	if rest == nil {
		return BadTarget
	}
	end := 0
	for end < len(rest) && rest[end] != '/' && rest[end] != '?' {
		end++
	}
	if !isHost(rest[:end]) {
		return BadTarget
	}
	r.Host, r.Target = rest[:end], rest[end:]
	if len(r.Target) == 0 || r.Target[0] == '?' {
		r.Target = withoutPath(r.Method, r.Target)
	}
	return checkPath(r.Target)
}

func afterScheme(target []byte) []byte {
	for _, scheme := range [...]string{"http://", "https://"} {
		n := len(scheme) - len("://")
		if len(target) > len(scheme) && equalFold(target[:n], scheme[:n]) && string(target[n:len(scheme)]) == "://" {
			return target[len(scheme):]
		}
	}
	return nil
}

// withoutPath is the target of a URI whose path is empty (RFC 9112, sections
// 3.2.1 and 3.2.4). So few clients send one that it may allocate.
func withoutPath(method, query []byte) []byte {
	if len(query) == 0 && string(method) == "OPTIONS" {
		return []byte("*")
	}
	return append([]byte("/"), query...)
}

// checkPath refuses what is no ASCII or no URI: a path that cannot be decoded, or
// that some take a backslash in for a slash, would be read by each framework in its
// own way. Queries may hold a backslash and a lone %, as those of browsers do.
func checkPath(target []byte) Fault {
	query := false
	for i, c := range target {
		switch {
		case c > '%' && c < 0x7f && c != '?' && c != '\\': // nearly all
		case c <= ' ' || c >= 0x7f || c == '#':
			return BadTarget
		case c == '?':
			query = true
		case query:
		case c == '\\', c == '%' && !isPathEscape(target[i:]):
			return BadTarget
		}
	}
	return OK
}

// isEscape wants two hexadecimal digits, and not those of NUL.
func isEscape(b []byte) bool {
	if len(b) < 3 {
		return false
	}
	high, low := hexDigit(b[1]), hexDigit(b[2])
	return high >= 0 && low >= 0 && high|low != 0
}

// isPathEscape leaves out line ends, too: where a path becomes a field's value or a
// line of a log, they would end it.
func isPathEscape(b []byte) bool {
	return isEscape(b) && !(b[1] == '0' && (folded[b[2]] == 'a' || folded[b[2]] == 'd'))
}

// isHost is uri-host [":" port] (RFC 9110, section 7.2), not empty, without
// user information and without the commas that would make it a list.
func isHost(b []byte) bool {
	name := b
	if len(b) > 0 && b[0] == '[' {
		return isBracketed(b)
	}
	for i, c := range b {
		if c == ':' {
			name = b[:i]
			break
		}
		if hostChars[c] == ' ' && (c != '%' || !isEscape(b[i:])) {
			return false
		}
	}
	return len(name) > 0 && (len(name) == len(b) || isPort(b[len(name):]))
}

// isBracketed is an IPv6 address in brackets.
func isBracketed(b []byte) bool {
	for i, c := range b[1:] {
		switch {
		case c == ']':
			rest := b[i+2:]
			return i > 1 && (len(rest) == 0 || isPort(rest))
		case c != ':' && c != '.' && hexDigit(c) < 0:
			return false
		}
	}
	return false
}

// isPort takes the colon, too. The digits may be missing (RFC 3986, section
// 3.2.3).
func isPort(b []byte) bool {
	if b[0] != ':' || len(b) > len(":65535") {
		return false
	}
	n := 0
	for _, c := range b[1:] {
		if !isDigit(c) {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

// hostChars are unreserved and sub-delims of RFC 3986, but for the comma.
const hostChars = blank32 +
	" !  $ &'()*+ -. 0123456789 ; =  " +
	" ABCDEFGHIJKLMNOPQRSTUVWXYZ    _" +
	" abcdefghijklmnopqrstuvwxyz   ~ " +
	blank32 + blank32 + blank32 + blank32
