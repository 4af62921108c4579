package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const version2 = "\r\n\r\n\x00\r\nQUIT\n"

func TestProxyHeaders(t *testing.T) {
	v6 := "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11)
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n":     "192.0.2.1:56324 192.0.2.2:443",
		"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n": "[2001:db8::1]:56324 [2001:db8::2]:443",
		"PROXY UNKNOWN\r\n": "invalid AddrPort invalid AddrPort",
		"PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n":                              "invalid AddrPort invalid AddrPort",
		version2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbb":    "192.0.2.1:56324 192.0.2.2:443",
		version2 + "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbbTLV": "192.0.2.1:56324 192.0.2.2:443",
		version2 + "\x21\x21\x00\x24" + v6 + "\x01" + v6 + "\x02" + "\xdc\x04\x01\xbb":   "[2001:db8::1]:56324 [2001:db8::2]:443",
		version2 + "\x20\x00\x00\x00":                                                    "invalid AddrPort invalid AddrPort",
		version2 + "\x20\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbb":    "invalid AddrPort invalid AddrPort",
		version2 + "\x21\x00\x00\x00":                                                    "invalid AddrPort invalid AddrPort",
		version2 + "\x21\x31\x00\xd8" + strings.Repeat("/", 216):                         "invalid AddrPort invalid AddrPort",
	} {
		h, n, err := parseProxyHeader([]byte(header + "GET /"))
		if got := fmt.Sprint(h.source, " ", h.destination); err != nil || n != len(header) || got != want {
			t.Errorf("%q: %s, %d bytes, %v; want %s", header, got, n, err, want)
		}
		for i := range len(header) {
			if _, n, err := parseProxyHeader([]byte(header[:i])); n != 0 || err != nil {
				t.Errorf("the first %d bytes of %q: %d, %v; want to wait for more", i, header, n, err)
			}
		}
	}
}

func TestMalformedProxyHeadersAreRefused(t *testing.T) {
	for _, header := range []string{
		"GET / HTTP/1.1\r\n", "PROXX", "\r\n\r\n\x00\r\nQUIT\r",
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 1\r\n",
		"PROXY TCP4  192.0.2.1 192.0.2.2 56324 443\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 056324 443\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
		"PROXY TCP4 192.0.2.256 192.0.2.2 1 443\r\n",
		"PROXY TCP4 2001:db8::1 192.0.2.2 1 443\r\n",
		"PROXY TCP6 192.0.2.1 2001:db8::1 1 443\r\n",
		"PROXY TCP6 fe80::1%eth0 2001:db8::1 1 443\r\n",
		"PROXY UDP4 192.0.2.1 192.0.2.2 1 443\r\n",
		"PROXYTCP4 192.0.2.1 192.0.2.2 1 443\r\n",
		"PROXY UNKNOWN" + strings.Repeat("f", 200) + "\r\n",
		strings.Repeat("PROXY", 30),
		version2 + "\x11\x11\x00\x0c" + strings.Repeat("x", 12),
		version2 + "\x22\x11\x00\x0c" + strings.Repeat("x", 12),
		version2 + "\x21\x13\x00\x0c" + strings.Repeat("x", 12),
		version2 + "\x21\x11\x00\x0b" + strings.Repeat("x", 11),
		version2 + "\x21\x21\x00\x0c" + strings.Repeat("x", 12),
		version2 + "\x21\x11\xff\xff",
	} {
		if h, n, err := parseProxyHeader([]byte(header)); err == nil {
			t.Errorf("%q: %v, %d bytes, no error", header, h, n)
		}
	}
}

// It never reads past what it was given or past its limits, and what it made of
// a header does not depend on what follows.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET /"))
	f.Add([]byte(version2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbbGET /"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := parseProxyHeader(b)
		if n < 0 || n > len(b) || n > proxyMost || err != nil && n != 0 {
			t.Fatalf("%d of %d bytes, %v", n, len(b), err)
		}
		if err == nil && n == 0 && len(b) >= proxyMost {
			t.Fatalf("wants more than %d bytes", len(b))
		}
		if n == 0 {
			return
		}
		again, m, err := parseProxyHeader(b[:n:n])
		if err != nil || m != n || again != h {
			t.Fatalf("%v, %d bytes, %v alone; %v, %d bytes before more", again, m, err, h, n)
		}
		if bytes.HasPrefix(b, []byte(proxyMagic1)) && h.source.IsValid() {
			family := "TCP6"
			if h.source.Addr().Is4() {
				family = "TCP4"
			}
			line := fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, h.source.Addr(), h.destination.Addr(), h.source.Port(), h.destination.Port())
			if twice, _, err := parseProxyHeader([]byte(line)); err != nil || twice != h {
				t.Fatalf("%q is read as %v, %v", line, twice, err)
			}
		}
	})
}

func behindProxy(t *testing.T, trusted string) *house {
	t.Helper()
	s := settings()
	s.ProxyProtocol, s.HeaderTimeout = true, time.Second
	s.Trusted = []netip.Prefix{netip.MustParsePrefix(trusted)}
	return open(t, s, app(t, "app.1", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Forwarded-For"), " ", r.Header.Get("X-Forwarded-Port"))
	}))
}

func TestTheClientIsWhomTheProxyHeaderNames(t *testing.T) {
	h := behindProxy(t, "127.0.0.0/8")
	const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n":                                "192.0.2.1 443",
		version2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x01\xbb": "192.0.2.1 443",
		version2 + "\x20\x00\x00\x00":                                                 "203.0.113.9, 127.0.0.1 ", // the trusted proxy itself
	} {
		c := h.dial()
		for _, part := range []string{header[:7], header[7:], request} { // it may come in pieces
			_, _ = io.WriteString(c, part)
			time.Sleep(time.Millisecond)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !strings.Contains(string(answer), "\r\n\r\n"+want) {
			t.Errorf("%q: %q, %v; want %q", header, answer, err, want)
		}
	}
}

func TestConnectionsWithoutAProxyHeaderAreClosed(t *testing.T) {
	h := behindProxy(t, "127.0.0.0/8")
	for _, said := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PROXY nonsense\r\n", "PROXY"} {
		if answer, _ := h.say(said); answer != "" {
			t.Errorf("%q was answered %q", said, answer)
		}
	}
	if !strings.Contains(h.log.String(), "does not begin with a PROXY header") {
		t.Errorf("the log says %s", h.log.String())
	}
}

func TestStrangersCannotClaimAnAddress(t *testing.T) {
	h := behindProxy(t, "192.0.2.0/24")
	c := h.dial()
	if answer, _ := io.ReadAll(c); len(answer) > 0 {
		t.Errorf("a stranger got %q", answer)
	}
	if !strings.Contains(h.log.String(), "not in trusted_proxies") {
		t.Errorf("the log says %s", h.log.String())
	}
}
