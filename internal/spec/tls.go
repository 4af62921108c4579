package spec

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ParseHSTS makes the value of the field Strict-Transport-Security (RFC 6797) of
// a duration, or takes one that is written out.
func ParseHSTS(text string) (string, error) {
	if strings.Contains(strings.ToLower(text), "max-age=") {
		if strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return "", fmt.Errorf("%q is not the value of a header field", text)
		}
		return text, nil
	}
	d, err := ParseDuration(text)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("max-age=%d", int64(d/time.Second)), nil
}

// HSTSYear is what hsts: true stands for.
const HSTSYear = "max-age=31536000"

func (v *checker) tls(s Service) {
	t := s.TLS
	v.oneOf("x-bulsa.upstream", string(s.Forward.Upstream), string(UpstreamHTTP1), string(UpstreamH2C))
	if !t.Enabled() {
		given := t.Email != "" || t.CA != "" || t.NoRedirect || len(t.PlainPorts) > 0 || t.HSTS != "" || t.MinVersion != "" || t.HTTP3
		v.check("x-bulsa.tls", !given, "no certificate", "give certificates: [{cert, key}], or domains")
		return
	}
	whole := s.Engine == EngineProcess && (s.NodeMode == NodeShared || s.NodeMode == NodeRR)
	v.check("x-bulsa.tls", !whole, fmt.Sprintf("in mode %s workers take whole connections, so bulsa cannot speak TLS for them", s.NodeMode), "choose another x-bulsa.node, or remove tls")
	v.check("x-bulsa.tls.min_version", slices.Contains([]string{"", "1.2", "1.3"}, t.MinVersion), fmt.Sprintf("%q is not a version of TLS that is spoken", t.MinVersion), `use "1.2" or "1.3"`)
	for i, c := range t.Certificates {
		key := fmt.Sprintf("x-bulsa.tls.certificates.%d", i)
		v.check(key, c.Cert != "", "no cert", "give the PEM file of the certificate")
		v.check(key, c.Key != "", "no key", "give the PEM file of the certificate's key")
	}
	for i, d := range t.Domains {
		v.domain(fmt.Sprintf("x-bulsa.tls.domains.%d", i), d)
	}
	v.check("x-bulsa.tls.email", t.Email == "" || strings.Contains(t.Email, "@") && !strings.ContainsAny(t.Email, " <>,"), fmt.Sprintf("%q is not an address", t.Email), "give one such as admin@example.com")
	if t.CA != "" {
		u, err := url.Parse(t.CA)
		v.check("x-bulsa.tls.ca", err == nil && u.Scheme == "https" && u.Host != "", fmt.Sprintf("%q is not the directory of an ACME server", t.CA), "give an https:// URL")
	}
	for i, p := range t.PlainPorts {
		known := slices.ContainsFunc(s.Ports, func(o Port) bool { return o.Published == p })
		v.check(fmt.Sprintf("x-bulsa.tls.redirect.%d", i), p > 0 && known, fmt.Sprintf("port %d is not published", p), "publish it under ports, or remove it")
	}
	v.check("ports", slices.ContainsFunc(s.Ports, func(p Port) bool { return !t.Plain(p.Published) }),
		"no published port speaks TLS", `publish one more, such as "443:3000"`)
}

// domain is a name that an ACME server gives certificates for by the challenges
// that are known here: not a wildcard, which needs DNS-01 (RFC 8555, section 8.4).
func (v *checker) domain(key, name string) {
	_, err := netip.ParseAddr(name)
	v.check(key, err != nil, fmt.Sprintf("%q is an address", name), "give a host name, or certificates from files")
	v.check(key, !strings.HasPrefix(name, "*"), fmt.Sprintf("%q: ACME gives wildcards by DNS alone, which bulsa does not speak", name), "list the names, or give certificates from files")
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789.-"
	v.check(key, name != "" && len(name) <= 253 && strings.Trim(name, letters) == "" && strings.Trim(name, ".-") == name, fmt.Sprintf("%q is not a domain", name), "write it in lower case, such as www.example.com")
}
