package proxy

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bulsa/internal/balance"
)

// Route leads requests of one listener to one pool. It takes those whose host
// and path it names; a route that names neither is the listener's default.
type Route struct {
	Host  string // lower case, without a port; "*.example.com": any name below; "": every host
	Path  string // a prefix of whole segments: "/v1" takes /v1 and /v1/users, not /v10; "" or "/": every path
	Strip bool   // the worker gets the path without Path, which X-Forwarded-Prefix tells

	Service  string
	Port     string // for messages
	Pool     *balance.Pool
	Settings Settings
	Redirect string // the port on which the same host speaks TLS: all requests are sent there with 308; "": none
}

// Listener is what the requests of one listener meet. Make it with NewListener
// and set what else it needs; it does not change once it is in a Table.
type Listener struct {
	Routes   []Route
	Settings Settings // of its connections, while no request says which route counts
	TLS      *TLS     // nil: in the clear

	// Challenge is asked first what an ACME server shall read at a path of a host,
	// if that is one of its paths; nil: none is expected.
	Challenge func(host, path string) (text string, ok bool)

	// Divert may take connections from this machine before anything else does;
	// nil: none.
	Divert Diverter

	exact    map[string][]int // by host, to Routes, the longest path first
	below    map[string][]int // by what follows "*."
	anyHost  []int
	segments bool // a route goes by its path
}

// Diverter takes connections that are no client's.
type Diverter interface {
	// Diverting says whether Divert may take any connection at all now.
	Diverting() bool
	// Divert may take a connection, and then sees it through and closes it; false
	// leaves it untouched.
	Divert(conn net.Conn) bool
}

// mayDivert says whether the connection of a client may be one for Divert.
func (l *Listener) mayDivert(peer netip.AddrPort) bool {
	return l.Divert != nil && peer.Addr().IsLoopback() && l.Divert.Diverting()
}

// maxHost is the longest name of a host, RFC 1035, section 2.3.4.
const maxHost = 255

// NewListener makes a listener of routes that differ in host or path. The
// settings that are about connections are the most generous of the routes'.
func NewListener(routes ...Route) *Listener {
	l := &Listener{Routes: routes, exact: map[string][]int{}, below: map[string][]int{}}
	for i := range l.Routes {
		r := &l.Routes[i]
		r.Path = strings.TrimRight(r.Path, "/")
		l.segments = l.segments || r.Path != ""
		suffix, wild := strings.CutPrefix(r.Host, "*.")
		switch {
		case r.Host == "":
			l.anyHost = append(l.anyHost, i)
		case wild:
			l.below[suffix] = append(l.below[suffix], i)
		default:
			l.exact[r.Host] = append(l.exact[r.Host], i)
		}
		if i == 0 {
			l.Settings = r.Settings
		} else {
			l.Settings = l.Settings.widened(r.Settings)
		}
	}
	longestFirst := func(list []int) {
		slices.SortStableFunc(list, func(a, b int) int { return len(l.Routes[b].Path) - len(l.Routes[a].Path) })
	}
	longestFirst(l.anyHost)
	for _, list := range l.exact {
		longestFirst(list)
	}
	for _, list := range l.below {
		longestFirst(list)
	}
	return l
}

// widened keeps, of what is about connections, the more generous of s and o.
func (s Settings) widened(o Settings) Settings {
	longer := func(a, b time.Duration) time.Duration {
		if a == 0 || b == 0 {
			return 0
		}
		return max(a, b)
	}
	more := func(a, b int) int {
		if a == 0 || b == 0 {
			return 0
		}
		return max(a, b)
	}
	s.HeaderTimeout = longer(s.HeaderTimeout, o.HeaderTimeout)
	s.IdleTimeout = longer(s.IdleTimeout, o.IdleTimeout)
	s.MaxHeader = max(headerLimit(s.MaxHeader), headerLimit(o.MaxHeader))
	s.Connections = more(s.Connections, o.Connections)
	s.ConnectionsPerAddress = more(s.ConnectionsPerAddress, o.ConnectionsPerAddress)
	return s
}

func headerLimit(n int) int {
	if n <= 0 {
		return defaultMaxHeader
	}
	return n
}

// Match finds the route of a request: an exact host goes before one with a
// wildcard, a longer wildcard before a shorter one, any of them before every
// host; within a host the longest path wins. nil: no route takes it. host may
// have a port; path has no query. Match allocates nothing.
func (l *Listener) Match(host, path []byte) *Route {
	if i := l.match(host, path); i >= 0 {
		return &l.Routes[i]
	}
	return nil
}

