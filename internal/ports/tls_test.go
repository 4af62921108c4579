package ports

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bulsa/internal/spec"
)

// certificate writes a pair of files for a name and returns them.
func certificate(t *testing.T, name string) spec.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := spec.Certificate{Cert: filepath.Join(t.TempDir(), "cert.pem")}
	c.Key = filepath.Join(filepath.Dir(c.Cert), "key.pem")
	for file, block := range map[string]*pem.Block{c.Cert: {Type: "CERTIFICATE", Bytes: der}, c.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestAPublishedPortSpeaksTLSWithItsServicesCertificateUntilTheConfigurationSaysOtherwise(t *testing.T) {
	b := newBook(t)
	p := b.project
	sv := answering(t, "web", spec.Port{Host: "127.0.0.1"})
	sv.TLS.Certificates = []spec.Certificate{certificate(t, "web.test")}
	p.Services = []spec.Service{sv}
	b.apply(p)
	ask := func(scheme string) (int, string) {
		t.Helper()
		client := http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "web.test"},
		}}
		resp, err := client.Get(scheme + "://" + b.List("web")[0])
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.TLS != nil && resp.TLS.PeerCertificates[0].Subject.CommonName != "web.test" {
			t.Errorf("shown: %v", resp.TLS.PeerCertificates[0].Subject)
		}
		return resp.StatusCode, string(body)
	}
	if status, body := ask("https"); status != 200 || body != "web /" {
		t.Errorf("over TLS: %d %q", status, body)
	}
	p.Services[0].TLS.Certificates = nil
	b.apply(p)
	if status, body := ask("http"); status != 200 || body != "web /" {
		t.Errorf("in the clear: %d %q", status, body)
	}
}

func TestAKeyOfAnotherCertificateIsNamedBeforeAnythingStarts(t *testing.T) {
	one, other := certificate(t, "one.test"), certificate(t, "other.test")
	sv := spec.NewService("web")
	sv.TLS.Certificates = []spec.Certificate{{Cert: one.Cert, Key: other.Key}}
	p := spec.Project{Name: "test", Services: []spec.Service{sv}}
	err := CheckCertificates(p, sv)
	if err == nil || !strings.Contains(err.Error(), "service web") || !strings.Contains(err.Error(), ".pem") {
		t.Errorf("got %v", err)
	}
}
