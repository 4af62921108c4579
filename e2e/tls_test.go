package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// authority gives certificates that its pool believes.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
	pem  []byte
	last int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	return a
}

func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	c.SerialNumber = big.NewInt(a.last)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	c.NotBefore = c.NotAfter.Add(-48 * time.Hour)
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return signed, key
}

// pair makes a certificate for names and its key, in PEM.
func (a *authority) pair(until time.Time, names ...string) (cert, key []byte) {
	a.t.Helper()
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "test"}, DNSNames: names, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	signed, private := a.sign(c)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// files writes a pair into the working folder as NAME.pem and NAME.key.
func (a *authority) files(w *world, name string, names ...string) {
	cert, key := a.pair(time.Time{}, names...)
	w.write(name+".pem", string(cert))
	w.write(name+".key", string(key))
}

// encrypted runs a file with one external service that speaks TLS.
func encrypted(t *testing.T, w *world, tls string, u *upstream, more ...string) (s *server, secure, plain string) {
	t.Helper()
	secure, plain = freePort(t), freePort(t)
	s = w.up(fmt.Sprintf(`
services:
  app:
    ports: ["127.0.0.1:%s:80", "127.0.0.1:%s:80"]
    x-bulsa:
      servers: [%q]
      tls: {redirect: [%s], %s}
%s
`, secure, plain, u.address, plain, tls, strings.Join(more, "\n")))
	s.says("ready after")
	return s, secure, plain
}

// browser asks by TLS and follows nothing.
func (a *authority) browser(name string, protocol func(*http.Protocols)) *http.Client {
	p := new(http.Protocols)
	protocol(p)
	return &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{RootCAs: a.pool, ServerName: name}, DisableKeepAlives: true},
	}
}

// served is the serial number of the certificate that a name gets.
func (a *authority) served(port, name string) int64 {
	a.t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: a.pool, ServerName: name})
	if err != nil {
		a.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestTLSWithCertificatesFromFiles(t *testing.T) {
	t.Parallel()
	w, a, u := newWorld(t), newAuthority(t), newUpstream(t, "site")
	a.files(w, "a", "a.example")
	a.files(w, "b", "b.example", "*.b.example")
	_, secure, plain := encrypted(t, w, `certificates: [{cert: a.pem, key: a.key}, {cert: b.pem, key: b.key}], hsts: true, min_version: "1.3"`, u)

	if x, y, z := a.served(secure, "a.example"), a.served(secure, "www.b.example"), a.served(secure, "127.0.0.1"); x == y || x != z {
		t.Errorf("a.example gets certificate %d, www.b.example %d, a client without a name %d", x, y, z)
	}
	for name, protocol := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2.0": func(p *http.Protocols) { p.SetHTTP2(true) },
	} {
		res, err := a.browser("a.example", protocol).Get("https://127.0.0.1:" + secure + "/x")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.Proto != name || string(body) != "site" || res.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
			t.Errorf("%s: %s %q %v", name, res.Proto, body, res.Header)
		}
	}
	if _, err := tls.Dial("tcp", "127.0.0.1:"+secure, &tls.Config{RootCAs: a.pool, ServerName: "a.example", MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is spoken")
	}
	c := dial(t, "127.0.0.1:"+plain)
	c.ask("POST", "/path?query", "Content-Length: 0")
	if res, _ := c.answer("POST"); res.StatusCode != http.StatusPermanentRedirect || res.Header.Get("Location") != "https://shop.example:"+secure+"/path?query" {
		t.Errorf("in the clear: %s %v", res.Status, res.Header)
	}
	c = dial(t, "127.0.0.1:"+secure)
	c.ask("GET", "/")
	c.refused(http.StatusBadRequest, "https://")
}

