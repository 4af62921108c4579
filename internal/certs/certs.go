// Package certs keeps the certificates of one service: from files, which it reads
// again when they change, and from an ACME server, which it asks again in time.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says where certificates come from.
type Config struct {
	Files  []Pair
	ACME   ACME
	Report func(text string) // tells what went well or wrong meanwhile, in one line
}

// Store holds the certificates. Make it with New, then call Run.
type Store struct {
	files  *files
	acme   *acme // nil: none
	report func(string)
}

// New reads the files; an error says which one is wrong and why.
func New(c Config) (*Store, error) {
	f, err := readFiles(c.Files)
	if err != nil {
		return nil, err
	}
	s := &Store{files: f, report: c.Report}
	if len(c.ACME.Domains) > 0 {
		s.acme = newACME(c.ACME, c.Report)
	}
	return s, nil
}

// lookEvery is how often files are looked at: what renews certificates does not
// tell who uses them.
const lookEvery = time.Second

// Run watches the files, and obtains and renews what comes by ACME, until ctx ends.
func (s *Store) Run(ctx context.Context) {
	var running sync.WaitGroup
	if s.acme != nil {
		running.Go(func() { s.acme.run(ctx) })
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			running.Wait()
			return
		case <-tick.C:
			s.files.look(s.report)
		}
	}
}

// Answer is what an ACME server shall read at a path of a host over HTTP, if it
// asked for anything there (RFC 8555, section 8.3).
func (s *Store) Answer(host, path string) (text string, ok bool) {
	if s.acme == nil || !strings.HasPrefix(path, ChallengePath) {
		return "", false
	}
	return s.acme.answer(host, path)
}

// certificate is the one for the name that the client asks for; nil: another
// Store may have it.
func (s *Store) certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	if c := s.files.certificate(hello); c != nil {
		return c
	}
	if s.acme != nil {
		return s.acme.certificate(hello)
	}
	return nil
}

// Expiries tell when the certificates end that are there, by their first name.
func (s *Store) Expiries() map[string]time.Time {
	all := *s.files.certs.Load()
	if s.acme != nil {
		all = append(slices.Clone(all), s.acme.certificates()...)
	}
	ends := map[string]time.Time{}
	for _, c := range all {
		name := c.Leaf.Subject.CommonName
		if len(c.Leaf.DNSNames) > 0 {
			name = c.Leaf.DNSNames[0]
		}
		if known, there := ends[name]; !there || c.Leaf.NotAfter.Before(known) {
			ends[name] = c.Leaf.NotAfter
		}
	}
	return ends
}

// ErrNoCertificate ends the handshake of a client for which there is none.
var ErrNoCertificate = errors.New("no certificate")

// Serve makes the TLS configuration of a listener. stores are asked in their
// order at every handshake; a client that names no known host gets the first
// certificate from a file. min is tls.VersionTLS12 or above; http2 offers h2.
func Serve(stores func() []*Store, min uint16, http2 bool) *tls.Config {
	protocols := []string{"h2", "http/1.1", challengeProtocol}
	if !http2 {
		protocols = protocols[1:]
	}
	return &tls.Config{
		MinVersion: min,
		NextProtos: protocols,
		// For TLS 1.2: those that HTTP/2 allows too (RFC 9113, appendix A).
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return choose(stores(), hello) },
	}
}

func choose(stores []*Store, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	for _, s := range stores {
		if c := s.certificate(hello); c != nil {
			return c, nil
		}
	}
	for _, s := range stores {
		if c := s.files.first(hello); c != nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w for %q", ErrNoCertificate, hello.ServerName)
}
