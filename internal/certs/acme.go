package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// ACME is how certificates are obtained (RFC 8555).
type ACME struct {
	Domains  []string
	Email    string // for the account; "": none
	CA       string // URL of the directory; "": Let's Encrypt's
	Storage  string // folder for accounts, keys and certificates; made with mode 0700
	Host     string // address that the ports are bound to; "": all
	HTTPPort int    // on which Answer is given; 0: only TLS-ALPN-01 is used
	TLSPort  int    // on which Serve's configuration is in use
}

const (
	// ChallengePath is what the paths begin with that Answer is about.
	ChallengePath = "/.well-known/acme-challenge/"
	// challengeProtocol is RFC 8737's name in ALPN.
	challengeProtocol = "acme-tls/1"
)

// acme is certmagic with one account and one list of domains.
type acme struct {
	domains []string
	config  *certmagic.Config
	issuer  *certmagic.ACMEIssuer
	cache   *certmagic.Cache
	report  func(string)
}

func newACME(c ACME, report func(string)) *acme {
	a := &acme{domains: c.Domains, report: report}
	logger := zap.NewNop() // what matters comes as an event
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		Logger:           logger,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: c.Storage},
		Logger:  logger,
		OnEvent: a.event,
	})
	directory := c.CA
	if directory == "" {
		directory = certmagic.LetsEncryptProductionCA
	}
	a.issuer = certmagic.NewACMEIssuer(a.config, certmagic.ACMEIssuer{
		CA: directory, TestCA: directory, Email: c.Email, Agreed: true,
		ListenHost: c.Host, AltHTTPPort: c.HTTPPort, AltTLSALPNPort: c.TLSPort,
		DisableHTTPChallenge: c.HTTPPort == 0,
		Logger:               logger,
	})
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	return a
}

// run returns when ctx has ended and nothing is under way.
func (a *acme) run(ctx context.Context) {
	defer a.cache.Stop()
	if err := a.config.ManageAsync(ctx, a.domains); err != nil {
		a.report(fmt.Sprintf("cannot obtain certificates: %v", err))
	}
	<-ctx.Done()
}

// event is certmagic's way to tell; its error would stop what it tells of.
func (a *acme) event(_ context.Context, name string, data map[string]any) error {
	switch name {
	case "cert_obtained":
		a.report(fmt.Sprintf("obtained a certificate for %v", data["identifier"]))
	case "cert_failed":
		a.report(fmt.Sprintf("cannot obtain a certificate for %v, trying again: %v", data["identifier"], data["error"]))
	}
	return nil
}

// certificate is nil while there is none for the name.
func (a *acme) certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	c, err := a.config.GetCertificate(hello)
	if err != nil {
		return nil
	}
	return c
}

// certificates are those that are there by now.
func (a *acme) certificates() []*tls.Certificate {
	var all []*tls.Certificate
	for _, domain := range a.domains {
		for _, c := range a.cache.AllMatchingCertificates(domain) {
			all = append(all, &c.Certificate)
		}
	}
	return all
}

func (a *acme) answer(host, path string) (text string, ok bool) {
	w := answerWriter{header: make(http.Header)}
	r := &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}, Header: make(http.Header)}
	if !a.issuer.HandleHTTPChallenge(&w, r) {
		return "", false
	}
	return w.text.String(), true
}

// answerWriter keeps what certmagic answers.
type answerWriter struct {
	header http.Header
	text   bytes.Buffer
}

func (w *answerWriter) Header() http.Header         { return w.header }
func (w *answerWriter) Write(p []byte) (int, error) { return w.text.Write(p) }
func (w *answerWriter) WriteHeader(int)             {}
