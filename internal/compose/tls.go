package compose

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"bulsa/internal/spec"
)

// tls is written where a service speaks it.
func (c *converter) tls(s *spec.Service) key {
	row := group(c.tlsKeys(&s.TLS))
	return key{row.set, func() any {
		if !s.TLS.Enabled() {
			return nil
		}
		return row.get()
	}}
}

func (c *converter) tlsKeys(t *spec.TLS) keys {
	return keys{
		"certificates": c.certificates(t),
		"domains":      domains(t),
		"email":        word(&t.Email),
		"ca":           word(&t.CA),
		"redirect":     redirect(t),
		"hsts":         hsts(t),
		"min_version": {
			set: func(_ string, value any) error {
				t.MinVersion = fmt.Sprint(value) // YAML reads 1.3 as a number
				return nil
			},
			get: func() any { return cmp.Or(t.MinVersion, "1.2") },
		},
		"http3": boolean(&t.HTTP3),
	}
}

func (c *converter) certificates(t *spec.TLS) key {
	return key{set: func(path string, value any) error {
		list, ok := value.([]any)
		if !ok {
			return wrong(path, "a list such as [{cert: site.pem, key: site.key}]")
		}
		for i, item := range list {
			var pair spec.Certificate
			file := func(field *string) key {
				return key{set: text(func(name string) error { *field = absolute(c.dir, filepath.FromSlash(name)); return nil })}
			}
			if err := decode(fmt.Sprintf("%s.%d", path, i), item, keys{"cert": file(&pair.Cert), "key": file(&pair.Key)}); err != nil {
				return err
			}
			t.Certificates = append(t.Certificates, pair)
		}
		return nil
	}, get: func() any {
		return writtenList(t.Certificates, func(c spec.Certificate) section {
			return section{"cert": escape(c.Cert), "key": escape(c.Key)}
		})
	}}
}

func domains(t *spec.TLS) key {
	return key{set: func(path string, value any) error {
		if err := textList(&t.Domains).set(path, value); err != nil {
			return err
		}
		for i, d := range t.Domains {
			t.Domains[i] = strings.ToLower(d)
		}
		return nil
	}, get: func() any {
		return textList(&t.Domains).get()
	}}
}

// redirect is true or false, or the published ports that speak no TLS.
func redirect(t *spec.TLS) key {
	return key{set: func(path string, value any) error {
		list, isList := value.([]any)
		if !isList {
			var on bool
			if boolean(&on).set(path, value) != nil {
				return wrong(path, "true, false, or a list of published ports")
			}
			t.NoRedirect = !on
			return nil
		}
		for i, item := range list {
			var port int
			if err := integer(&port).set(fmt.Sprintf("%s.%d", path, i), item); err != nil {
				return err
			}
			t.PlainPorts = append(t.PlainPorts, port)
		}
		return nil
	}, get: func() any {
		switch {
		case t.NoRedirect:
			return false
		case len(t.PlainPorts) > 0:
			return t.PlainPorts
		}
		return nil
	}}
}

// hsts is true, false, or how long browsers shall remember.
func hsts(t *spec.TLS) key {
	return key{set: func(path string, value any) (err error) {
		switch value {
		case true:
			t.HSTS = spec.HSTSYear
		case false:
			t.HSTS = ""
		default:
			if t.HSTS, err = spec.ParseHSTS(fmt.Sprint(value)); err != nil {
				return spec.At(path, err)
			}
		}
		return nil
	}, get: func() any {
		if t.HSTS == "" {
			return nil
		}
		return escape(t.HSTS)
	}}
}
