package compose

import (
	"fmt"

	"bulsa/internal/spec"
)

// sticky is auto, off, or a cookie, beside which auto counts as well. YAML 1.1 reads
// off as false.
func sticky(s *spec.Service) key {
	cookie := keys{"cookie": word(&s.Balance.Sticky)}
	return key{set: func(path string, value any) error {
		if _, isCookie := value.(map[string]any); isCookie {
			return decode(path, value, cookie)
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
	}, get: func() any {
		switch {
		case s.Balance.Sticky != "":
			return cookie.written()
		case !s.Forward.Sessions:
			return "off"
		}
		return nil
	}}
}