func TestHTTP2WithoutTLSIsServed(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, "site")
	_, url := balances(t, "        - "+u.address, "")
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	res, err := (&http.Client{Transport: &http.Transport{Protocols: p, DisableKeepAlives: true}, Timeout: patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.ProtoMajor != 2 || string(body) != "site" {
		t.Errorf("%s %q", res.Proto, body)
	}
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	w, a, u := newWorld(t), newAuthority(t), newUpstream(t, "site")
	a.files(w, "a", "a.example")
	s, secure, _ := encrypted(t, w, `certificates: [{cert: a.pem, key: a.key}]`, u)
	first := a.served(secure, "a.example")

	w.write("a.pem", "not a certificate")
	s.says("the changed certificate cannot be used, the old one stays")
	if now := a.served(secure, "a.example"); now != first {
		t.Errorf("with a broken file certificate %d is served instead of %d", now, first)
	}
	a.files(w, "a", "a.example")
	s.says("new certificate from")
	if now := a.served(secure, "a.example"); now == first {
		t.Error("the old certificate is still served")
	}
	if n := strings.Count(s.stderr.String(), "the old one stays"); n != 1 {
		t.Errorf("the broken file was reported %d times", n)
	}
}

func TestUpAgainWithOtherCertificatesLosesNothing(t *testing.T) {
	t.Parallel()
	w, a, u := newWorld(t), newAuthority(t), newUpstream(t, "site")
	a.files(w, "a", "a.example")
	_, secure, _ := encrypted(t, w, `certificates: [{cert: a.pem, key: a.key}]`, u)
	client := a.browser("a.example", func(p *http.Protocols) { p.SetHTTP2(true) })
	client.Transport.(*http.Transport).DisableKeepAlives = false
	asks := func() {
		t.Helper()
		res, err := client.Get("https://127.0.0.1:" + secure)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	asks()
	first := a.served(secure, "a.example")
	a.files(w, "c", "a.example")
	file := filepath.Join(w.dir, "compose.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w.write("compose.yaml", string(bytes.ReplaceAll(text, []byte("cert: a.pem, key: a.key"), []byte("cert: c.pem, key: c.key"))))
	w.must("up", "-d")
	if now := a.served(secure, "a.example"); now == first {
		t.Error("the old certificate is still served")
	}
	asks() // over the connection of before
}

func TestCertificatesThatCannotWorkAreTold(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t), newAuthority(t)
	a.files(w, "a", "a.example")
	a.files(w, "b", "b.example")
	w.write("empty.pem", "")
	for name, c := range map[string]struct{ pair, says string }{
		"missing":  {"{cert: no.pem, key: a.key}", "no.pem: there is no such file"},
		"no key":   {"{cert: a.pem, key: a.pem}", "a.pem: no private key in it"},
		"mismatch": {"{cert: a.pem, key: b.key}", "b.key: cannot be used with the certificate in"},
		"empty":    {"{cert: empty.pem, key: a.key}", "empty.pem: no certificate in it"},
	} {
		w.write("compose.yaml", fmt.Sprintf("services:\n  app:\n    ports: [\"127.0.0.1:%s:80\"]\n    x-bulsa:\n      servers: [\"127.0.0.1:1\"]\n      tls:\n        certificates: [%s]\n", freePort(t), c.pair))
		if r := w.do("up"); r.status != 2 || !strings.Contains(r.stderr, "compose.yaml:7: ") || !strings.Contains(r.stderr, c.says) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: exit status %d, %q", name, r.status, r.stderr)
		}
	}
}

// TestAnExpiredCertificateIsServedWithAWarning.
func TestAnExpiredCertificateIsServedWithAWarning(t *testing.T) {
	t.Parallel()
	w, a, u := newWorld(t), newAuthority(t), newUpstream(t, "site")
	cert, key := a.pair(time.Now().Add(-time.Hour), "a.example")
	w.write("a.pem", string(cert))
	w.write("a.key", string(key))
	s, secure, _ := encrypted(t, w, `certificates: [{cert: a.pem, key: a.key}]`, u)
	s.says("has expired on")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", "127.0.0.1:"+secure)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestHTTP3IsOfferedAndSpoken: clients that came by TCP are told of it.
func TestHTTP3IsOfferedAndSpoken(t *testing.T) {
	t.Parallel()
	w, a := newWorld(t), newAuthority(t)
	a.files(w, "a", "a.example")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q %v %s", r.Method, r.URL.Path, body, r.TransferEncoding, r.Header.Get("X-Forwarded-Proto"))
		w.(http.Flusher).Flush() // or there is no room for a trailer
		w.Header().Set(http.TrailerPrefix+"X-Sum", "all")
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	_, secure, _ := encrypted(t, w, `certificates: [{cert: a.pem, key: a.key}], http3: true`, &upstream{address: l.Addr().String()})
	url := "https://127.0.0.1:" + secure + "/x"
	res, err := a.browser("a.example", func(p *http.Protocols) { p.SetHTTP2(true) }).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if offer := res.Header.Get("Alt-Svc"); offer != fmt.Sprintf(`h3=":%s"; ma=86400`, secure) {
		t.Errorf("Alt-Svc: %q", offer)
	}
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool, ServerName: "a.example"}}
	defer transport.Close()
	client := http.Client{Transport: transport, Timeout: patience}
	for _, c := range []struct{ method, body, want string }{
		{"GET", "", `GET /x "" [] https`},
		{"POST", "hello", `POST /x "hello" [] https`},
		{"GET", "odd", `GET /x "odd" [] https`},
	} {
		req, _ := http.NewRequest(c.method, url, strings.NewReader(c.body))
		if c.body == "" {
			req.Body, req.ContentLength = nil, 0
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.ProtoMajor != 3 || string(body) != c.want || res.Trailer.Get("X-Sum") != "all" {
			t.Errorf("%s: %s %q %v (%v), want %q", c.method, res.Proto, body, res.Trailer, err, c.want)
		}
	}
}
