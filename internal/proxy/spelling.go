package proxy

import (
	"iter"
	"net/http"
)

// spelling is how a peer writes the names of its fields, where that is not net/http's
// way: names have no case (RFC 9110, section 5.1), and there are programs that do not
// know it. By canonical name.
type spelling map[string]string

func spellingOf(fields iter.Seq2[[]byte, []byte]) spelling {
	var s spelling
	for name := range fields {
		if isCanonical(name) {
			continue
		}
		as := string(name)
		canonical := http.CanonicalHeaderKey(as)
		if s[canonical] == "" {
			if s == nil {
				s = spelling{}
			}
			s[canonical] = as
		}
	}
	return s
}

// isCanonical is right for tokens, which names are.
func isCanonical(name []byte) bool {
	upper := true
	for _, c := range name {
		if upper && c >= 'a' && c <= 'z' || !upper && c >= 'A' && c <= 'Z' {
			return false
		}
		upper = c == '-'
	}
	return true
}

func (s spelling) of(name string) string {
	if as := s[name]; as != "" {
		return as
	}
	return name
}