// match is the index of Match's route, or -1.
func (l *Listener) match(host, path []byte) int {
	if l.segments && dotted(path) {
		return -1
	}
	if len(l.exact)+len(l.below) > 0 {
		var buf [maxHost]byte
		if i := l.matchHost(hostName(buf[:0], host), path); i >= 0 {
			return i
		}
	}
	return l.longest(l.anyHost, path)
}

func (l *Listener) matchHost(name, path []byte) int {
	if i := l.longest(l.exact[string(name)], path); i >= 0 || len(l.below) == 0 {
		return i
	}
	for {
		dot := bytes.IndexByte(name, '.')
		if dot < 0 {
			return -1
		}
		name = name[dot+1:]
		if i := l.longest(l.below[string(name)], path); i >= 0 {
			return i
		}
	}
}

func (l *Listener) longest(list []int, path []byte) int {
	for _, i := range list {
		if prefixLength(l.Routes[i].Path, path) >= 0 {
			return i
		}
	}
	return -1
}

// knows says whether a route names the host, or takes every one.
func (l *Listener) knows(host []byte) bool {
	var buf [maxHost]byte
	name := hostName(buf[:0], host)
	if len(l.anyHost) > 0 || len(l.exact[string(name)]) > 0 {
		return true
	}
	for i, c := range name {
		if c == '.' && len(l.below[string(name[i+1:])]) > 0 {
			return true
		}
	}
	return false
}

// hostName appends the name in a Host field, in lower case and without port and
// final dot, to b, which has room for the longest name; nothing for longer ones.
func hostName(b, host []byte) []byte {
	if end := bytes.LastIndexByte(host, ':'); end >= 0 && bytes.IndexByte(host[end:], ']') < 0 {
		host = host[:end]
	}
	host = bytes.TrimSuffix(host, []byte("."))
	if len(host) > maxHost {
		return b
	}
	for _, c := range host {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// prefixLength is how many bytes of path the prefix takes, by whole segments;
// -1 when path lies elsewhere. Octets that path writes as %XX without need are
// the same as plain ones (RFC 3986, section 6.2.2.2).
func prefixLength(prefix string, path []byte) int {
	at := 0
	if len(path) >= len(prefix) && string(path[:len(prefix)]) == prefix {
		at = len(prefix)
	} else if at = escapedPrefix(prefix, path); at < 0 {
		return -1
	}
	if at == len(path) || path[at] == '/' || prefix == "" {
		return at
	}
	return -1
}

func escapedPrefix(prefix string, path []byte) int {
	if bytes.IndexByte(path, '%') < 0 {
		return -1
	}
	at := 0
	for i := range len(prefix) {
		if at >= len(path) {
			return -1
		}
		c, width := octet(path[at:])
		if c != prefix[i] || c == '/' && width > 1 { // %2F belongs to a segment
			return -1
		}
		at += width
	}
	return at
}

// octet is the first octet of path and how many bytes it is written with.
func octet(path []byte) (c byte, width int) {
	if path[0] != '%' || len(path) < 3 {
		return path[0], 1
	}
	high, ok1 := fromHex(path[1])
	low, ok2 := fromHex(path[2])
	if !ok1 || !ok2 {
		return '%', 1
	}
	return high<<4 | low, 3
}

func fromHex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// dotted finds segments . and .., also as %2e and between %2f. Routes that go by
// the path take none: the worker might resolve them and end up in another
// route's part. Browsers and curl resolve them before they ask.
func dotted(path []byte) bool {
	if bytes.IndexByte(path, '.') < 0 && bytes.IndexByte(path, '%') < 0 {
		return false
	}
	const none = -1
	dots := none // in the segment so far; none: it has other octets
	for i := 0; i < len(path); {
		c, width := octet(path[i:])
		switch {
		case c == '/' && (dots == 1 || dots == 2):
			return true
		case c == '/':
			dots = 0
		case c == '.' && dots >= 0:
			dots++
		default:
			dots = none
		}
		i += width
	}
	return dots == 1 || dots == 2
}

// withoutPrefix appends target, which begins with the path that was matched,
// without the first n bytes of it.
func withoutPrefix(b []byte, target string, n int) []byte {
	rest := target[n:]
	if rest == "" || rest[0] != '/' {
		b = append(b, '/')
	}
	return append(b, rest...)
}
