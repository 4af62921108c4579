package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// pebble is Let's Encrypt's small ACME server. It validates on the two ports, on
// loopback, whatever the name.
type pebble struct {
	directory string
	web       *authority     // who believes the server itself
	issued    *x509.CertPool // who believes what it issues
}

func newPebble(t *testing.T, httpPort, tlsPort string) *pebble {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	quiet := log.New(io.Discard, "", 0)
	resolver := "127.0.0.1:" + freePort(t)
	names, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{resolver}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	names.SetDefaultDNSIPv4("127.0.0.1")
	names.SetDefaultDNSIPv6("")
	go names.Run()
	t.Cleanup(names.Shutdown)
	eventually(t, "names are resolved", func() bool {
		c, err := net.Dial("tcp", resolver)
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	number := func(port string) int {
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	store := db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	validator := va.New(quiet, number(httpPort), number(tlsPort), false, resolver, store)
	front := wfe.New(quiet, store, validator, authority, []string{"pebble"}, false, false, 0, 0)
	p := &pebble{web: newAuthority(t), issued: x509.NewCertPool()}
	cert, key := p.web.pair(p.web.cert.NotAfter, "localhost")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(front.Handler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	p.directory = server.URL + wfe.DirectoryPath
	p.issued.AddCert(authority.GetRootCert(0).Cert)
	return p
}

// TestCertificatesByACME: a domain is all that a user writes. Each way to prove
// that it is the user's is taken alone; a restart asks for nothing.
func TestCertificatesByACME(t *testing.T) {
	for _, way := range []string{"HTTP-01", "TLS-ALPN-01"} {
		t.Run(way, func(t *testing.T) {
			w, u := newWorld(t), newUpstream(t, "site")
			secure, plain, closed := freePort(t), freePort(t), freePort(t)
			httpPort, tlsPort := plain, closed
			if way == "TLS-ALPN-01" {
				httpPort, tlsPort = closed, secure
			}
			p := newPebble(t, httpPort, tlsPort)
			w.env = append(w.env, "SSL_CERT_FILE="+w.write("authority.pem", string(p.web.pem)))
			file := fmt.Sprintf(`
services:
  app:
    ports: ["127.0.0.1:%s:80", "127.0.0.1:%s:80"]
    x-bulsa:
      servers: [%q]
      tls: {domains: [www.bulsa.example], email: admin@bulsa.example, ca: %q, redirect: [%s]}
`, secure, plain, u.address, p.directory, plain)
			s := w.up(file)
			s.says("obtained a certificate for www.bulsa.example")
			asks := func() {
				t.Helper()
				client := http.Client{Timeout: patience, Transport: &http.Transport{
					DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: p.issued, ServerName: "www.bulsa.example"},
				}}
				eventually(t, "the certificate is served", func() bool {
					res, err := client.Get("https://127.0.0.1:" + secure)
					if err != nil {
						return false
					}
					defer res.Body.Close()
					body, _ := io.ReadAll(res.Body)
					return string(body) == "site"
				})
			}
			asks()
			keys := 0
			filepath.Walk(runtimeDir(w), func(path string, info os.FileInfo, err error) error {
				if err == nil && strings.HasSuffix(path, ".key") {
					text, _ := os.ReadFile(path)
					if block, _ := pem.Decode(text); block != nil {
						keys++
					}
					if info.Mode().Perm()&0o077 != 0 {
						t.Errorf("%s has mode %o", path, info.Mode().Perm())
					}
				}
				if err == nil && info.IsDir() && info.Name() == "acme" && info.Mode().Perm() != 0o700 {
					t.Errorf("%s has mode %o", path, info.Mode().Perm())
				}
				return nil
			})
			if keys == 0 {
				t.Error("nothing is kept")
			}
			s.stop()
			s = w.up(file)
			s.says("ready after")
			asks()
			if strings.Contains(s.stderr.String(), "obtained a certificate") {
				t.Error("after a restart it asked again")
			}
		})
	}
}

// runtimeDir is the folder in which a world's projects keep their state.
func runtimeDir(w *world) string {
	for _, kv := range w.env {
		if dir, ok := strings.CutPrefix(kv, "BULSA_RUNTIME_DIR="); ok {
			return dir
		}
	}
	return ""
}
