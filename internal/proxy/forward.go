package proxy

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"bulsa/internal/proxy/h1"
)

// appendHead writes the request line and the header for the worker: the
// client's fields without those that are about the client's connection, then
// the ones that tell whom the request came from.
func (x *exchange) appendHead(b []byte) []byte {
	req := x.req
	b = append(b, req.Method...)
	b = append(b, ' ')
	b = x.route.appendTarget(b, requestTarget(req))
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, req.Host...)
	b = append(b, "\r\n"...)
	b = x.appendFraming(b)
	x.fieldsForWorker(func(name, value string) { b = h1.AppendField(b, x.client.spelled.of(name), value) })
	return append(b, "\r\n"...)
}

// fieldsForWorker calls field for all that is not about one connection.
func (x *exchange) fieldsForWorker(field func(name, value string)) {
	listed := listedInConnection(x.req.Header)
	trusted := x.peerTrusted()
	for name, values := range x.req.Header {
		if aboutConnection(name) || aboutOrigin(name, trusted) || name == "Host" || name == "Content-Length" || name == "Expect" ||
			listed.has(name) || misspelled(name) {
			continue
		}
		for _, v := range values {
			field(name, v)
		}
	}
	x.originFields(field)
}

func requestTarget(req *http.Request) string {
	if strings.HasPrefix(req.RequestURI, "/") || req.RequestURI == "*" {
		return req.RequestURI
	}
	return req.URL.RequestURI()
}

// appendTarget writes the target that the worker gets.
func (r *Route) appendTarget(b []byte, target string) []byte {
	path, _, _ := strings.Cut(target, "?")
	if n := prefixLength(r.Path, []byte(path)); r.Strip && n > 0 {
		return withoutPrefix(b, target, n)
	}
	return append(b, target...)
}

// appendFraming writes what is about this connection and this body.
func (x *exchange) appendFraming(b []byte) []byte {
	req := x.req
	switch {
	case x.chunked():
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if x.promised != "" {
			b = h1.AppendField(b, "Trailer", x.promised)
		}
	case req.Header.Get("Content-Length") != "":
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, req.ContentLength, 10)
		b = append(b, "\r\n"...)
	}
	if x.expects {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	if x.upgrade != "" {
		b = append(b, "Connection: Upgrade\r\n"...)
		b = h1.AppendField(b, "Upgrade", x.upgrade)
	}
	if hasToken(req.Header["Te"], "trailers") {
		b = append(b, "Te: trailers\r\n"...)
	}
	return b
}

// originFields tells X-Forwarded-* and Forwarded (RFC 7239). Those that an
// untrusted client sent are replaced. The last element of Forwarded is always
// ours, with the peer's port.
func (x *exchange) originFields(field func(name, value string)) {
	h, from := x.req.Header, x.client.origin
	peer := from.peer
	trusted := x.peerTrusted()
	before := func(name string) string {
		if !trusted {
			return ""
		}
		return strings.Join(h[name], ", ")
	}
	said := func(name, ours string) {
		if v := before(name); v != "" {
			ours = v
		}
		if ours != "" {
			field(name, ours)
		}
	}
	element := "for=" + forwardedNode(peer) + ";host=" + quoted(x.req.Host) + ";proto=" + from.scheme
	if peer.IsValid() {
		field("X-Forwarded-For", join(before("X-Forwarded-For"), peer.Addr().String()))
	} else if v := before("X-Forwarded-For"); v != "" {
		field("X-Forwarded-For", v)
	}
	said("X-Forwarded-Proto", from.scheme)
	said("X-Forwarded-Host", x.req.Host)
	said("X-Forwarded-Port", from.port)
	if x.route.Strip {
		field("X-Forwarded-Prefix", join(before("X-Forwarded-Prefix"), x.route.Path))
	} else {
		said("X-Forwarded-Prefix", "")
	}
	field("Forwarded", join(before("Forwarded"), element))
}

