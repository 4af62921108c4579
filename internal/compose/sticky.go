package compose

import (
	"fmt"

	"bulsa/internal/spec"
)

// sticky is auto, off, or a cookie, beside which auto counts as well. YAML 1.1 reads
// off as false.
func sticky(s *spec.Service) setter {
	return func(path string, value any) error {
		if _, cookie := value.(map[string]any); cookie {
			return decode(path, value, map[string]setter{"cookie": text(func(t string) error { s.Balance.Sticky = t; return nil })})
		}
		switch value {
		case "auto":
			s.Forward.Sessions = true
		case "off", false:
			s.Forward.Sessions = false
		default:
			return &spec.Problem{Where: path, What: fmt.Sprintf("%v is no way to be sticky", value), Fix: "write auto, off or {cookie: NAME}"}
		}
		return nil
	}
}
