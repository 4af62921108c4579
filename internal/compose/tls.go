package compose

import (
	"fmt"
	"path/filepath"
	"strings"

	"bulsa/internal/spec"
)

func (c *converter) tlsKeys(s *spec.Service) map[string]setter {
	t := &s.TLS
	return map[string]setter{
		"certificates": c.certificates(t),
		"domains":      domains(t),
		"email":        text(func(v string) error { t.Email = v; return nil }),
		"ca":           text(func(v string) error { t.CA = v; return nil }),
		"redirect":     redirect(t),
		"hsts":         hsts(t),
		"min_version": func(_ string, value any) error {
			t.MinVersion = fmt.Sprint(value) // YAML reads 1.3 as a number
			return nil
		},
		"http3": boolean(&t.HTTP3),
	}
}

func (c *converter) certificates(t *spec.TLS) setter {
	return func(path string, value any) error {
		list, ok := value.([]any)
		if !ok {
			return wrong(path, "a list such as [{cert: site.pem, key: site.key}]")
		}
		for i, item := range list {
			var pair spec.Certificate
			file := func(field *string) setter {
				return text(func(name string) error { *field = absolute(c.dir, filepath.FromSlash(name)); return nil })
			}
			if err := decode(fmt.Sprintf("%s.%d", path, i), item, map[string]setter{"cert": file(&pair.Cert), "key": file(&pair.Key)}); err != nil {
				return err
			}
			t.Certificates = append(t.Certificates, pair)
		}
		return nil
	}
}

func domains(t *spec.TLS) setter {
	return func(path string, value any) error {
		if err := textList(&t.Domains)(path, value); err != nil {
			return err
		}
		for i, d := range t.Domains {
			t.Domains[i] = strings.ToLower(d)
		}
		return nil
	}
}

// redirect is true or false, or the published ports that speak no TLS.
func redirect(t *spec.TLS) setter {
	return func(path string, value any) error {
		list, isList := value.([]any)
		if !isList {
			var on bool
			if boolean(&on)(path, value) != nil {
				return wrong(path, "true, false, or a list of published ports")
			}
			t.NoRedirect = !on
			return nil
		}
		for i, item := range list {
			var port int
			if err := integer(&port)(fmt.Sprintf("%s.%d", path, i), item); err != nil {
				return err
			}
			t.PlainPorts = append(t.PlainPorts, port)
		}
		return nil
	}
}

// hsts is true, false, or how long browsers shall remember.
func hsts(t *spec.TLS) setter {
	return func(path string, value any) (err error) {
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
	}
}
