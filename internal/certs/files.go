package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Pair is a certificate with its chain and its key, in PEM files.
type Pair struct{ Cert, Key string }

// Problem is what is wrong with a file.
type Problem struct {
	File string
	What string
	Fix  string
}

func (p *Problem) Error() string { return p.File + ": " + p.What + "; " + p.Fix }

// Check reads a pair as New does. The warning is about a certificate that works
// and that clients will not believe.
func Check(p Pair, now time.Time) (warning string, err error) {
	cert, err := load(p)
	if err != nil {
		return "", err
	}
	switch leaf := cert.Leaf; {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("the certificate in %s has expired on %s: clients will refuse it", p.Cert, leaf.NotAfter.UTC().Format(time.RFC3339)), nil
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("the certificate in %s is valid from %s on: until then clients will refuse it", p.Cert, leaf.NotBefore.UTC().Format(time.RFC3339)), nil
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return fmt.Sprintf("the certificate in %s names no host (subjectAltName): clients will refuse it", p.Cert), nil
	}
	return "", nil
}

func load(p Pair) (*tls.Certificate, error) {
	certPEM, err := read(p.Cert)
	if err != nil {
		return nil, err
	}
	keyPEM, err := read(p.Key)
	if err != nil {
		return nil, err
	}
	if !holds(certPEM, "CERTIFICATE") {
		return nil, &Problem{p.Cert, "no certificate in it", "give the file that begins with -----BEGIN CERTIFICATE-----"}
	}
	if !holds(keyPEM, "PRIVATE KEY") {
		return nil, &Problem{p.Key, "no private key in it", "give the file that begins with -----BEGIN PRIVATE KEY-----; an encrypted key cannot be used"}
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, &Problem{p.Key, "cannot be used with the certificate in " + p.Cert + ": " + strings.TrimPrefix(err.Error(), "tls: "), "give the key that belongs to the first certificate in that file"}
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, &Problem{p.Cert, err.Error(), "give a certificate in PEM"}
		}
	}
	return &cert, nil
}

func read(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Problem{name, "there is no such file", "correct the path, or make the file"}
	case errors.Is(err, fs.ErrPermission):
		return nil, &Problem{name, "may not be read", "give the user that runs bulsa the right to"}
	case err != nil:
		return nil, &Problem{name, err.Error(), "give a PEM file"}
	}
	return b, nil
}

// holds says whether a PEM file has a block of the kind.
func holds(text []byte, kind string) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, kind) && !strings.HasPrefix(block.Type, "ENCRYPTED") {
			return true
		}
	}
	return false
}

// files are pairs that are read again when they change.
type files struct {
	pairs []Pair
	seen  [][2]state // of the last look, for each pair
	bad   []bool     // the pair was wrong at its last change, and that was said
	certs atomic.Pointer[[]*tls.Certificate]
}

// state tells one version of a file from another.
type state struct {
	modified time.Time
	size     int64
	file     os.FileInfo
}

func readFiles(pairs []Pair) (*files, error) {
	f := &files{pairs: pairs, seen: make([][2]state, len(pairs)), bad: make([]bool, len(pairs))}
	certs := make([]*tls.Certificate, len(pairs))
	for i, p := range pairs {
		f.seen[i] = [2]state{stateOf(p.Cert), stateOf(p.Key)}
		var err error
		if certs[i], err = load(p); err != nil {
			return nil, err
		}
	}
	f.certs.Store(&certs)
	return f, nil
}

func stateOf(name string) state {
	info, err := os.Stat(name)
	if err != nil {
		return state{}
	}
	return state{info.ModTime(), info.Size(), info}
}

func (s state) same(o state) bool {
	return s.modified.Equal(o.modified) && s.size == o.size && (s.file == nil) == (o.file == nil) && (s.file == nil || os.SameFile(s.file, o.file))
}

// look reads what has changed since the last look. A pair that is wrong now, as
// while its second file is not written yet, leaves the old one in use; that is
// said once, when the files have settled.
func (f *files) look(report func(string)) {
	for i, p := range f.pairs {
		now := [2]state{stateOf(p.Cert), stateOf(p.Key)}
		settled := now[0].same(f.seen[i][0]) && now[1].same(f.seen[i][1])
		f.seen[i] = now
		if settled && !f.bad[i] {
			continue
		}
		cert, err := load(p)
		switch {
		case err == nil:
			f.replace(i, cert)
			report(fmt.Sprintf("new certificate from %s, valid until %s", p.Cert, cert.Leaf.NotAfter.UTC().Format(time.DateOnly)))
			f.bad[i] = false
		case !settled:
			f.bad[i] = true
		default:
			report(fmt.Sprintf("the changed certificate cannot be used, the old one stays: %v", err))
			f.bad[i] = false
		}
	}
}

func (f *files) replace(i int, cert *tls.Certificate) {
	certs := append([]*tls.Certificate(nil), *f.certs.Load()...)
	certs[i] = cert
	f.certs.Store(&certs)
}

// certificate is the first that is for the name and that the client can use.
func (f *files) certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	if hello.ServerName == "" {
		return nil
	}
	var named *tls.Certificate
	for _, c := range *f.certs.Load() {
		if c.Leaf.VerifyHostname(hello.ServerName) != nil {
			continue
		}
		if hello.SupportsCertificate(c) == nil {
			return c
		}
		if named == nil {
			named = c
		}
	}
	return named
}

// first is for clients that name no host, or an unknown one.
func (f *files) first(hello *tls.ClientHelloInfo) *tls.Certificate {
	certs := *f.certs.Load()
	for _, c := range certs {
		named := *hello
		named.ServerName = "" // or the certificate would have to be for it
		if named.SupportsCertificate(c) == nil {
			return c
		}
	}
	if len(certs) > 0 {
		return certs[0]
	}
	return nil
}
