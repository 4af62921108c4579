package h1

// Name is a header field that the proxy knows by name.
type Name uint8

// The names. Those before hopByHop are sent on as they came. A name with an
// underscore for a hyphen is the same to CGI and its heirs (WSGI, Rack, PHP), so
// it is sent to no worker, and believed of nobody.
const (
	Other Name = iota
	Authorization
	ContentType
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
	case 12:
		return one(name, c, ContentType, "content-type")
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
	case !same, !exactly && n < hopByHop:
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
