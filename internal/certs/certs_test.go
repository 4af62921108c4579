package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a pair for names in dir; its serial number tells it from others.
func write(t *testing.T, dir, name string, serial int64, key crypto.Signer, until time.Time, names ...string) Pair {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: names, NotBefore: until.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	put(t, p.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	put(t, p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return p
}

func put(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func ec(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// hello is what a client says that takes signatures of a kind.
func hello(name string, schemes ...tls.SignatureScheme) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: schemes,
		SupportedCurves: []tls.CurveID{tls.CurveP256}, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
	}
}

func TestACertificateIsChosenByNameAndByWhatTheClientTakes(t *testing.T) {
	dir, until := t.TempDir(), time.Now().Add(time.Hour)
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Files: []Pair{
		write(t, dir, "a", 1, ec(t), until, "a.example"),
		write(t, dir, "b", 2, ec(t), until, "*.b.example", "b.example"),
		write(t, dir, "rsa", 3, old, until, "b.example"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(Config{Files: []Pair{write(t, dir, "c", 4, ec(t), until, "c.example")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hello *tls.ClientHelloInfo
		want  int64
	}{
		{hello("a.example", tls.ECDSAWithP256AndSHA256), 1},
		{hello("A.EXAMPLE", tls.ECDSAWithP256AndSHA256), 1},
		{hello("b.example", tls.ECDSAWithP256AndSHA256), 2},
		{hello("b.example", tls.PSSWithSHA256), 3},
		{hello("www.b.example", tls.ECDSAWithP256AndSHA256), 2},
		{hello("a.www.b.example", tls.ECDSAWithP256AndSHA256), 1}, // a wildcard is one label
		{hello("c.example", tls.ECDSAWithP256AndSHA256), 4},
		{hello("unknown.example", tls.ECDSAWithP256AndSHA256), 1},
		{hello("", tls.ECDSAWithP256AndSHA256), 1},
		{hello("", tls.PSSWithSHA256), 3},
	} {
		got, err := choose([]*Store{s, other}, c.hello)
		if err != nil || got.Leaf.SerialNumber.Int64() != c.want {
			t.Errorf("%q %v: %v (%v), want %d", c.hello.ServerName, c.hello.SignatureSchemes, got, err, c.want)
		}
	}
	if _, err := choose(nil, hello("a.example")); !errors.Is(err, ErrNoCertificate) {
		t.Error(err)
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	dir, until := t.TempDir(), time.Now().Add(time.Hour)
	p := write(t, dir, "a", 1, ec(t), until, "a.example")
	var said []string
	s, err := New(Config{Files: []Pair{p}})
	if err != nil {
		t.Fatal(err)
	}
	look := func(want int64, reports ...string) {
		t.Helper()
		said = nil
		for range 3 {
			s.files.look(func(text string) { said = append(said, text) })
		}
		if got := s.files.first(hello("a.example", tls.ECDSAWithP256AndSHA256)).Leaf.SerialNumber.Int64(); got != want {
			t.Errorf("certificate %d is served, want %d", got, want)
		}
		if len(said) != len(reports) {
			t.Fatalf("%q, want %q", said, reports)
		}
		for i := range reports {
			if !strings.Contains(said[i], reports[i]) {
				t.Errorf("%q, want %q", said, reports)
			}
		}
	}
	look(1)
	write(t, dir, "a", 2, ec(t), until, "a.example")
	look(2, "new certificate from "+p.Cert)
	look(2)
	key := ec(t)
	write(t, dir, "a", 3, key, until, "a.example")
	put(t, p.Key, []byte("not yet"))
	look(2, "the old one stays: "+p.Key+": no private key in it")
	look(2)
	if err := os.Remove(p.Key); err != nil {
		t.Fatal(err)
	}
	look(2, "there is no such file")
	write(t, dir, "a", 4, key, until, "a.example")
	look(4, "new certificate from")
}

func TestWhatClientsWillNotBelieveIsTold(t *testing.T) {
	dir := t.TempDir()
	for want, p := range map[string]Pair{
		"":                write(t, dir, "good", 1, ec(t), time.Now().Add(time.Minute), "a.example"),
		"has expired on":  write(t, dir, "old", 2, ec(t), time.Now().Add(-time.Minute), "a.example"),
		"is valid from":   write(t, dir, "early", 3, ec(t), time.Now().Add(2*time.Hour), "a.example"),
		"names no host (": write(t, dir, "nobody", 4, ec(t), time.Now().Add(time.Minute)),
	} {
		if got, err := Check(p, time.Now()); err != nil || !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
}
