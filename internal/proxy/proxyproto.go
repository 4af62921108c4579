package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// proxyHeader is what a PROXY header says of a connection: whom the proxy in
// front of us accepted it from, and where. Both are invalid where it does not
// say, as for the proxy's own health checks.
type proxyHeader struct {
	source, destination netip.AddrPort
}

// The limits of the PROXY protocol (haproxy.org, doc/proxy-protocol.txt, sections
// 2.1 and 2.2). Version 2 would allow 64 KiB of addresses and extensions; what
// proxies send has less than a thousandth of it, unless it carries certificates.
const (
	proxyLine1   = 107 // the longest header of version 1, CR LF included
	proxyFixed2  = 16
	proxyMost    = 4096 // the longest header of version 2 that is read
	proxyMagic1  = "PROXY"
	proxyMagic2  = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLocal   = 0x20 // version 2, command LOCAL
	proxyProxied = 0x21 // version 2, command PROXY
)

var (
	errNoProxyHeader  = errors.New("the connection does not begin with a PROXY header")
	errBadProxyHeader = errors.New("a malformed PROXY header")
	errStranger       = errors.New("its address is not in trusted_proxies, and proxy_protocol is on")
)

// parseProxyHeader reads the header that b begins with; n is its length. n = 0
// without an error: more bytes are needed, of which b holds less than proxyMost.
func parseProxyHeader(b []byte) (h proxyHeader, n int, err error) {
	switch {
	case startsLike(b, proxyMagic2):
		return parseProxyHeader2(b)
	case startsLike(b, proxyMagic1):
		return parseProxyHeader1(b)
	}
	return h, 0, errNoProxyHeader
}

// startsLike: b begins with magic, or could when it goes on.
func startsLike(b []byte, magic string) bool {
	n := min(len(b), len(magic))
	return string(b[:n]) == magic[:n]
}

// parseProxyHeader1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".
func parseProxyHeader1(b []byte) (h proxyHeader, n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), proxyLine1)], '\n')
	switch {
	case end < 0 && len(b) < proxyLine1:
		return h, 0, nil
	case end < 1 || b[end-1] != '\r':
		return h, 0, errBadProxyHeader
	}
	line := string(b[:end-1])
	if line == "PROXY UNKNOWN" || strings.HasPrefix(line, "PROXY UNKNOWN ") {
		return h, end + 1, nil
	}
	words := strings.Split(line, " ")
	if len(words) != 6 || words[0] != proxyMagic1 {
		return h, 0, errBadProxyHeader
	}
	var ok1, ok2 bool
	h.source, ok1 = address1(words[1], words[2], words[4])
	h.destination, ok2 = address1(words[1], words[3], words[5])
	if !ok1 || !ok2 {
		return proxyHeader{}, 0, errBadProxyHeader
	}
	return h, end + 1, nil
}

func address1(family, address, port string) (netip.AddrPort, bool) {
	a, err1 := netip.ParseAddr(address)
	p, err2 := strconv.ParseUint(port, 10, 16)
	plain := strconv.FormatUint(p, 10) == port && a.Zone() == ""
	ok := err1 == nil && err2 == nil && plain && (family == "TCP4" && a.Is4() || family == "TCP6" && a.Is6())
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), ok
}

func parseProxyHeader2(b []byte) (h proxyHeader, n int, err error) {
	if len(b) < proxyFixed2 {
		return h, 0, nil
	}
	command, family := b[12], b[13]
	n = proxyFixed2 + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case command != proxyLocal && command != proxyProxied, n > proxyMost:
		return h, 0, errBadProxyHeader
	case len(b) < n:
		return h, 0, nil
	case command == proxyLocal:
		return h, n, nil
	}
	at := b[proxyFixed2:n]
	size := 0
	switch family {
	case 0x11: // TCP over IPv4
		size = 4
	case 0x21: // TCP over IPv6
		size = 16
	case 0x00, 0x12, 0x22, 0x31, 0x32: // unspecified, UDP, unix sockets: nothing that we could use
		return h, n, nil
	default:
		return h, 0, errBadProxyHeader
	}
	if len(at) < 2*size+4 {
		return h, 0, errBadProxyHeader
	}
	source, _ := netip.AddrFromSlice(at[:size])
	destination, _ := netip.AddrFromSlice(at[size : 2*size])
	ports := at[2*size:]
	h.source = netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(ports))
	h.destination = netip.AddrPortFrom(destination.Unmap(), binary.BigEndian.Uint16(ports[2:]))
	return h, n, nil
}

// meetProxy reads the PROXY header of a connection and takes on what it says;
// false when the connection is to be closed.
func (c *client) meetProxy(e *entrance) bool {
	err := errStranger
	if peer := c.peer.Addr(); peer.IsValid() && trusts(e.Settings.Trusted, peer) {
		err = c.readProxyHeader(e.Settings.HeaderTimeout)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.server.log.Warn("connection closed", "service", e.owner.Service, "client", c.peer.Addr().String(), "reason", err)
	}
	return err == nil
}

// readProxyHeader takes nothing but the header: what follows may be meant for
// others.
func (c *client) readProxyHeader(timeout time.Duration) error {
	if c.raw == nil {
		return errNoProxyHeader
	}
	_ = c.conn.SetReadDeadline(deadline(timeout))
	defer c.conn.SetReadDeadline(time.Time{})
	var h proxyHeader
	var n int
	var said error
	buf := make([]byte, proxyMost)
	err := c.raw.Read(func(fd uintptr) bool {
		seen, again, err := peek(fd, buf)
		if again {
			return false
		}
		if seen == 0 || err != nil {
			said = io.EOF
			return true
		}
		h, n, said = parseProxyHeader(buf[:seen])
		return n > 0 || said != nil
	})
	if err = errors.Join(err, said); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.conn, buf[:n]); err != nil {
		return err
	}
	if h.source.IsValid() {
		c.peer, c.local, c.port = h.source, h.destination, strconv.Itoa(int(h.destination.Port()))
	}
	return nil
}

// appendProxyHeader writes a header of version 1 or 2. An address that is not known,
// or two of different families, are UNKNOWN or LOCAL (sections 2.1 and 2.2).
func appendProxyHeader(b []byte, version int, h proxyHeader) []byte {
	from, to := h.source.Addr(), h.destination.Addr()
	known := from.IsValid() && to.IsValid() && from.Is4() == to.Is4()
	if version == 1 {
		if !known {
			return append(b, "PROXY UNKNOWN\r\n"...)
		}
		family := "TCP6"
		if from.Is4() {
			family = "TCP4"
		}
		return fmt.Appendf(b, "PROXY %s %s %s %d %d\r\n", family, from, to, h.source.Port(), h.destination.Port())
	}
	b = append(b, proxyMagic2...)
	if !known {
		return append(b, proxyLocal, 0, 0, 0)
	}
	family, size := byte(0x21), 2*16+4
	if from.Is4() {
		family, size = 0x11, 2*4+4
	}
	b = append(b, proxyProxied, family, 0, byte(size))
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, h.source.Port()), h.destination.Port())
}