func join(list, last string) string {
	if list == "" {
		return last
	}
	return list + ", " + last
}

// forwardedNode is RFC 7239, section 6; "unknown" for a client without an address.
func forwardedNode(peer netip.AddrPort) string {
	if !peer.IsValid() {
		return "unknown"
	}
	return `"` + peer.String() + `"`
}

// quoted makes a token or a quoted-string of s (RFC 9110, section 5.6.4).
func quoted(s string) string {
	if isToken(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func (x *exchange) peerTrusted() bool {
	return x.client.peer.IsValid() && trusts(x.route.Settings.Trusted, x.client.peer.Addr())
}

func trusts(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientAddr is the address that balancing goes by.
func (x *exchange) clientAddr() netip.Addr {
	addr := x.client.peer.Addr()
	if !x.peerTrusted() {
		return addr
	}
	return addressBehind(addr, strings.Join(x.req.Header["X-Forwarded-For"], ","), x.route.Settings.Trusted)
}

// addressBehind is the right-most address of X-Forwarded-For that is not trusted
// itself; addr is the trusted peer that forwarded it.
func addressBehind(addr netip.Addr, forwardedFor string, trusted []netip.Prefix) netip.Addr {
	hops := strings.Split(forwardedFor, ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return addr
		}
		addr = hop.Unmap()
		if !trusts(trusted, addr) {
			return addr
		}
	}
	return addr
}

// aboutConnection lists the hop-by-hop fields (RFC 9110, section 7.6.1).
func aboutConnection(name string) bool {
	switch name {
	case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

// aboutOrigin are the fields that originFields tells, and all that look like
// them when nobody vouches for them.
func aboutOrigin(name string, trusted bool) bool {
	switch name {
	case "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix":
		return true
	}
	return !trusted && strings.HasPrefix(name, "X-Forwarded-")
}

// misspelled: an underscore for a hyphen makes it one of the names that tell of a
// connection or an origin, to CGI and its heirs (WSGI, Rack, PHP).
func misspelled(name string) bool {
	if !strings.Contains(name, "_") || strings.HasPrefix(name, "X-Forwarded-") { // of which aboutOrigin decides
		return false
	}
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	return aboutConnection(name) || aboutOrigin(name, false) || name == "Content-Length"
}

// fieldNames is a short list of canonical names.
type fieldNames []string

func (l fieldNames) has(name string) bool {
	for _, n := range l {
		if n == name {
			return true
		}
	}
	return false
}

// listedInConnection are the fields that a message declares to be about its
// connection, but for those whose removal would change what the request means
// to the worker.
func listedInConnection(h http.Header) fieldNames {
	var names fieldNames
	for _, v := range h["Connection"] {
		for field := range strings.SplitSeq(v, ",") {
			name := http.CanonicalHeaderKey(strings.TrimSpace(field))
			switch name {
			case "", "Close", "Keep-Alive", "Upgrade", "Host", "Content-Length", "Authorization", "Cookie":
			default:
				if !aboutOrigin(name, false) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

func trailerNames(t http.Header) string {
	var names []string
	for name := range t {
		if allowedTrailer(name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// allowedTrailer keeps fields out of trailers that frame, route or authorize
// (RFC 9110, section 6.5.1).
func allowedTrailer(name string) bool {
	switch name {
	case "Content-Length", "Host", "Authorization", "Cookie", "Set-Cookie", "Content-Encoding", "Content-Type",
		"Content-Range", "Cache-Control", "Expect", "Location", "Www-Authenticate":
		return false
	}
	return !aboutConnection(name) && !aboutOrigin(name, false)
}

// appendTrailer writes the last chunk, the trailer and the end of a chunked body.
func appendTrailer(b []byte, t http.Header) []byte {
	b = append(b, "0\r\n"...)
	for name, values := range t {
		if !allowedTrailer(name) {
			continue
		}
		for _, v := range values {
			b = h1.AppendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}
